"""est-submit by itself: what it answers to each operation, and what it makes of odd servers and options."""

import asyncio
import base64
import json
import shutil
import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from est_rig import FACTORY, EstRig
from est_server import CA, CA_KEY, CERTS_ONLY, PASSWORD, ROOT, ROOT_KEY, USER, Answer, certs_only
from kerberos_realm import free_port
from local_ca import CSR
from scep_material import NOW, certificate, pem, rsa_key

from certmonger_helpers.est.server import EstServer
from certmonger_helpers.outcome import Unreachable
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpClient, Limits
from certmongerd.pki import der

HELD = certificate("web.example.org", rsa_key("held"), issuer=CA, issuer_key=CA_KEY)


def assert_told(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """One line with all *words*, and *status*."""
    assert done.returncode == status, done.stdout
    assert done.stdout.count("\n") == 1, done.stdout
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stdout


def test_the_stand_in_is_understood_by_curl_and_openssl(rig: EstRig, tmp_path: Path) -> None:
    scenario = rig.add("curl", login="Basic")
    address = f"{rig.server.url}/.well-known/est/curl"
    for program in ("curl", "openssl"):
        assert shutil.which(program), f"{program} is not installed: apt-get install {program}"
    request = tmp_path / "request"
    request.write_bytes(base64.encodebytes(x509.load_pem_x509_csr(CSR.encode()).public_bytes(Encoding.DER)))
    login = ("-u", f"{USER}:{PASSWORD}", "--basic", "-H", "Content-Type: application/pkcs10")
    for operation, options in (("cacerts", ()), ("simpleenroll", (*login, "--data-binary", f"@{request}"))):
        command = ["curl", "-sf", "--cacert", str(rig.ca_file), *options, f"{address}/{operation}"]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        (tmp_path / "p7").write_bytes(base64.b64decode(answer))
        shown = subprocess.run(
            ["openssl", "pkcs7", "-inform", "DER", "-in", tmp_path / "p7", "-print_certs", "-noout"],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip
        assert ("EST Root" if operation == "cacerts" else "web.example.org") in shown
    assert len(scenario.issued) == 1


@pytest.mark.parametrize("login", ["Basic", "MD5", "SHA-256"])
def test_every_login_that_a_server_can_want(rig: EstRig, login: str) -> None:
    scenario = rig.add(f"login-{login}", login=login)
    done = rig.run(*rig.known(f"login-{login}"), *rig.login)
    assert done.returncode == 0, done.stdout
    assert done.stdout == pem(*scenario.issued)
    assert scenario.seen[0].user == USER


def test_a_login_of_another_kind_cannot_be_done(rig: EstRig) -> None:
    refused = Answer(401, headers=(("WWW-Authenticate", "Negotiate"),))
    rig.add("negotiate", answers={"simpleenroll": refused})
    assert_told(rig.run(*rig.known("negotiate"), *rig.login), 4, "neither Digest nor Basic")


def test_the_password_is_not_shown_to_those_who_want_to_see_everything(rig: EstRig) -> None:
    rig.add("verbose", login="Basic")
    done = rig.run("-v", "-v", *rig.known("verbose"), *rig.login)
    assert done.returncode == 0
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert "simpleenroll" in done.stderr
    assert PASSWORD not in done.stderr
    assert encoded not in done.stderr


def test_roots_are_what_signed_itself_and_the_rest_is_chain(rig: EstRig) -> None:
    new_key = rsa_key("EST root, new")
    new = certificate("EST Root", new_key, ca=True)
    new_by_old = certificate("EST Root", new_key, issuer=ROOT, issuer_key=ROOT_KEY, ca=True)
    rig.add("rollover", ca_certificates=(CA, new, new_by_old, ROOT))
    done = rig.run(*rig.known("rollover"), OPERATION="FETCH-ROOTS")
    assert done.returncode == 0
    found = {kind: {each["certificate"] for each in members} for kind, members in json.loads(done.stdout).items()}
    assert found == {"roots": {pem(new), pem(ROOT)}, "other": {pem(CA), pem(new_by_old)}}


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        (None, []),
        (der.sequence(), []),
        (der.sequence(der.oid("1.2.840.113549.1.9.7"), der.oid("2.5.29.17")), ["HOSTNAME"]),
        (der.sequence(der.oid("2.5.4.10"), der.oid("2.5.4.3"), der.oid("1.2.840.113549.1.9.1")), ["SUBJECT", "EMAIL"]),
        (
            der.sequence(der.sequence(der.oid("2.5.29.17"), der.set_of(der.oid("1.3.6.1.5.2.2")))),
            ["HOSTNAME", "PRINCIPAL"],
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("operation", ["GET-NEW-REQUEST-REQUIREMENTS", "GET-RENEW-REQUEST-REQUIREMENTS"])
def test_attributes_become_variables(rig: EstRig, attributes: bytes | None, names: list[str], operation: str) -> None:
    rig.add("attributes", attributes=attributes)
    done = rig.run(*rig.known("attributes"), OPERATION=operation)
    assert done.returncode == 0, done.stdout
    assert done.stdout.split() == [f"CERTMONGER_REQ_{name}" for name in names]


@pytest.mark.parametrize(
    "body", [b"*", base64.b64encode(b"\x30\x84\xff\xff\xff\xff"), base64.b64encode(b"0\x80" * 9999)]
)
def test_attributes_that_are_none(rig: EstRig, body: bytes) -> None:
    rig.add("odd", answers={"csrattrs": Answer(200, body, "application/csrattrs")})
    assert_told(rig.run(*rig.known("odd"), OPERATION="GET-NEW-REQUEST-REQUIREMENTS"), 3, "attributes")


@pytest.mark.parametrize(
    ("after", "status", "output"),
    [
        ("17", 5, "17\nsimpleenroll\n"),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 5, "0\nsimpleenroll\n"),
        ("99999999999", 5, "2592000\nsimpleenroll\n"),
        ("soon", 1, "simpleenroll\n"),
        ("", 1, "simpleenroll\n"),
    ],
)
def test_retry_after_says_when_to_ask_again(rig: EstRig, after: str, status: int, output: str) -> None:
    rig.add("later", pending=1, retry_after=after)
    done = rig.run(*rig.known("later"))
    assert (done.returncode, done.stdout) == (status, output)


def test_a_date_to_ask_again_counts_from_the_servers_clock(rig: EstRig) -> None:
    scenario = rig.add("date", pending=1, retry_after="Fri, 31 Dec 2100 23:59:59 GMT")
    done = rig.run(*rig.known("date"))
    assert (done.returncode, done.stdout) == (5, "2592000\nsimpleenroll\n")
    assert scenario.operations == ["simpleenroll"]


def test_polling_asks_the_same_again(rig: EstRig) -> None:
    scenario = rig.add("poll")
    assert rig.run(*rig.known("poll"), OPERATION="POLL", CA_COOKIE="simplereenroll\n").returncode == 0
    assert scenario.operations == ["simplereenroll"]


def key_in(folder: Path) -> Path:
    """A folder with the key of the certificate that is held, among other files."""
    folder.mkdir()
    (folder / "a.txt").write_text("no key")
    (folder / "b.key").write_bytes(rsa_key("other").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "c.key").write_bytes(rsa_key("held").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "d").mkdir()
    return folder


def test_the_certificate_held_is_shown_while_it_is_valid(rig: EstRig, tmp_path: Path) -> None:
    scenario = rig.add("held")
    options = (*rig.known("held"), *rig.factory, "--renewal-keys", str(key_in(tmp_path / "keys")))
    expired = certificate(
        "web.example.org", rsa_key("held"), issuer=CA, issuer_key=CA_KEY, not_after=NOW - timedelta(hours=1)
    )
    for held in (HELD, expired, certificate("web.example.org", rsa_key("elsewhere"))):
        done = rig.run(*options, CERTIFICATE=pem(held))
        assert done.returncode == 0 or held is not HELD, done.stdout
    rig.run(*options)
    assert [each.client for each in scenario.seen] == ["web.example.org", FACTORY, FACTORY, FACTORY]


def test_a_key_with_a_password_is_opened(rig: EstRig) -> None:
    scenario = rig.add("locked")
    locked = ("--certificate", str(rig.root / "factory.pem"), "--key", str(rig.root / "locked.key"))
    opened = rig.run(*rig.known("locked"), *locked, "--key-password-file", str(rig.root / "key-password"))
    assert opened.returncode == 0, opened.stdout
    assert scenario.seen[0].client == FACTORY
    assert_told(rig.run(*rig.known("locked"), *locked), 4, "locked.key")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "No EST URL"),
        (("-u", "http://localhost/"), "not an https:// URL"),
        (("-u", "https://localhost/?x"), "query"),
        (("-u", "https://localhost", "--user", "x"), "--password-file"),
        (("-u", "https://localhost", "--user", "x", "--password-file", "/nonexistent"), "/nonexistent"),
        (("-u", "https://localhost", "-R", "x", "--root-fingerprint", "y"), "Only one of"),
        (("-u", "https://localhost", "--root-fingerprint", "aa:bb"), "no SHA-256 fingerprint"),
        (("-u", "https://localhost", "-R", "/nonexistent"), "/nonexistent"),
        (("-u", "https://localhost", "--key", "/nonexistent"), "no certificate"),
    ],
)
def test_options_that_cannot_be_followed(rig: EstRig, argv: tuple[str, ...], words: str) -> None:
    assert_told(rig.run(*argv), 4, words)


