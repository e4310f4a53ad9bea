"""What enrolment helpers can answer, as shell scripts, and the files they answer with."""

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from scep_material import certificate, der, pem, rsa_key

KEY: Final = rsa_key("helpers' client")
ROOT_KEY: Final = rsa_key("helpers' root")
CA_KEY: Final = rsa_key("helpers' CA")
ROOT: Final = certificate("Helper Root", ROOT_KEY, ca=True)
CA: Final = certificate("Helper CA", CA_KEY, issuer=ROOT, issuer_key=ROOT_KEY, ca=True)
LEAF: Final = certificate("leaf.example.org", KEY, issuer=CA, issuer_key=CA_KEY)
OTHER_ROOT: Final = certificate("Other Root", rsa_key("helpers' other root"), ca=True)
KEY_PEM: Final = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

COOKIES: Final = {
    "one-line": "cookie",
    "line-end": "cookie\n",
    "crlf": "cookie\r\n",
    "two-lines": "first\nsecond\n",
    "two-lines-crlf": "first\r\nsecond\r\n",
    "unfinished": "first\nsecond",
    "blanks": "  a  b  ",
    "json": '{"a": "b\\u00e9\\n", "c": ["\'", "`", "$x"]}',
    "empty-line": "first\n\nthird\n",
}
"""Cookies, as the helper prints them after a delay of 0."""


@dataclass(frozen=True)
class Case:
    """One helper: what it does for SUBMIT and POLL."""

    script: str


def _enveloped(folder: Path, name: str, content: bytes) -> None:
    """*content* for the holder of the client's key, DER and PEM, by openssl."""
    (folder / f"{name}.content").write_bytes(content)
    (folder / "recipient.pem").write_text(pem(certificate("recipient", KEY)))
    for form in ("DER", "PEM"):
        target = folder / f"{name}-{form.lower()}"
        command = ["openssl", "smime", "-encrypt", "-binary", "-aes128", "-outform", form, "-out", target]
        subprocess.run([*command, "-in", folder / f"{name}.content", folder / "recipient.pem"], check=True)


def write_answers(folder: Path) -> None:
    """All forms of one certificate, for scripts to print."""
    folder.mkdir(exist_ok=True)
    bag = [ROOT, LEAF, CA]
    p7 = pkcs7.serialize_certificates(bag, Encoding.DER)
    forms: dict[str, bytes] = {
        "pem": pem(LEAF).encode(),
        "pem-crlf": pem(LEAF).replace("\n", "\r\n").encode(),
        "pem-in-text": f"Issued:\n\n{pem(LEAF)}\nGood bye.\n".encode(),
        "pem-unfinished": pem(LEAF).rstrip().encode(),
        "der": der(LEAF),
        "several": pem(ROOT, CA, LEAF).encode(),
        "several-leaf-first": pem(LEAF, CA, ROOT).encode(),
        "pkcs7-der": p7,
        "pkcs7-pem": pkcs7.serialize_certificates(bag, Encoding.PEM),
        "pkcs7-one": pkcs7.serialize_certificates([LEAF], Encoding.DER),
        "json": json.dumps({"certificate": pem(LEAF)}).encode(),
        "json-lists": json.dumps(
            {
                "certificate": pem(LEAF),
                "chain": [{"certificate": pem(CA), "nickname": "ca"}, {"nickname": "no certificate"}],
                "roots": [{"certificate": pem(ROOT)}],
                "unknown": 1,
            }
        ).encode(),
        "json-no-lists": json.dumps({"certificate": pem(LEAF), "chain": "none", "roots": {}}).encode(),
        "bare-base64": base64.encodebytes(der(LEAF)),
        "text": b"Here is no certificate.\n",
        "nothing": b"",
    }
    for name, content in forms.items():
        (folder / name).write_bytes(content)
    _enveloped(folder, "enveloped-certificate", der(LEAF))
    _enveloped(folder, "enveloped-pkcs7", p7)
    (folder / "leaf.pem").write_text(pem(LEAF))
    (folder / "chain.pem").write_text(pem(CA, ROOT))


