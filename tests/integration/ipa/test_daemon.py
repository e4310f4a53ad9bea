"""From `getcert request` to a stored certificate with its CA, by the daemon, the helper program and an IPA server."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from daemon_under_test import DaemonUnderTest
from ipa_rig import PRINCIPAL, IpaRig, base64_of
from ipa_server import error, result
from scep_material import certificate, pem, rsa_key

import certmonger_helpers

HELPER = Path(certmonger_helpers.__file__).parent / "bin" / "ipa-submit"
CA = certificate("IPA CA", rsa_key("ipa ca"), ca=True)


@pytest.fixture
def daemon(rig: IpaRig, tmp_path: Path) -> Iterator[DaemonUnderTest]:
    """A daemon with a CA called `realm`, whose helper is told where the realm and the server are."""
    under_test = DaemonUnderTest(tmp_path / "daemon")
    under_test.start()
    options = f"-J {rig.server.url} -c {rig.ca_file} -d test.example {' '.join(rig.kerberos)}"
    rig.server.by_method["ca_show"] = result(cn=["ipa"], certificate=base64_of(CA), certificate_chain=[])
    command = f"/usr/bin/env KRB5_CONFIG={rig.realm.config} {HELPER} {options}"
    added = under_test.getcert("add-ca", "-c", "realm", "-e", command)
    assert added.returncode == 0, added.stdout
    yield under_test
    under_test.close()


def test_certificate_and_root_are_stored(rig: IpaRig, daemon: DaemonUnderTest) -> None:
    key = rsa_key("daemon's")
    issued = certificate("www.example.org", key)
    rig.server.by_method["cert_request"] = result(certificate=base64_of(issued))
    (daemon.certs / "www.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    roots = daemon.certs / "roots.pem"
    done = daemon.request("www", "-K", PRINCIPAL, "-T", "caIPAserviceCert", "-F", str(roots), ca="realm")
    assert done.returncode == 0, done.stdout + daemon.log.read_text()
    assert (daemon.certs / "www.crt").read_text() == pem(issued)
    (call,) = [call for call in rig.server.calls if call["body"]["method"] == "cert_request"]
    assert call["body"]["params"][1] == {"principal": PRINCIPAL, "profile_id": "caIPAserviceCert", "add": True}
    deadline = time.monotonic() + 60
    while not roots.exists() or pem(CA) not in roots.read_text():
        assert time.monotonic() < deadline, daemon.log.read_text()
        time.sleep(0.1)


def test_a_refusal_is_shown_in_ipas_words(rig: IpaRig, daemon: DaemonUnderTest) -> None:
    rig.server.by_method["cert_request"] = error(2100, "Insufficient access: not allowed to add")
    daemon.request("no", "-K", PRINCIPAL, ca="realm")
    listing = daemon.listing("no")
    assert listing["status"] == "CA_REJECTED"
    assert "2100 (Insufficient access: not allowed to add)" in listing["ca-error"]