@pytest.mark.parametrize("csr", ["", "nonsense"])
def test_without_a_request_nothing_is_asked(rig: EstRig, csr: str) -> None:
    scenario = rig.add("empty")
    assert_told(rig.run(*rig.known("empty"), CSR=csr), 4, "signing request")
    assert not scenario.seen


def test_another_fingerprint_is_not_trusted(rig: EstRig) -> None:
    scenario = rig.add("print", login="Basic", ca_certificates=(ROOT,))
    known = ("-u", rig.server.url, "--label", "print", *rig.login, "--root-fingerprint")
    assert_told(rig.run(*known, "00" * 32), 4, "/cacerts has the fingerprint 0000")
    not_of_tls = rig.run(*known, ROOT.fingerprint(SHA256()).hex())
    assert_told(not_of_tls, 3, "certificate verify failed")
    assert {each.operation for each in scenario.seen} == {"cacerts"}


def test_nobody_listens(rig: EstRig) -> None:
    assert_told(rig.run("-u", f"https://localhost:{free_port()}", "-R", str(rig.ca_file)), 3, "cannot be reached")


def test_a_server_under_another_name(rig: EstRig) -> None:
    scenario = rig.add("name")
    address = rig.server.url.replace("localhost", "127.0.0.1")
    assert_told(rig.run("-u", address, "--label", "name", "-R", str(rig.ca_file)), 3, "127.0.0.1")
    assert not scenario.seen


def test_der_without_base64_is_read_too(rig: EstRig) -> None:
    der_answer = Answer(200, base64.b64decode(certs_only(HELD).body), CERTS_ONLY)
    rig.add("binary", answers={"simpleenroll": der_answer})
    assert rig.run(*rig.known("binary")).stdout == pem(HELD)


async def test_a_server_that_does_not_answer(rig: EstRig) -> None:
    stall = threading.Event()
    rig.add("stall", stall=stall)
    tls = TlsSettings(ca_file=str(rig.ca_file))
    async with HttpClient(tls=tls, limits=Limits(exchange_s=0.3)) as client:
        server = EstServer(client=client, url=f"{rig.server.url}/.well-known/est/stall", login=None)
        with pytest.raises(Unreachable, match="did not answer within the time limit"):
            await server.enrol("simpleenroll", b"\x30\x00")
    stall.set()
    await asyncio.to_thread(rig.server.until_idle)