OUTPUTS: Final = (
    "pem",
    "pem-crlf",
    "pem-in-text",
    "pem-unfinished",
    "der",
    "several",
    "several-leaf-first",
    "pkcs7-der",
    "pkcs7-pem",
    "pkcs7-one",
    "json",
    "json-lists",
    "json-no-lists",
    "enveloped-certificate-der",
    "enveloped-certificate-pem",
    "enveloped-pkcs7-der",
    "enveloped-pkcs7-pem",
)
"""What is taken for the leaf's certificate."""
NO_CERTIFICATES: Final = ("bare-base64", "text", "nothing")
STATUSES: Final = {
    "wait": "echo cookie; exit 1",
    "wait-no-cookie": "exit 1",
    "rejected": "echo 'Policy says no.'; echo more; exit 2",
    "rejected-silent": "exit 2",
    "unreachable": "echo 'No route.'; exit 3",
    "unconfigured": "echo 'No settings.'; exit 4",
    "delay": "printf '3600\\ncookie\\n'; exit 5",
    "delay-negative": "printf '%s\\ncookie\\n' -1; exit 5",
    "delay-text": "printf 'soon\\ncookie\\n'; exit 5",
    "delay-no-cookie": "printf '3600\\n'; exit 5",
    "delay-blank": "printf '3600 \\ncookie\\n'; exit 5",
    "unsupported": "echo 'Not that.'; exit 6",
    "seven": "echo 'Seven.'; exit 7",
    "scep": "exit 16",
    "odd": "echo 'Odd.'; exit 255",
}


def cases(folder: Path, local_submit: str) -> dict[str, Case]:
    """All of them; *folder* has the answers and receives what scripts record."""
    found = {name: Case(f"cat {folder}/{name}") for name in (*OUTPUTS, *NO_CERTIFICATES)}
    found |= {name: Case(script) for name, script in STATUSES.items()}
    for name, cookie in COOKIES.items():
        (folder / f"{name}.cookie").write_bytes(b"0\n" + cookie.encode())
        found[f"cookie-{name}"] = Case(
            f'if [ "$CERTMONGER_OPERATION" = SUBMIT ]; then cat {folder}/{name}.cookie; exit 5; fi\n'
            f'printf %s "$CERTMONGER_CA_COOKIE" > {folder}/{name}.seen; cat {folder}/pem'
        )
    found["new-key"] = Case(f"[ -e {folder}/marker ] || {{ touch {folder}/marker; exit 17; }}\nexec {local_submit}")
    return found


def roots_texts() -> dict[str, str]:
    """Answers to FETCH-ROOTS."""
    lists = {kind: [{"nickname": kind, "certificate": pem(each)}] for kind, each in _LISTS.items()}
    return {
        "one": f"root\n{pem(ROOT)}",
        "crlf": f"root\n{pem(ROOT)}".replace("\n", "\r\n"),
        "unfinished": f"root\n{pem(ROOT)}".rstrip("\n"),
        "two-roots": f"root\n{pem(ROOT)}other\n{pem(OTHER_ROOT)}",
        "three-lists": f"root\n{pem(ROOT)}\nother\n{pem(OTHER_ROOT)}\nca\n{pem(CA)}",
        "json": json.dumps(lists),
    }


_LISTS: Final = {"roots": ROOT, "other-roots": OTHER_ROOT, "other": CA}


def cepces_like(folder: Path) -> str:
    """The command of a helper that talks as cepces-submit."""
    return f"{sys.executable} {Path(__file__).parent / 'cepces_like.py'} {folder}"


def certificates_in(path: Path) -> set[bytes]:
    """The certificates in a PEM file, DER; none where there is no file."""
    if not path.exists():
        return set()
    return {der(each) for each in x509.load_pem_x509_certificates(path.read_bytes())}
