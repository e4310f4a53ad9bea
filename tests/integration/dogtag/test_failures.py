"""What can go wrong between the Dogtag helpers and a server; nothing that may pass is taken for a refusal."""

import subprocess
import threading
from pathlib import Path

import pytest
from dogtag_rig import DogtagRig, ours
from dogtag_server import DEFERRED, issued, processed, profile_list, retrieved, review
from kerberos_realm import free_port
from scep_material import certificate, pem, rsa_key

from certmonger_helpers.dogtag.answers import MAX_ANSWER_BYTES
from certmonger_helpers.dogtag.service import Service, Submission
from certmonger_helpers.outcome import Unreachable
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpClient, Limits

RENEW = ours("dogtag-ipa-renew-agent-submit")
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><xml>&b;</xml>'


def assert_told(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """One line with all *words*, and *status*."""
    assert done.returncode == status, done.stdout
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stdout


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "empty answer"),
        (b"out of order", "not XML"),
        (b"<xml><header>", "not XML"),
        (b"<html><body>Service unavailable</body></html>", "not one of Dogtag"),
        (BOMB.encode(), "not plain XML"),
        (BOMB.encode("utf-16"), "not XML"),
        (b"<xml>" * 100_000, "not XML"),
        (b"<a>" + b" " * MAX_ANSWER_BYTES + b"</a>", "sent more than"),
        (issued("AAAA").encode(), "cannot be read"),
        (issued("not base64!").encode(), "cannot be read"),
    ],
)
def test_an_answer_that_is_none(rig: DogtagRig, answer: bytes, words: str) -> None:
    rig.server.answers["profileSubmit"] = answer
    assert_told(rig.run(*rig.ee), 3, rig.server.ee_url, words)


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_an_http_error(rig: DogtagRig, status: int) -> None:
    rig.server.status, rig.server.answers["profileSubmit"] = status, DEFERRED
    assert_told(rig.run(*rig.ee), 3, rig.server.ee_url, str(status))


def test_nobody_listens(rig: DogtagRig) -> None:
    assert_told(rig.run("-E", f"http://localhost:{free_port()}/ca/ee/ca"), 3, "cannot be reached")


@pytest.mark.parametrize("argv", [(), ("-i", "{foreign}")])
def test_an_untrusted_server(rig: DogtagRig, argv: tuple[str, ...]) -> None:
    foreign = rig.root / "foreign.pem"
    foreign.write_text(pem(certificate("Foreign", rsa_key("foreign"), ca=True)))
    done = rig.run("-E", rig.server.secure_ee_url, *(option.format(foreign=foreign) for option in argv))
    assert_told(done, 3, "certificate verify failed")
    assert not rig.server.seen


def test_an_agent_that_the_server_does_not_know(rig: DogtagRig) -> None:
    (rig.root / "agent.pem").write_text(pem(certificate("other", rsa_key("agent"))))
    done = rig.run(*rig.agent, "-S", "state=approve&requestId=12")
    assert_told(done, 3, rig.server.agent_url)


def test_an_agent_without_certificate(rig: DogtagRig) -> None:
    known = ("-E", rig.server.ee_url, "-A", rig.server.agent_url, "-i", str(rig.ca_file))
    assert_told(rig.run(*known, "-S", "state=approve&requestId=12"), 4, "agent")


@pytest.mark.parametrize(
    ("option", "value"), [("-c", "none.pem"), ("-k", "none.key"), ("-i", "none.pem"), ("-k", "ca.pem")]
)
def test_a_file_that_cannot_be_used(rig: DogtagRig, option: str, value: str) -> None:
    done = rig.run(*rig.agent, "-S", "state=approve&requestId=12", option, str(rig.root / value))
    assert_told(done, 4, value)


@pytest.mark.parametrize(
    "argv", [("-s", "xyz"), ("-D", "1F"), ("-E", "ftp://x"), ("-w", "/nonexistent/file"), ("csr-that-is-absent",)]
)
def test_an_option_that_cannot_be_followed(rig: DogtagRig, argv: tuple[str, ...]) -> None:
    assert_told(rig.run(*rig.ee, *argv), 4)


