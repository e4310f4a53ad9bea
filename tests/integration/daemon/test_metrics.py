"""Prometheus metrics of a real daemon: what they say, where they are, and where they may not be."""

import http.client
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from daemon_under_test import BIN, DaemonUnderTest
from prometheus_client.parser import text_string_to_metric_families

MakeDaemon = Callable[..., DaemonUnderTest]
Samples = dict[str, list[tuple[dict[str, str], float]]]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def read(connection: http.client.HTTPConnection) -> Samples:
    with closing(connection):
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        return samples(answer.read().decode())


def test_a_socket_tells_about_requests_cas_and_helpers(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    place = tmp_path / "metrics"
    daemon = make_daemon("", "--metrics", f"unix:{place}")
    daemon.start()
    daemon.add_helper("broken", "echo no route; exit 3")
    assert daemon.request("web").returncode == 0
    assert daemon.request("web2", ca="broken").returncode == 3
    assert daemon.getcert("resubmit", "-i", "web", "-w").returncode == 0
    daemon.add_helper("refusing", "echo never; exit 2")
    assert daemon.request("web3", ca="refusing").returncode == 2

    told = read(UnixConnection(place))

    web = {"request": "web", "ca": "local"}
    assert ({**web, "state": "MONITORING"}, 1.0) in told["certmongerd_request_state"]
    assert ({"request": "web2", "ca": "broken", "state": "CA_UNREACHABLE"}, 1.0) in told["certmongerd_request_state"]
    ((_, left),) = told["certmongerd_certificate_expiry_seconds"]
    assert 364 * 86400 < left < 366 * 86400
    assert (web, 2.0) in told["certmongerd_certificates_saved_total"]
    assert (web, 1.0) in told["certmongerd_renewals_total"]
    failing = {labels["request"]: value for labels, value in told["certmongerd_request_failing"]}
    assert failing == {"web": 0, "web2": 1, "web3": 1}
    stuck = {labels["request"]: value for labels, value in told["certmongerd_request_stuck"]}
    assert stuck == {"web": 0, "web2": 0, "web3": 1}
    attempts = {
        labels["request"]: value for labels, value in told["certmongerd_request_last_attempt_timestamp_seconds"]
    }
    assert time.time() - 600 < min(attempts.values()) <= max(attempts.values()) <= time.time()
    assert set(attempts) == set(stuck)
    reachable = {labels["ca"]: value for labels, value in told["certmongerd_ca_reachable"]}
    assert (reachable["local"], reachable["broken"], reachable["refusing"]) == (1, 0, 1)
    runs = {tuple(labels.values()): value for labels, value in told["certmongerd_helper_run_seconds_count"]}
    assert runs["local", "SUBMIT", "0"] == 2
    assert runs["broken", "SUBMIT", "3"] == 1
    assert stat.S_IMODE(place.stat().st_mode) == 0o660
    daemon.stop()
    assert not place.exists()


def test_a_loopback_port_serves_them_too(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("", "--metrics", "127.0.0.1:0")
    daemon.start()
    deadline = time.monotonic() + 10
    while "Metrics are served at" not in daemon.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    line = next(line for line in daemon.log.read_text().splitlines() if "Metrics are served at" in line)
    told = read(http.client.HTTPConnection("127.0.0.1", int(line.rpartition(":")[2]), timeout=10))
    assert "certmongerd_info" in told


def test_a_file_has_them_for_a_collector(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    path = tmp_path / "certmongerd.prom"
    make_daemon("", "--metrics-textfile", str(path)).start()
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "certmongerd_info" in samples(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("0.0.0.0:9000", "loopback"),
        ("192.0.2.1:9000", "loopback"),
        ("127.0.0.1", "no place"),
        ("127.0.0.1:99999", "not a port"),
        ("localhost:1", "no place"),
        ("unix:relative", "absolute"),
        ("unix:/nowhere/at/all", "cannot be served"),
    ],
)
def test_a_place_that_cannot_be_is_refused_at_the_start(make_daemon: MakeDaemon, place: str, words: str) -> None:
    daemon = make_daemon()
    done = subprocess.run(
        [str(BIN / "certmongerd"), "-n", "-L", "-P", str(daemon.socket), "--metrics", place],
        env=daemon.environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
