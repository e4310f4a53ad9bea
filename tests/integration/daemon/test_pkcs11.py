"""Requests whose key is in a PKCS #11 token, through daemon and client."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from daemon_under_test import DaemonUnderTest, openssl
from fakes.scep_authority import ReplyPlan, ca_with_ra
from fakes.scep_cms import EnvelopePlan
from fakes.scep_responder import Scenario
from scep_rig import ScepRig, running_rig, until
from softhsm import PIN, SoftHsm


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    hsm = SoftHsm(tmp_path_factory.mktemp("hsm"))
    hsm.add_token("one")
    return hsm


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, hsm: SoftHsm) -> Iterator[ScepRig]:
    with running_rig(tmp_path_factory.mktemp("pkcs11"), **hsm.environment) as rig:
        yield rig


@pytest.fixture(scope="module")
def daemon(rig: ScepRig) -> DaemonUnderTest:
    return rig.daemon


def request(daemon: DaemonUnderTest, hsm: SoftHsm, name: str, *arguments: str, ca: str = "SelfSign") -> str:
    """`getcert request -w` for a key called *name*; its output."""
    certificate = daemon.certs / f"{name}.crt"
    places = ("-k", hsm.uri(name), "-f", certificate)
    done = daemon.getcert("request", "-I", name, "-c", ca, *places, "-N", f"CN={name}", "-w", "-v", *arguments)
    return done.stdout + done.stderr


def certificate(daemon: DaemonUnderTest, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((daemon.certs / f"{name}.crt").read_bytes())


@pytest.mark.parametrize(("key_type", "ca"), [("RSA", "SelfSign"), ("EC", "local")])
def test_a_certificate_is_enrolled_renewed_and_rekeyed(
    daemon: DaemonUnderTest, hsm: SoftHsm, key_type: str, ca: str
) -> None:
    name = f"web-{key_type}"
    output = request(daemon, hsm, name, "-G", key_type, "-P", PIN, ca=ca)
    assert output.splitlines()[-1] == "State MONITORING, stuck: no.", output
    assert daemon.listing(name)["key pair storage"] == f"type=PKCS11,location='{hsm.uri(name)}',pin set"
    for command in ("resubmit", "rekey"):
        before = certificate(daemon, name)
        done = daemon.getcert(command, "-i", name, "-w", "-v")
        assert done.stdout.splitlines()[-1] == "State MONITORING, stuck: no.", done.stdout
        after = certificate(daemon, name)
        assert after.serial_number != before.serial_number
        assert (after.public_key() == before.public_key()) == (command == "resubmit")
        assert (name, False) in hsm.private_keys()
        assert [label for label in hsm.labels() if label.startswith(name)] == [name]


def test_openssl_verifies_the_signing_request(daemon: DaemonUnderTest, hsm: SoftHsm, tmp_path: Path) -> None:
    assert "MONITORING" in request(daemon, hsm, "csr", "-P", PIN)
    entry = next((daemon.root / "requests").glob("*"))
    entries = [path.read_text() for path in entry.parent.iterdir() if "id=csr\n" in path.read_text()]
    csr = entries[0].partition("csr=")[2].partition("spkac=")[0]
    (tmp_path / "csr.pem").write_text(csr.replace("\n ", "\n"))
    openssl("req", "-in", tmp_path / "csr.pem", "-noout", "-verify")


def test_a_request_waits_for_pin_and_token(daemon: DaemonUnderTest, hsm: SoftHsm) -> None:
    assert "State NEWLY_ADDED_NEED_KEYINFO_READ_PIN, stuck: yes." in request(daemon, hsm, "waits")
    daemon.getcert("start-tracking", "-i", "waits", "-P", PIN)
    until(lambda: daemon.listing("waits")["status"] == "MONITORING")
    missing = hsm.uri("absent").replace("token=one", "token=two")
    places = ("-k", missing, "-f", str(daemon.certs / "absent.crt"))
    done = daemon.getcert("request", "-I", "absent", "-c", "SelfSign", *places, "-P", PIN, "-w", "-v")
    assert "State NEWLY_ADDED_NEED_KEYINFO_READ_TOKEN, stuck: yes." in done.stdout
    assert "No token fits the URI" in daemon.listing("absent")["ca-error"]


def test_a_uri_that_cannot_be_used_is_refused_at_once(daemon: DaemonUnderTest) -> None:
    places = ("-k", "pkcs11:token=one?pin-value=4711", "-f", str(daemon.certs / "bad.crt"))
    done = daemon.getcert("request", "-I", "bad", "-c", "SelfSign", *places)
    assert done.returncode == 1
    assert "The pkcs11: URI cannot be used: pin-value" in done.stdout + done.stderr
    assert "4711" not in done.stdout + daemon.log.read_text()


def test_one_key_serves_one_request(daemon: DaemonUnderTest, hsm: SoftHsm) -> None:
    assert "MONITORING" in request(daemon, hsm, "taken", "-P", PIN)
    places = ("-k", hsm.uri("taken"), "-f", str(daemon.certs / "taken-2.crt"))
    done = daemon.getcert("request", "-I", "taken-2", "-c", "SelfSign", *places)
    assert 'Key at same location is already used by request with nickname "taken".' in done.stdout + done.stderr


@pytest.mark.parametrize(("name", "transport"), [("scep", "v15"), ("scep-oaep", "oaep-sha1")])
def test_scep_messages_are_signed_and_opened_in_the_token(
    rig: ScepRig, hsm: SoftHsm, name: str, transport: str
) -> None:
    plan = ReplyPlan(envelope=EnvelopePlan(transport=transport))
    scenario = Scenario(authority=ca_with_ra(), plans=[plan])
    rig.add_ca(name, scenario)
    output = request(rig.daemon, hsm, name, "-P", PIN, ca=name)
    assert "State MONITORING, stuck: no." in output, output
    for command in ("resubmit", "rekey"):
        before = certificate(rig.daemon, name)
        rig.again(command, name)
        assert rig.daemon.listing(name)["status"] == "MONITORING", rig.daemon.listing(name)
        assert certificate(rig.daemon, name).serial_number != before.serial_number
