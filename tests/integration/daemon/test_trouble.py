"""Trouble around a running daemon: it says what is wrong, loses nothing, and goes on when the trouble is over."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from daemon_under_test import BIN, DaemonUnderTest, assert_pair
from fakes.message_bus import Bus

PROGRAM = Path(__file__).parents[2] / "daemon_in_trouble.py"
LIMIT_S = 60.0
YEARS = timedelta(days=3 * 365)


@dataclass
class TroubledDaemon(DaemonUnderTest):
    def __post_init__(self) -> None:
        super().__post_init__()
        script = self.root / "daemon"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAM} "$@"\n')
        script.chmod(0o755)
        self.program = str(script)

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TROUBLE": str(self.trouble)}

    @property
    def trouble(self) -> Path:
        return self.root / "trouble"

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.05)

    def until_monitoring(self, name: str) -> None:
        self.until(lambda: self.listing(name)["status"] == "MONITORING")

    def expires(self, name: str) -> datetime:
        return datetime.strptime(self.listing(name)["expires"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[TroubledDaemon]:
    under_test = TroubledDaemon(tmp_path, config="[selfsign]\nvalidity_period = 1y\n")
    under_test.start()
    yield under_test
    under_test.close()


def test_a_full_disk_is_named_and_waited_for(daemon: TroubledDaemon) -> None:
    assert daemon.request("web", ca="SelfSign").returncode == 0
    before = (daemon.certs / "web.crt").read_bytes()
    daemon.trouble.write_text(f"refuse ENOSPC {daemon.root}")
    refused = daemon.request("other", ca="SelfSign")
    assert refused.returncode == 1
    assert "No space left on device" in refused.stdout
    assert str(daemon.root / "requests") in refused.stdout
    rekeyed = daemon.getcert("rekey", "-i", "web")
    assert rekeyed.returncode != 0 or daemon.listing("web")["status"] != "MONITORING"
    daemon.until(lambda: 'Request "web" waits' in daemon.log.read_text())
    assert "No space left on device" in daemon.log.read_text()
    assert (daemon.certs / "web.crt").read_bytes() == before
    assert_pair(daemon.certs / "web.crt", daemon.certs / "web.key")
    daemon.trouble.unlink()
    daemon.until_monitoring("web")
    daemon.until(lambda: (daemon.certs / "web.crt").read_bytes() != before)
    assert_pair(daemon.certs / "web.crt", daemon.certs / "web.key")
    assert daemon.getcert("status", "-i", "other").returncode == 1
    assert not [path.name for path in daemon.certs.iterdir() if path.name not in ("web.crt", "web.key")]


def test_a_read_only_place_for_certificates_is_named_and_the_old_pair_stays(daemon: TroubledDaemon) -> None:
    assert daemon.request("web", ca="SelfSign").returncode == 0
    before = (daemon.certs / "web.crt").read_bytes(), (daemon.certs / "web.key").read_bytes()
    daemon.trouble.write_text(f"refuse EROFS {daemon.certs}")
    assert daemon.getcert("resubmit", "-i", "web", "-w").returncode == 4
    shown = daemon.listing("web")
    assert (shown["status"], shown["stuck"]) == ("NEED_CERTSAVE_PERMS", "yes")
    assert "Read-only file system" in shown["ca-error"]
    assert str(daemon.certs / "web.crt") in shown["ca-error"]
    assert before == ((daemon.certs / "web.crt").read_bytes(), (daemon.certs / "web.key").read_bytes())
    elsewhere = daemon.root / "elsewhere"
    elsewhere.mkdir()
    files = ["-f", str(elsewhere / "other.crt"), "-k", str(elsewhere / "other.key")]
    # A request that waits for somebody holds nobody else up.
    assert daemon.getcert("request", "-I", "other", "-c", "SelfSign", *files, "-w").returncode == 0
    daemon.trouble.unlink()
    assert daemon.getcert("resubmit", "-i", "web", "-w").returncode == 0
    assert (daemon.certs / "web.crt").read_bytes() != before[0]


def test_a_removed_state_directory_is_named_and_what_is_tracked_goes_on(daemon: TroubledDaemon) -> None:
    assert daemon.request("web", ca="SelfSign").returncode == 0
    requests = daemon.root / "requests"
    shutil.rmtree(requests)
    refused = daemon.request("other", ca="SelfSign")
    assert refused.returncode == 1
    assert "the directory is missing" in refused.stdout
    assert daemon.listing("web")["status"] == "MONITORING"
    requests.mkdir(mode=0o700)
    assert daemon.getcert("rekey", "-i", "web", "-w").returncode == 0
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.listing("web")["status"] == "MONITORING"
    assert_pair(daemon.certs / "web.crt", daemon.certs / "web.key")


@pytest.mark.parametrize("is_restarted", [False, True], ids=["while it runs", "while it is stopped"])
def test_a_clock_that_jumps_by_years_leads_to_one_renewal_and_back_to_none_for_ever(
    daemon: TroubledDaemon, is_restarted: bool
) -> None:
    def jump(offset: timedelta) -> None:
        if is_restarted:
            assert daemon.stop() == 0
        daemon.trouble.write_text(f"clock {int(offset.total_seconds())}")
        if is_restarted:
            daemon.start()
        else:
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGHUP)

    assert daemon.request("web", ca="SelfSign").returncode == 0
    now = datetime.now(UTC)
    first = daemon.expires("web")
    jump(YEARS)
    daemon.until(lambda: daemon.expires("web") > now + YEARS)
    daemon.until_monitoring("web")
    assert first < now + YEARS
    jump(-YEARS)  # the certificate is not valid yet
    daemon.until(lambda: daemon.listing("web")["status"] == "MONITORING")
    submissions = daemon.log.read_text().count('"web" is in state SUBMITTING')
    assert submissions <= 3
    jump(timedelta(0))
    daemon.until_monitoring("web")
    assert_pair(daemon.certs / "web.crt", daemon.certs / "web.key")
    assert daemon.log.read_text().count('"web" is in state SUBMITTING') <= 4


def test_a_helper_that_is_killed_is_told_of_and_the_request_can_be_sent_again(daemon: TroubledDaemon) -> None:
    pid_file = daemon.root / "pid"
    waits = f"echo $$ > {pid_file}.part; mv {pid_file}.part {pid_file}; sleep 600"
    daemon.add_helper("waits", f"[ -e {daemon.root}/go ] && exec cat {daemon.certs}/web.crt; {waits}")
    files = ["-f", str(daemon.certs / "web.crt"), "-k", str(daemon.certs / "web.key")]
    assert daemon.getcert("request", "-I", "web", "-c", "waits", *files).returncode == 0
    daemon.until(pid_file.exists)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    daemon.until(lambda: daemon.listing("web")["stuck"] == "yes")
    assert "signal 9" in daemon.listing("web")["ca-error"]
    assert daemon.request("meanwhile").returncode == 0  # `local`, whose helper has a process of its own
    pid_file.unlink()
    assert daemon.getcert("resubmit", "-i", "web").returncode == 0
    daemon.until(pid_file.exists)
    assert daemon.listing("web")["stuck"] == "no"


def listed_on_the_bus(daemon: DaemonUnderTest) -> str:
    command = [str(BIN / "getcert"), "list"]
    done = subprocess.run(command, env=daemon.environment(), capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def test_a_restarted_bus_is_joined_again_and_the_name_is_owned_again(tmp_path: Path) -> None:
    place = tmp_path / "bus"
    place.mkdir()
    bus = Bus(place)
    daemon = DaemonUnderTest(tmp_path / "daemon", system_bus_address=bus.address)
    try:
        daemon.start()
        assert daemon.request("web").returncode == 0
        bus.stop()
        (place / "bus").unlink(missing_ok=True)
        assert daemon.listing("web")["status"] == "MONITORING"  # by the private socket
        bus = Bus(place)
        deadline = time.monotonic() + LIMIT_S
        while "Request ID 'web'" not in listed_on_the_bus(daemon):
            assert time.monotonic() < deadline, daemon.log.read_text()
            time.sleep(0.1)
        assert "Connected to the message bus again" in daemon.log.read_text()
    finally:
        daemon.close()
        bus.stop()
