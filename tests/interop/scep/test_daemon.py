"""Enrolment with a real SCEP server, from getcert through daemon and helper, nothing passed by hand."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest, assert_pair
from nss_database import NssDatabase
from scep_server import ScepServerProcess


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"))
    under_test.start()
    yield under_test
    under_test.close()


def test_a_request_right_after_the_ca_was_added_is_enrolled(
    daemon: DaemonUnderTest, scepserver: ScepServerProcess
) -> None:
    added = daemon.getcert("add-scep-ca", "-c", "X", "-u", scepserver.url)
    assert added.stdout == 'New CA "X" added.\n'
    done = daemon.request("first", "-L", scepserver.challenge, ca="X")
    assert done.returncode == 0, done.stdout + daemon.log.read_text()
    assert_pair(daemon.certs / "first.crt", daemon.certs / "first.key")
    shown = daemon.listing("first")
    assert shown["status"] == "MONITORING"
    assert "signing request thumbprint (SHA1)" in shown
    assert scepserver.challenge not in daemon.log.read_text()


def test_a_wrong_challenge_is_rejected_with_a_reason(daemon: DaemonUnderTest, scepserver: ScepServerProcess) -> None:
    daemon.getcert("add-scep-ca", "-c", "W", "-u", scepserver.url)
    done = daemon.request("wrong", "-L", "guess", ca="W")
    assert done.returncode == 2, done.stdout
    shown = daemon.listing("wrong")
    assert shown["status"] == "CA_REJECTED"
    assert shown["ca-error"]
    assert not (daemon.certs / "wrong.crt").exists()


def test_resubmit_and_rekey_get_new_certificates(
    daemon: DaemonUnderTest, renewing_scepserver: ScepServerProcess
) -> None:
    daemon.getcert("add-scep-ca", "-c", "R", "-u", renewing_scepserver.url)
    assert daemon.request("again", "-L", renewing_scepserver.challenge, ca="R").returncode == 0
    certificate, key = daemon.certs / "again.crt", daemon.certs / "again.key"
    seen = {certificate.read_bytes()}
    first_key = key.read_bytes()
    for command in ("resubmit", "rekey"):
        done = daemon.getcert(command, "-i", "again", "-w")
        assert done.returncode == 0, done.stdout + daemon.getcert("list", "-i", "again").stdout
        assert certificate.read_bytes() not in seen
        seen.add(certificate.read_bytes())
        assert_pair(certificate, key)
    assert key.read_bytes() != first_key


def test_an_ec_key_is_refused_before_anything_is_sent(daemon: DaemonUnderTest, scepserver: ScepServerProcess) -> None:
    daemon.getcert("add-scep-ca", "-c", "E", "-u", scepserver.url)
    done = daemon.request("elliptic", "-G", "EC", "-L", scepserver.challenge, ca="E")
    assert done.returncode == 4
    assert daemon.listing("elliptic")["status"] == "NEED_SCEP_RSA_CLIENT_KEY"


def test_a_server_that_is_down_is_reported(daemon: DaemonUnderTest) -> None:
    daemon.getcert("add-scep-ca", "-c", "D", "-u", "http://127.0.0.1:9/scep")
    done = daemon.request("down", "-L", "x", ca="D")
    assert done.returncode == 3, done.stdout
    shown = daemon.listing("down")
    assert shown["stuck"] == "no"
    assert shown["status"] == "NEED_SCEP_ENCRYPTION_CERT"
    assert "D" in shown["ca-error"]


def test_a_restart_in_the_middle_loses_nothing(
    tmp_path: Path, renewing_scepserver: ScepServerProcess, request: pytest.FixtureRequest
) -> None:
    """Killed at whatever point of an enrolment, the daemon goes on by itself."""
    under_test = DaemonUnderTest(tmp_path)
    request.addfinalizer(under_test.close)
    under_test.start()
    under_test.getcert("add-scep-ca", "-c", "K", "-u", renewing_scepserver.url)
    for number, delay_s in enumerate((0.0, 0.1, 0.2, 0.3, 0.5)):
        name = f"killed{number}"
        files = ("-f", str(under_test.certs / f"{name}.crt"), "-k", str(under_test.certs / f"{name}.key"))
        added = under_test.getcert(
            "request", "-I", name, "-c", "K", "-N", f"CN={name}", "-L", renewing_scepserver.challenge, *files
        )
        assert added.returncode == 0, added.stdout
        time.sleep(delay_s)
        under_test.kill()
        under_test.start()
    deadline = time.monotonic() + 60
    names = [f"killed{number}" for number in range(5)]
    while waiting := {name: status for name in names if (status := under_test.listing(name)["status"]) != "MONITORING"}:
        assert time.monotonic() < deadline, under_test.getcert("list").stdout
        for name, status in waiting.items():
            if status == "CA_REJECTED":  # scepserver loses count of its serial numbers when two requests come at once
                under_test.getcert("resubmit", "-i", name)
        time.sleep(0.1)
    for name in names:
        assert_pair(under_test.certs / f"{name}.crt", under_test.certs / f"{name}.key")


def test_a_key_in_an_nss_database_is_enrolled_renewed_and_changed(
    daemon: DaemonUnderTest, renewing_scepserver: ScepServerProcess
) -> None:
    daemon.getcert("add-scep-ca", "-c", "N", "-u", renewing_scepserver.url)
    database = NssDatabase(daemon.root / "nss", pin="secret")
    database.directory.mkdir()
    places = ("-d", database.location, "-n", "web", "-P", "secret")
    done = daemon.getcert(
        "request", "-I", "nss", "-c", "N", *places, "-N", "CN=nss", "-L", renewing_scepserver.challenge, "-w"
    )
    assert done.returncode == 0, done.stdout + daemon.getcert("list", "-i", "nss").stdout
    seen = {database.pem("web")}
    for command in ("resubmit", "rekey"):
        done = daemon.getcert(command, "-i", "nss", "-w")
        assert done.returncode == 0, done.stdout + daemon.getcert("list", "-i", "nss").stdout
        assert database.pem("web") not in seen
        seen.add(database.pem("web"))
    assert database.private_keys() == [("rsa", "web")]
