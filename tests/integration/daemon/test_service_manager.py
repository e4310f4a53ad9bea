"""What a service manager and the journal are told by a real daemon."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon_under_test import DaemonUnderTest

MakeDaemon = Callable[..., DaemonUnderTest]


@contextmanager
def manager_socket(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(10)
        yield listener


def next_with(listener: socket.socket, word: str) -> dict[str, str]:
    while True:
        lines = listener.recv(4096).decode().splitlines()
        told = dict(line.split("=", 1) for line in lines)
        if word in told:
            return told


def test_the_manager_hears_of_start_life_reload_and_end(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make_daemon()
    with manager_socket(tmp_path / "notify") as listener:
        daemon.start({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"})
        assert next_with(listener, "READY")["STATUS"] == "0 tracked"
        assert daemon.request("web").returncode == 0
        deadline = time.monotonic() + 10
        while next_with(listener, "WATCHDOG")["STATUS"] != "1 tracked":
            assert time.monotonic() < deadline
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        assert int(next_with(listener, "RELOADING")["MONOTONIC_USEC"]) > 0
        assert next_with(listener, "READY")["STATUS"] == "1 tracked"
        assert daemon.stop() == 0
        next_with(listener, "STOPPING")


def test_a_hook_cannot_speak_for_the_daemon(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make_daemon()
    with manager_socket(tmp_path / "notify"):
        daemon.start({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        seen = tmp_path / "seen"
        assert daemon.request("web", "-C", f"/bin/sh -c 'env > {seen}'").returncode == 0
    assert "NOTIFY_SOCKET" not in seen.read_text()


def test_a_manager_that_does_not_listen_is_no_trouble(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make_daemon()
    daemon.start({"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "many"})
    assert daemon.request("web").returncode == 0
    assert daemon.stop() == 0


def test_json_records_are_one_object_a_line(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("", "--log-json")
    daemon.start()
    assert daemon.request("web").returncode == 0
    daemon.stop()
    records = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    assert any(record["message"] == 'Request "web" is in state MONITORING' for record in records)
    assert {"time", "level", "priority", "logger", "pid"} <= set(records[0])
    (reached,) = [record for record in records if record["message"] == 'Request "web" is in state MONITORING']
    assert (reached["request"], reached["ca"], reached["state"]) == ("web", "local", "MONITORING")


IN_A_NAMESPACE = """#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs none /run && mkdir /run/systemd \\
    && ln -s "$JOURNAL" /run/systemd/journal && exec {program} "$@"' certmongerd "$@"
"""
"""Starts the daemon with the folder $JOURNAL in the place of the journal's."""


def fields_of(entry: bytes) -> dict[str, str]:
    """The fields of an entry in the native protocol of the journal."""
    fields = {}
    while entry:
        line, _, entry = entry.partition(b"\n")
        name, sign, value = line.partition(b"=")
        if not sign:
            length, entry = int.from_bytes(entry[:8], "little"), entry[8:]
            value, entry = entry[:length], entry[length + 1 :]
        fields[name.decode()] = value.decode()
    return fields


def test_the_journal_gets_entries_with_fields(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make_daemon()
    starter = tmp_path / "start"
    starter.write_text(IN_A_NAMESPACE.format(program=daemon.program))
    starter.chmod(0o755)
    daemon.program = str(starter)
    daemon.log.touch()
    status = os.stat(daemon.log)
    (tmp_path / "journal").mkdir()
    entries: list[dict[str, str]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal" / "socket"))
        reader = threading.Thread(
            target=lambda: entries.extend(map(fields_of, iter(lambda: journal.recv(200_000), b"END=\n")))
        )
        reader.start()
        try:
            daemon.start({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}", "JOURNAL": str(tmp_path / "journal")})
            assert daemon.request("web").returncode == 0
            daemon.add_helper("broken", "exit 1")
            assert daemon.getcert("refresh-ca", "-c", "broken").returncode == 0
            daemon.stop()
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.sendto(b"END=\n", str(tmp_path / "journal" / "socket"))
            reader.join()
    (reached,) = [entry for entry in entries if entry["MESSAGE"] == 'Request "web" is in state MONITORING']
    assert (
        reached.items()
        >= {
            "PRIORITY": "6",
            "SYSLOG_IDENTIFIER": "certmongerd",
            "CERTMONGER_REQUEST": "web",
            "CERTMONGER_CA": "local",
            "CERTMONGER_STATE": "MONITORING",
        }.items()
    )
    assert {"LOGGER", "CODE_FILE", "CODE_LINE", "CODE_FUNC"} <= set(reached)
    assert daemon.log.read_text() == ""


def test_a_journal_that_takes_no_entries_gets_lines_with_priorities(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.log.touch()
    status = os.stat(daemon.log)
    daemon.start({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert daemon.request("web").returncode == 0
    daemon.stop()
    assert '<6>Request "web" is in state MONITORING' in daemon.log.read_text().splitlines()
