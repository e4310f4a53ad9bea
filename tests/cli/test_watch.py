"""watch and show with running daemons."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue

import pytest
from cli.rig import ORIGINAL, OWN, Daemon, Rig, installed, running
from daemon_under_test import DaemonUnderTest, openssl
from fakes.message_bus import Bus

LIMIT_S = 60.0


class Watching:
    """A running `getcert watch`, whose lines can be waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def until(self, part: str) -> list[str]:
        """The lines up to the first that has *part*, without their times."""
        seen: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=LIMIT_S)
            except Empty:
                raise AssertionError(f"{part!r} was not told after {seen}") from None
            seen.append(line.split(" UTC ", 1)[-1].rstrip("\n"))
            if part in line:
                return seen

    def end(self) -> int:
        status = self.process.wait(LIMIT_S)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def watching(environment: dict[str, str], *arguments: str) -> Iterator[Watching]:
    process = subprocess.Popen(
        [installed("getcert"), "watch", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watch = Watching(process)
    try:
        yield watch
    finally:
        process.kill()
        watch.end()


def add(rig: Rig, name: str, *arguments: str) -> None:
    files = ("-f", f"{rig.directory}/{name}.crt", "-k", f"{rig.directory}/{name}.key")
    command = ("request", "-s", "-c", "SelfSign", "-I", name, *files, "-N", f"CN={name}", *arguments)
    done = rig.run([installed("getcert"), *command])
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module", params=[ORIGINAL, OWN], ids=lambda daemon: daemon.name)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    daemon: Daemon = request.param
    with running(daemon) as rig:
        add(rig, "first", "-w")
        yield rig


def test_a_request_is_followed_from_its_addition_to_its_certificate_and_ctrl_c_ends_it(rig: Rig) -> None:
    with watching(dict(rig.environment), "-s", "-u") as watch:
        assert watch.until("Watching")[0] == "first: MONITORING"
        add(rig, "second")
        seen = watch.until("second: MONITORING")
        assert "second: added" in seen
        assert "second: SUBMITTING" in seen
        assert any(line.startswith("second: new certificate, expires ") for line in seen)
        watch.process.send_signal(signal.SIGINT)
        assert watch.end() == 0


def test_one_request_is_followed_and_others_are_not(rig: Rig) -> None:
    with watching(dict(rig.environment), "-s", "-u", "-i", "first") as watch:
        assert watch.until("Watching") == ["first: MONITORING", "Watching 1 certificates and requests."]
        add(rig, "third")
        done = rig.run([installed("getcert"), "resubmit", "-s", "-i", "first"])
        assert done.returncode == 0
        assert all(line.startswith("first: ") for line in watch.until("first: MONITORING"))


def test_watching_ends_by_itself_at_the_timeout(rig: Rig) -> None:
    with watching(dict(rig.environment), "-s", "-u", "--timeout", "1") as watch:
        assert watch.end() == 0
        watch.until("Watching")


def test_an_unknown_request_is_told(rig: Rig) -> None:
    done = rig.run([installed("getcert"), "watch", "-s", "-i", "nosuch"])
    assert (done.returncode, done.stdout) == (1, "No request found with specified nickname.\n")


def test_a_certificate_is_shown_as_openssl_sees_it(rig: Rig) -> None:
    done = rig.run([installed("getcert"), "show", "-s", "-u", "-i", "first"])
    assert done.returncode == 0, done.stdout
    certificate, request = done.stdout.split("Signing request:\n")
    fields = dict(line.strip().split(": ", 1) for line in certificate.splitlines()[2:])
    path = f"{rig.directory}/first.crt"
    fingerprint = openssl("x509", "-in", path, "-noout", "-fingerprint", "-sha256").strip().split("=")[1]
    assert fields["SHA-256 fingerprint"] == fingerprint
    assert fields["serial"] == openssl("x509", "-in", path, "-noout", "-serial").strip().split("=")[1]
    assert fields["subject"] == fields["issuer"] == "CN=first"
    assert fields["key"] == "RSA, 2048 bits"
    assert "\tsubject: CN=first\n" in request


def test_a_request_without_anything_to_show_is_told(rig: Rig) -> None:
    files = ("-f", f"{rig.directory}/none.crt")
    assert rig.run([installed("getcert"), "request", "-s", "-I", "none", "-c", "local", *files]).returncode == 0
    done = rig.run([installed("getcert"), "show", "-s", "-i", "none"])
    assert done.returncode == 1
    assert done.stdout.startswith('Request "none" has neither a certificate nor a signing request yet.\n')


def test_the_end_and_the_return_of_the_daemon_are_told(tmp_path: Path) -> None:
    bus = Bus(tmp_path)
    daemon = DaemonUnderTest(tmp_path / "daemon", bus_address=bus.address)
    try:
        daemon.start()
        assert daemon.request("web", ca="SelfSign").returncode == 0
        with watching(daemon.environment(), "-s", "-u") as watch:
            watch.until("Watching")
            daemon.stop()
            assert watch.until("The daemon has ended")
            daemon.start()
            assert watch.until("web: MONITORING")[0] == "The daemon is there."
    finally:
        daemon.close()
        bus.stop()


def test_the_private_socket_tells_changes_too_and_its_end_is_an_error(tmp_path: Path) -> None:
    daemon = DaemonUnderTest(tmp_path)
    try:
        daemon.start()
        environment = daemon.environment() | {"CERTMONGER_PVT_ADDRESS": f"unix:path={daemon.socket}"}
        with watching(environment, "-u") as watch:
            assert watch.until("Watching") == ["Watching 0 certificates and requests."]
            assert daemon.request("web", ca="local").returncode == 0
            watch.until("web: MONITORING")
            with watching(environment, "-u", "-i", "web") as other:
                other.until("Watching")
                assert daemon.getcert("stop-tracking", "-i", "web").returncode == 0
                assert other.until("removed") == ["web: removed"]
                assert other.end() == 0
            watch.until("web: removed")
            daemon.stop()
            watch.until("No response received from org.fedorahosted.certmonger service.")
            assert watch.end() == 1
    finally:
        daemon.close()


def test_the_chain_is_shown_with_what_the_ca_is_known_to_have(tmp_path: Path) -> None:
    daemon = DaemonUnderTest(tmp_path)
    try:
        daemon.start()
        assert daemon.request("web", ca="local").returncode == 0
        deadline = time.monotonic() + LIMIT_S
        # The daemon asks the CA for its certificates at its own pace.
        while "Chain" not in (shown := daemon.getcert("show", "-i", "web").stdout):
            assert time.monotonic() < deadline
    finally:
        daemon.close()
    headings = [line for line in shown.splitlines() if not line.startswith("\t")]
    assert headings == ["Request ID 'web':", "Certificate:", "Chain certificate 1:", "Signing request:"]
    assert "\tCA: yes, path length 0\n" in shown or "\tCA: yes\n" in shown
