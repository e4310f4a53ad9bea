"""certmonger knows no PKCS #11 tokens: it watches such a request, and the key is found again afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from certmonger_under_test import Certmonger
from daemon_under_test import DaemonUnderTest
from scep_rig import until
from softhsm import PIN, SoftHsm


@pytest.fixture
def certmonger(tmp_path: Path) -> Iterator[Certmonger]:
    certmonger = Certmonger(tmp_path)
    yield certmonger
    certmonger.stop()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[DaemonUnderTest]:
    daemon = DaemonUnderTest(tmp_path)
    yield daemon
    daemon.close()


def test_a_request_survives_certmonger(certmonger: Certmonger, ours: DaemonUnderTest) -> None:
    hsm = SoftHsm(ours.root / "hsm")
    hsm.add_token("one")
    ours.start(hsm.environment)
    places = ("-k", hsm.uri(), "-f", str(ours.certs / "web.crt"))
    assert ours.getcert("request", "-I", "web", "-c", "SelfSign", *places, "-P", PIN, "-w").returncode == 0
    before = (ours.certs / "web.crt").read_bytes()
    ours.stop()
    certmonger.start()
    until(lambda: certmonger.listed() == {"web": "MONITORING"})
    certmonger.stop()
    assert not list(ours.root.rglob("pkcs11*")), "no key file was made of the URI"

    ours.start(hsm.environment)
    assert ours.listing("web")["key pair storage"] == f"type=PKCS11,location='{hsm.uri()}',pin set"
    assert ours.getcert("rekey", "-i", "web", "-w").returncode == 0
    assert ours.listing("web")["status"] == "MONITORING"
    assert (ours.certs / "web.crt").read_bytes() != before
    assert hsm.labels() == ["web"]
