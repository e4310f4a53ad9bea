"""CA certificates as FETCH-ROOTS gives them to the daemon."""

import json
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.outcome import Unconfigured


def roots_of_file(path: str) -> str:
    """The certificates in a PEM file, each after its nickname. Raises Unconfigured."""
    try:
        return roots_of(x509.load_pem_x509_certificates(Path(path).read_bytes()))
    except OSError as exc:
        raise Unconfigured(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise Unconfigured(f"{path} does not hold certificates in PEM") from exc


def roots_of(certificates: list[x509.Certificate]) -> str:
    """All *certificates* as roots, each after its nickname: the subject."""
    return "".join(
        f"{_nickname(certificate)}\n{certificate.public_bytes(Encoding.PEM).decode('ascii')}"
        for certificate in certificates
    )


def json_of_roots(certificates: Iterable[x509.Certificate]) -> str:
    """What is self-signed among *certificates* as roots, the rest as certificates of chains, which are not trusted."""
    lists: dict[str, list[dict[str, str]]] = {"roots": [], "other": []}
    for certificate in certificates:
        pem = certificate.public_bytes(Encoding.PEM).decode("ascii")
        kind = "roots" if _is_self_signed(certificate) else "other"
        lists[kind].append({"nickname": _nickname(certificate), "certificate": pem})
    return json.dumps(lists)


def _is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether it is its own issuer. Names alone do not tell: a new root signed by the old one has its own name, too."""
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _nickname(certificate: x509.Certificate) -> str:
    """The common name, else the whole subject, in one line."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    text = str(names[0].value) if names else certificate.subject.rfc4514_string()
    return "".join(c if c.isprintable() else " " for c in text).strip() or "CA"
