"""`getcert history` with a real daemon: through failures, restarts and removal."""

import json
import os
import time
from collections.abc import Callable

from daemon_under_test import DaemonUnderTest


def history(daemon: DaemonUnderTest, name: str) -> list[str]:
    """Event and state of each line."""
    shown = daemon.getcert("history", "-u", "-i", name)
    assert shown.returncode == 0, shown.stdout
    first, *lines = shown.stdout.splitlines()
    assert first == f"Request ID '{name}':"
    return [line.partition(" UTC: ")[2] for line in lines]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_enrolment_is_told_from_its_beginning(daemon: DaemonUnderTest) -> None:
    assert daemon.request("told").returncode == 0
    turns = history(daemon, "told")
    assert turns[0] == "begin: NEWLY_ADDED_READING_KEYINFO"
    assert "csr-built: SUBMITTING" in turns
    assert turns[-1].startswith("notified: MONITORING, next attempt ")
    document = json.loads(daemon.getcert("history", "-i", "told", "--output", "json").stdout)
    shown = [f"{entry['event']}: {entry['status']}" for entry in document["history"]]
    assert [turn.partition(",")[0] for turn in turns] == shown


def test_what_the_ca_said_stays_after_a_restart(make_daemon: Callable[..., DaemonUnderTest]) -> None:
    daemon = make_daemon()
    daemon.start()
    daemon.add_helper("broken", "echo no route to the CA; exit 3")
    daemon.request("waits", ca="broken")
    shown = daemon.listing("waits")
    assert shown["next attempt"].endswith(" (failed so far: 1)")
    before = history(daemon, "waits")
    assert shown["next attempt"].partition(" UTC")[0] in before[-1]
    assert before[-1].startswith("unreachable: CA_UNREACHABLE, attempt 1, next attempt 20")
    assert before[-1].endswith(", no route to the CA")
    assert daemon.stop() == 0
    daemon.start()
    # The CA is not asked because of the restart, and how often it failed is not forgotten.
    assert daemon.listing("waits")["status"] in ("CA_UNREACHABLE", "SUBMITTING")
    assert "failed so far: " in daemon.listing("waits")["next attempt"]
    assert history(daemon, "waits")[: len(before)] == before
    assert daemon.getcert("refresh", "-i", "waits").returncode == 0
    wait_for(lambda: len(history(daemon, "waits")) > len(before) + 1)
    assert "refresh: SUBMITTING" in history(daemon, "waits")


def test_a_command_is_part_of_the_history(daemon: DaemonUnderTest) -> None:
    assert daemon.request("again").returncode == 0
    assert daemon.getcert("resubmit", "-i", "again", "-w").returncode == 0
    assert "resubmit: GENERATING_CSR" in history(daemon, "again")


def test_the_file_goes_when_the_request_goes(daemon: DaemonUnderTest) -> None:
    assert daemon.request("brief").returncode == 0
    assert history(daemon, "brief")
    before = set(os.listdir(daemon.root / "requests"))
    assert daemon.getcert("stop-tracking", "-i", "brief").returncode == 0
    gone = before - set(os.listdir(daemon.root / "requests"))
    assert len([name for name in gone if name.endswith(".history")]) == 1


def test_a_secret_is_not_in_the_history(daemon: DaemonUnderTest) -> None:
    assert daemon.request("secret", "-P", "s3cr3t-pin", "-L", "s3cr3t-password").returncode == 0
    history(daemon, "secret")
    for path in (daemon.root / "requests").glob(".*.history"):
        assert b"s3cr3t" not in path.read_bytes()


def test_a_history_that_cannot_be_written_holds_nothing_up(make_daemon: Callable[..., DaemonUnderTest]) -> None:
    daemon = make_daemon()
    daemon.start()
    assert daemon.request("one").returncode == 0
    history(daemon, "one")
    (kept,) = (daemon.root / "requests").glob(".*.history")
    kept.unlink()
    kept.mkdir()
    assert daemon.getcert("resubmit", "-i", "one", "-w").returncode == 0
    assert daemon.listing("one")["status"] == "MONITORING"
    wait_for(lambda: "Histories of requests are incomplete" in daemon.log.read_text())
    refused = daemon.getcert("history", "-i", "one")
    assert (refused.returncode, ".history" in refused.stdout) == (1, True)
    kept.rmdir()
