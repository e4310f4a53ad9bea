"""`getcert why`, `get-cert` and `get-crl` with a daemon, scep-submit as its helper, and a server."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from daemon_under_test import DaemonUnderTest, openssl
from fakes.scep_authority import Authority, ReplyPlan, ca_with_ra
from fakes.scep_cms import DATA, certificates_only, oid, tlv
from fakes.scep_responder import Responder, Scenario
from scep_material import NOW


@pytest.fixture(scope="module")
def server() -> Iterator[Responder]:
    with Responder() as responder:
        yield responder


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"))
    under_test.start()
    yield under_test
    under_test.close()


def crl_of(authority: Authority) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.ca.certificate.subject)
    builder = builder.last_update(NOW).next_update(NOW + timedelta(days=1))
    return builder.sign(authority.ca.key, hashes.SHA256())


def crls_only(crl: x509.CertificateRevocationList) -> bytes:
    signed = tlv(
        0x30,
        tlv(2, b"\1"),
        tlv(0x31),
        tlv(0x30, oid(DATA)),
        tlv(0xA1, crl.public_bytes(Encoding.DER)),
        tlv(0x31),
    )
    return tlv(0x30, oid("1.2.840.113549.1.7.2"), tlv(0xA0, signed))


def enrolled(daemon: DaemonUnderTest, server: Responder, name: str) -> Scenario:
    scenario = Scenario(authority=ca_with_ra())
    daemon.getcert("add-scep-ca", "-c", name, "-u", server.add(name, scenario))
    done = daemon.request(name, "-L", "secret", ca=name)
    assert done.returncode == 0, done.stdout + daemon.log.read_text()
    return scenario


def facts(daemon: DaemonUnderTest, name: str) -> dict[str, str]:
    shown = daemon.getcert("why", "-i", name)
    assert shown.returncode == 0, shown.stdout
    lines = (line.strip().partition(": ") for line in shown.stdout.splitlines() if line.startswith("\t"))
    return {label: text for label, _, text in lines}


def test_a_certificate_comes_again_by_its_serial_number(daemon: DaemonUnderTest, server: Responder) -> None:
    scenario = enrolled(daemon, server, "cert")
    held = x509.load_pem_x509_certificate((daemon.certs / "cert.crt").read_bytes())
    scenario.plans = [ReplyPlan(payload=certificates_only([held]))]
    shown = daemon.getcert("get-cert", "-i", "cert", "--serial", "AFFE")
    assert shown.returncode == 0, shown.stdout
    assert x509.load_pem_x509_certificate(shown.stdout.encode()) == held
    question = scenario.received[-1]
    assert (question.message_type, question.signer) == ("21", held)
    name = core.Sequence.load(question.plaintext, strict=True)
    assert name[0].dump() == scenario.authority.ca.certificate.subject.public_bytes()
    assert name[1].native == 0xAFFE
    assert len({each.transaction_id for each in scenario.received}) == 2


def test_the_revocation_list_can_be_read_by_openssl(daemon: DaemonUnderTest, server: Responder, tmp_path: Path) -> None:
    scenario = enrolled(daemon, server, "crl")
    scenario.plans = [ReplyPlan(payload=crls_only(crl_of(scenario.authority)))]
    shown = daemon.getcert("get-crl", "-i", "crl")
    assert shown.returncode == 0, shown.stdout
    (tmp_path / "crl.pem").write_text(shown.stdout)
    assert "Test CA" in openssl("crl", "-in", tmp_path / "crl.pem", "-noout", "-issuer")
    question = scenario.received[-1]
    held = x509.load_pem_x509_certificate((daemon.certs / "crl.crt").read_bytes())
    serial = core.Sequence.load(question.plaintext, strict=True)[1]
    assert (question.message_type, serial.native) == ("22", held.serial_number)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (ReplyPlan(status="2", fail_info="4"), "badCertId"),
        (ReplyPlan(status="3"), "later"),
        (ReplyPlan(payload=b"\x30\0"), "cannot be used"),
    ],
)
def test_a_question_without_an_answer_says_why(
    daemon: DaemonUnderTest, server: Responder, plan: ReplyPlan, words: str
) -> None:
    name = f"none-{words.split()[0]}"
    scenario = enrolled(daemon, server, name)
    before = daemon.listing(name)
    scenario.plans = [plan]
    for command in ("get-cert", "get-crl"):
        shown = daemon.getcert(command, "-i", name)
        assert shown.returncode == 1
        assert words in shown.stdout
    assert daemon.listing(name) == before


def test_only_requests_to_scep_servers_with_a_certificate_can_ask(daemon: DaemonUnderTest) -> None:
    assert daemon.request("plain").returncode == 0
    shown = daemon.getcert("get-crl", "-i", "plain")
    assert (shown.returncode, "does not go to a SCEP server" in shown.stdout) == (1, True)
    assert daemon.getcert("get-cert", "-i", "nobody").returncode == 1
    assert daemon.getcert("why").returncode == 1


def test_why_explains_a_pending_request(daemon: DaemonUnderTest, server: Responder) -> None:
    scenario = Scenario(authority=ca_with_ra(), plans=[ReplyPlan(status="3")])
    daemon.getcert("add-scep-ca", "-c", "P", "-u", server.add("pending", scenario))
    assert daemon.request("pending", "-L", "secret", ca="P").returncode == 5
    told = facts(daemon, "pending")
    assert told["state"] == "CA_WORKING"
    assert told["scep transactionID"] == scenario.received[0].transaction_id
    assert told["scep algorithms"] == "AES128, SHA256, HTTP POST"
    assert "CN=Test RA" in told["scep messages are encrypted to"]
    assert told["scep messageType"].startswith("20 CertPoll")
    assert "a day" in told["rule"]
    assert told["next attempt"].endswith("UTC")
    assert "secret" not in str(told)


def test_why_tells_the_servers_own_words(daemon: DaemonUnderTest, server: Responder) -> None:
    plan = ReplyPlan(status="2", fail_info="2", fail_info_text="the challenge is used up")
    scenario = Scenario(authority=ca_with_ra(), plans=[plan])
    daemon.getcert("add-scep-ca", "-c", "F", "-u", server.add("failing", scenario))
    assert daemon.request("failing", "-L", "secret", ca="F").returncode == 2
    told = facts(daemon, "failing")
    assert "the challenge is used up" in told["reason"]
    assert told["advice"].startswith("Correct the request or ask")
    assert told["scep transactionID"].endswith("(finished)")


def test_why_explains_what_a_request_without_the_servers_certificates_waits_for(daemon: DaemonUnderTest) -> None:
    daemon.getcert("add-scep-ca", "-c", "gone", "-u", "http://127.0.0.1:9/scep")
    assert daemon.request("waiting", ca="gone").returncode == 3
    told = facts(daemon, "waiting")
    assert (told["state"], told["stuck"]) == ("NEED_SCEP_ENCRYPTION_CERT", "no")
    assert "127.0.0.1:9" in told["ca trouble"]
    assert "refresh-ca" in told["advice"]
