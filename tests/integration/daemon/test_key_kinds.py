"""Keys that are neither RSA nor EC, through the whole daemon, with the CAs that issue for them."""

import re
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from daemon_under_test import DaemonUnderTest

from certmongerd.api import REQUEST_INTERFACE, ROOT_INTERFACE, ROOT_PATH
from certmongerd.busapi.blocking import BlockingConnection

KINDS = ("Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87")


def key_type_and_size(daemon: DaemonUnderTest, name: str) -> tuple[object, ...]:
    with BlockingConnection.connect(f"unix:path={daemon.socket}") as connection:
        (path,) = connection.call(None, ROOT_PATH, ROOT_INTERFACE, "find_request_by_nickname", "s", (name,))
        return connection.call(None, str(path), REQUEST_INTERFACE, "get_key_type_and_size")


def certificate_of(daemon: DaemonUnderTest, name: str) -> x509.Certificate:
    """The certificate that was stored, which has to be for the key that was stored."""
    certificate = x509.load_pem_x509_certificate((daemon.certs / f"{name}.crt").read_bytes())
    key = load_pem_private_key((daemon.certs / f"{name}.key").read_bytes(), None)
    der, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    assert certificate.public_key().public_bytes(der, form) == key.public_key().public_bytes(der, form)
    return certificate


@pytest.mark.parametrize("ca", ["SelfSign", "local"])
@pytest.mark.parametrize("kind", KINDS)
def test_certificates_are_issued_renewed_and_rekeyed(daemon: DaemonUnderTest, kind: str, ca: str) -> None:
    name = f"{kind}-{ca}"
    done = daemon.request(name, "-G", kind.lower(), ca=ca)
    assert done.returncode == 0, done.stdout + daemon.log.read_text()
    first = certificate_of(daemon, name)
    assert daemon.listing(name)["status"] == "MONITORING"
    assert key_type_and_size(daemon, name) == (kind, 256 if kind == "Ed25519" else 0)

    assert daemon.getcert("resubmit", "-i", name, "-w").returncode == 0
    renewed = certificate_of(daemon, name)
    assert renewed.public_key() == first.public_key()
    assert renewed.serial_number != first.serial_number

    assert daemon.getcert("rekey", "-i", name, "-w").returncode == 0
    rekeyed = certificate_of(daemon, name)
    assert type(rekeyed.public_key()) is type(first.public_key())
    assert rekeyed.public_key() != first.public_key()
    if ca == "SelfSign":
        rekeyed.verify_directly_issued_by(rekeyed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_changes_its_kind_by_rekeying(daemon: DaemonUnderTest, kind: str) -> None:
    name = f"from-rsa-to-{kind}"
    assert daemon.request(name).returncode == 0

    assert daemon.getcert("rekey", "-i", name, "-G", kind, "-w").returncode == 0

    assert key_type_and_size(daemon, name)[0] == kind
    certificate_of(daemon, name)


def test_keys_of_all_kinds_survive_a_restart(make_daemon: Callable[..., DaemonUnderTest]) -> None:
    daemon = make_daemon()
    daemon.start()
    for kind in KINDS:
        assert daemon.request(f"kept-{kind}", "-G", kind, "-P", "secret").returncode == 0
    assert daemon.stop() == 0
    daemon.start()

    for kind in KINDS:
        assert daemon.listing(f"kept-{kind}")["status"] == "MONITORING"
        assert daemon.getcert("resubmit", "-i", f"kept-{kind}", "-w").returncode == 0
        state = daemon.state_file("requests", f"kept-{kind}").read_text()
        assert re.findall("^key_(?:gen_)?type=(.*)$", state, re.MULTILINE) == [kind, kind]


def test_an_unknown_kind_is_refused_with_the_known_ones(daemon: DaemonUnderTest) -> None:
    refused = daemon.request("nothing", "-G", "ML-DSA-99")

    assert refused.returncode == 1
    assert refused.stdout.splitlines() == [
        'No support for generating "ML-DSA-99" keys.',
        "Known key types include: RSA EC Ed25519 ML-DSA-44 ML-DSA-65 ML-DSA-87",
    ]
