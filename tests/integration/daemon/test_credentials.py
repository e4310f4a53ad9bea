"""PINs and passwords that the service manager hands over, named `credential:NAME`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import AttributeOID
from daemon_under_test import DaemonUnderTest, openssl

MakeDaemon = Callable[..., DaemonUnderTest]


@pytest.fixture
def daemon(make_daemon: MakeDaemon, tmp_path: Path) -> DaemonUnderTest:
    """A daemon that was given a PIN and a challenge password."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "web-pin").write_text("pin of the key\n")
    (folder / "challenge").write_text("the challenge\n")
    daemon = make_daemon()
    daemon.start({"CREDENTIALS_DIRECTORY": str(folder)})
    return daemon


def test_a_key_is_encrypted_with_a_pin_of_the_service(daemon: DaemonUnderTest) -> None:
    assert daemon.request("web", "-p", "credential:web-pin").returncode == 0
    key = daemon.certs / "web.key"
    assert "ENCRYPTED" in key.read_text()
    openssl("pkey", "-in", key, "-passin", "pass:pin of the key", "-noout")
    assert daemon.getcert("resubmit", "-i", "web", "-w").returncode == 0
    assert daemon.listing("web")["status"] == "MONITORING"
    assert daemon.listing("web")["key pair storage"].endswith(",pinfile='credential:web-pin'")


def test_a_challenge_password_of_the_service_is_in_the_signing_request(daemon: DaemonUnderTest) -> None:
    daemon.add_helper("keeping", f'printf "%s" "$CERTMONGER_CSR" >{daemon.root}/csr; exit 2')
    daemon.request("web", "-l", "credential:challenge", ca="keeping")
    csr = x509.load_pem_x509_csr((daemon.root / "csr").read_bytes())
    password = csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD)
    assert password.value == b"the challenge"


@pytest.mark.parametrize(
    ("option", "state"), [("-p", "NEED_KEY_GEN_PIN"), ("-l", "NEED_GUIDANCE")], ids=["PIN", "challenge password"]
)
def test_what_the_service_was_not_given_is_said(daemon: DaemonUnderTest, option: str, state: str) -> None:
    daemon.request("web", option, "credential:other")
    assert daemon.listing("web")["status"] == state
    told = daemon.getcert("why", "-i", "web").stdout
    assert 'the service was not given the credential "other"' in " ".join(told.split())
    assert "LoadCredential=other:FILE" in told


def test_a_daemon_without_a_service_manager_has_none(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    daemon.request("web", "-p", "credential:web-pin")
    assert daemon.listing("web")["status"] == "NEED_KEY_GEN_PIN"


@pytest.mark.parametrize("name", ["credential:", "credential:..", "credential:../../etc/shadow", "credential:a\nb"])
def test_a_name_that_leads_elsewhere_is_refused(daemon: DaemonUnderTest, name: str) -> None:
    for option in ("-p", "-l"):
        assert "must be an absolute path" in daemon.request("web", option, name).stdout


def test_hooks_and_other_peoples_helpers_do_not_learn_where_they_are(daemon: DaemonUnderTest) -> None:
    daemon.add_helper("telling", f"env >{daemon.root}/helper; exit 2")
    daemon.request("one", ca="telling")
    daemon.request("two", "-C", f"/bin/sh -c 'env >{daemon.root}/hook'")
    for seen in ("helper", "hook"):
        assert "CREDENTIALS_DIRECTORY" not in (daemon.root / seen).read_text()