def test_a_certificate_that_cannot_be_read_is_not_renewed(rig: DogtagRig) -> None:
    assert_told(rig.run(*rig.ee, CERTIFICATE="nonsense"), 4, "CERTMONGER_CERTIFICATE")


async def test_a_server_that_does_not_answer(rig: DogtagRig) -> None:
    rig.server.stall = threading.Event()
    async with HttpClient(tls=TlsSettings(), limits=Limits(exchange_s=0.3)) as client:
        with pytest.raises(Unreachable, match="did not answer within the time limit"):
            await Service(client=client, ee_url=rig.server.ee_url).submit(Submission(profile="caServerCert", serial=1))


def nss_database(rig: DogtagRig, password: str) -> Path:
    """A database with the agent's certificate and key, made by NSS's own tools."""
    database = rig.root / "nss"
    database.mkdir()
    (rig.root / "nss-pin").write_text(password)
    bundle = rig.root / "agent.p12"
    export = ("openssl", "pkcs12", "-export", "-out", bundle, "-in", rig.root / "agent.pem", "-name", "ipaCert")
    for command in (
        (*export, "-inkey", rig.root / "agent.key", "-passout", "pass:"),
        ("certutil", "-N", "-d", database, "-f", rig.root / "nss-pin"),
        ("pk12util", "-i", bundle, "-d", database, "-k", rig.root / "nss-pin", "-W", ""),
    ):
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return database


def test_the_agents_key_can_be_in_an_nss_database(rig: DogtagRig) -> None:
    database = nss_database(rig, "database pin")
    rig.server.answers |= {"profileReview": review(), "profileProcess": processed("complete")}
    known = ("-E", rig.server.ee_url, "-A", rig.server.agent_url, "-i", str(rig.ca_file), "-d", str(database))
    options = ("-n", "ipaCert", "-S", "state=approve&requestId=12")
    assert rig.run(*known, *options, "-p", str(rig.root / "nss-pin")).returncode == 5
    assert rig.server.seen[0].has_client_certificate
    assert_told(rig.run(*known, *options, "-P", "wrong"), 4, str(database), "ipaCert")
    assert_told(rig.run(*known, *options, "-n", "absent", "-p", str(rig.root / "nss-pin")), 4, "absent")


def test_the_renewal_agent_finds_the_server_in_ipas_configuration(rig: DogtagRig) -> None:
    config = rig.root / "default.conf"
    credentials = ("-c", str(rig.root / "agent.pem"), "-k", str(rig.root / "agent.key"), "-i", str(rig.ca_file))
    for version, port in (("10", 8080), ("9", 9180), ("", 9180)):
        config.write_text(f"[global]\nhost = ca.invalid\ndogtag_version = {version}\n")
        done = rig.run("--config", str(config), *credentials, program=RENEW)
        assert_told(done, 3, f"http://ca.invalid:{port}/ca/ee/ca/profileSubmit")
    done = rig.run("--config", str(config), *credentials, "-V", "10", program=RENEW)
    assert_told(done, 3, "http://ca.invalid:8080/ca/ee/ca/profileSubmit")


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        ((), "certfile and keyfile"),
        (("-c", "x"), "-E"),
        (("-c", "x", "-E", "http://x/"), "-A"),
        (("-c", "x", "-V", "ten"), "ten"),
    ],
)
def test_the_renewal_agent_says_what_is_missing(rig: DogtagRig, argv: tuple[str, ...], word: str) -> None:
    assert_told(rig.run("--config", str(rig.root / "none"), *argv, program=RENEW), 4, word)


def test_the_renewal_agent_lists_profiles(rig: DogtagRig) -> None:
    rig.server.answers["profileList"] = profile_list(("caServerCert", True, True))
    done = rig.run("--config", str(rig.root / "none"), *rig.agent, "-t", program=RENEW)
    assert (done.returncode, done.stdout) == (0, "caServerCert\n")


def test_an_answer_without_certificate_is_a_refusal(rig: DogtagRig) -> None:
    rig.server.answers["displayCertFromRequest"] = retrieved("")
    assert_told(rig.run(*rig.ee, "-S", "state=retrieve&requestId=12"), 2, "replied: nothing")
