"""Requests whose key is in a PKCS #11 token, through daemon and client."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from daemon_under_test import DaemonUnderTest, openssl
from fakes.scep_authority import ReplyPlan, ca_with_ra
from fakes.scep_cms import EnvelopePlan
from fakes.scep_responder import Scenario
from scep_rig import ScepRig, running_rig, until
from softhsm import PIN, SoftHsm, module


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


def test_a_request_goes_on_when_its_token_is_there(daemon: DaemonUnderTest, hsm: SoftHsm) -> None:
    places = ("-k", hsm.uri("late", token="late"), "-f", str(daemon.certs / "late.crt"))
    done = daemon.getcert("request", "-I", "late", "-c", "SelfSign", *places, "-P", PIN, "-w", "-v")
    assert "State NEWLY_ADDED_NEED_KEYINFO_READ_TOKEN, stuck: yes." in done.stdout
    hsm.add_token("late")
    assert daemon.getcert("resubmit", "-i", "late", "-w").returncode == 0
    assert hsm.labels("late") == ["late"]


def test_a_request_goes_on_when_its_module_is_there(daemon: DaemonUnderTest, hsm: SoftHsm) -> None:
    library = daemon.root / "module.so"
    places = ("-k", hsm.uri("module").replace(module(), str(library)), "-f", str(daemon.certs / "module.crt"))
    done = daemon.getcert("request", "-I", "module", "-c", "SelfSign", *places, "-P", PIN, "-w", "-v")
    assert "State NEWLY_ADDED_NEED_KEYINFO_READ_TOKEN, stuck: yes." in done.stdout
    assert f"The module {library} cannot be loaded" in daemon.listing("module")["ca-error"]
    library.symlink_to(module())
    assert daemon.getcert("resubmit", "-i", "module", "-w").returncode == 0


def test_a_wrong_pin_is_told_and_another_one_goes_on(daemon: DaemonUnderTest, hsm: SoftHsm) -> None:
    assert "State NEWLY_ADDED_NEED_KEYINFO_READ_PIN, stuck: yes." in request(daemon, hsm, "wrong", "-P", "0000")
    assert "PinIncorrect" in daemon.listing("wrong")["ca-error"]
    pin_file = daemon.root / "pin"
    pin_file.write_text(f"{PIN}\n")
    assert daemon.getcert("start-tracking", "-i", "wrong", "-p", pin_file).returncode == 0
    daemon.wait_for("wrong")
    assert "0000" not in daemon.log.read_text()


def test_a_module_that_crashes_fails_its_request_and_nothing_else(daemon: DaemonUnderTest, hsm: SoftHsm) -> None:
    whole = Path(module()).read_bytes()
    library = daemon.root / "crashes.so"
    library.write_bytes(whole[: len(whole) // 8])
    places = ("-k", hsm.uri("crash").replace(module(), str(library)), "-f", str(daemon.certs / "crash.crt"))
    done = daemon.getcert("request", "-I", "crash", "-c", "SelfSign", *places, "-P", PIN, "-w", "-v")
    assert done.stdout.splitlines()[-1] == "State NEED_GUIDANCE, stuck: yes."
    assert "crashed; its process was ended by SIGBUS" in daemon.listing("crash")["ca-error"]
    library.unlink()
    library.symlink_to(module())
    assert daemon.getcert("resubmit", "-i", "crash", "-w").returncode == 0


def test_modules_that_hang_hold_up_nobody_else_not_even_the_start(tmp_path: Path, hsm: SoftHsm) -> None:
    """Loading the module means to read from a fifo. There are more such requests than threads for files."""
    daemon = DaemonUnderTest(tmp_path)
    daemon.start(hsm.environment)
    os.mkfifo(tmp_path / "slow.so")
    try:
        hanging = [f"hangs-{number}" for number in range(12)]
        for name in hanging:
            key = f"pkcs11:object={name}?module-path={tmp_path}/slow.so"
            assert daemon.getcert("request", "-I", name, "-k", key, "-f", daemon.certs / name).returncode == 0
        assert daemon.request("file", ca="SelfSign").returncode == 0
        daemon.stop()
        daemon.start(hsm.environment)
        assert daemon.getcert("rekey", "-i", "file", "-w").returncode == 0
        assert {daemon.listing(name)["status"] for name in hanging} == {"NEWLY_ADDED"}
    finally:
        daemon.stop()
        let_go(tmp_path / "slow.so")


def let_go(fifo: Path) -> None:
    """End the processes that wait for a module to be written into *fifo*."""
    with suppress(OSError):
        while True:  # an error tells that nobody reads any more
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))


def test_a_document_may_declare_keys_in_tokens(daemon: DaemonUnderTest, hsm: SoftHsm) -> None:
    (daemon.root / "declared-pin").write_text(f"{PIN}\n")
    document = daemon.root / "tokens.yaml"
    entry = (
        f"requests:\n- id: declared\n  ca: SelfSign\n  certfile: {daemon.certs}/declared.crt\n"
        f"  keyfile: '{hsm.uri('declared')}'\n  pinfile: {daemon.root}/declared-pin\n"
    )
    document.write_text(entry)
    assert daemon.getcert("apply", "-f", document).stdout == 'Request "declared" added.\n'
    daemon.wait_for("declared")
    assert daemon.getcert("apply", "-f", document).stdout == "Everything is as declared.\n"
    document.write_text(entry.replace("object=", "objekt="))
    done = daemon.getcert("apply", "-f", document, "--dry-run")
    assert done.returncode == 1
    assert done.stdout == f"{document}:5: The pkcs11: URI cannot be used: objekt is not known.\n"


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
