"""How a daemon with many certificates does: to start, to list them, to do nothing, and to renew them all at once.

    bench/tracked.py --daemon certmongerd --count 1000

The state of *count* certificates is made first, each with a key of its own; then a daemon is started on it as after a
restart of the host, and the `getcert` that belongs to it is run. Prints one line of JSON.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from burst import additions, ca_path, wait_for_all
from machine import machine, version_of
from pipeline import Call, CallFailed, Pipeline
from processes import (
    cpu_seconds,
    family_memory_mib,
    memory_mib,
    peak_memory_mib,
    precise_cpu_seconds,
    wake_ups,
)
from rig import MeasurementFailed, daemon_environment, new_folder, own_bus, programs, running
from stock import Item, make_stock, nickname, put_stock

from certmongerd.api import (
    BUS_NAME,
    DBUS_NAME,
    DBUS_PATH,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)

CLIENTS: Final = {
    "certmongerd": str(Path(programs()["certmongerd"]).with_name("getcert")),
    "debian": "/usr/bin/getcert",
}
POLL_S: Final = 0.005
QUIET_FOR_S: Final = 1.5
"""A daemon that has used next to no CPU for so long has finished what it does after its start."""

_PROCESSES_END_S: Final = 13.0
"""After a start with many certificates this daemon has processes that worked for it; they end after ten idle seconds,
and take what was counted of them along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What is measured of a daemon that tracks certificates; nothing that is 0."""

    repeat: int = 3
    """Runs of each command."""
    idle_s: float = 0
    """How long the daemon is left alone."""
    calls_s: float = 0
    """How long it is asked as often as it can answer, in each of three ways."""
    more: int = 0
    """Requests that are added, for a self-signed EC certificate each."""
    renewed: int = 0
    """Certificates that are renewed at once."""
    limit_s: float = 600
    """The longest time that the start, one command or all renewals may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """A daemon that is being measured."""

    daemon: str
    pid: int
    count: int
    environment: Mapping[str, str]
    client: Pipeline
    root: Path


def measure_tracked(daemon: str, stock: list[Item], questions: Questions) -> dict[str, float]:
    """Start *daemon* on the state in *stock* and ask it. Raises MeasurementFailed."""
    root = new_folder("tracked-")
    put_stock(stock, root)
    with own_bus(root) as address, Pipeline(address, is_bus=True, timeout_s=questions.limit_s) as client:
        began = time.monotonic()
        environment = daemon_environment(root, address)
        with running([programs()[daemon], "-s", "-n"], environment, root / "daemon.log") as process:
            subject = _Subject(
                daemon=daemon,
                pid=process.pid,
                count=len(stock),
                environment=environment,
                client=client,
                root=root,
            )
            return _start(subject, began, questions) | _answers(subject, questions)


def _start(subject: _Subject, began: float, questions: Questions) -> dict[str, float]:
    owned = Call(DBUS_PATH, DBUS_NAME, "NameHasOwner", "s", (BUS_NAME,), destination=DBUS_NAME)
    while subject.client.call(owned) != (True,):
        if time.monotonic() - began > questions.limit_s:
            raise MeasurementFailed(f"not ready after {questions.limit_s:g} s")
        time.sleep(POLL_S)
    ready_s = time.monotonic() - began
    _wait_until_quiet(subject.pid, began + questions.limit_s)
    quiet_s = time.monotonic() - began - QUIET_FOR_S
    return {
        "ready_s": round(ready_s, 3),
        "start_quiet_s": round(quiet_s, 2),
        "start_cpu_s": round(cpu_seconds(subject.pid), 2),
        "start_peak_mib": round(peak_memory_mib(subject.pid), 1),
        "memory_mib": round(memory_mib(subject.pid), 2),
        "family_memory_mib": round(family_memory_mib(subject.pid), 2),
    }


def _wait_until_quiet(pid: int, deadline: float) -> None:
    used, since = cpu_seconds(pid), time.monotonic()
    while time.monotonic() - since < QUIET_FOR_S:
        if time.monotonic() > deadline:
            raise MeasurementFailed("still busy with its start when the time was up")
        time.sleep(0.1)
        now = cpu_seconds(pid)
        if now - used > 0.02:
            used, since = now, time.monotonic()


def _answers(subject: _Subject, questions: Questions) -> dict[str, float]:
    found: dict[str, float] = {}
    if questions.idle_s:
        found |= _idle(subject, questions.idle_s)
    one = nickname(subject.count // 2)
    commands = {"list": ["list"], "list_one": ["list", "-i", one], "status": ["status", "-i", one]}
    for label, command in commands.items():
        found |= _command(subject, label, command, questions)
    found["memory_after_list_mib"] = round(memory_mib(subject.pid), 2)
    if questions.calls_s:
        found |= _calls(subject, questions.calls_s)
    if questions.more:
        found |= _more(subject, questions)
    if questions.renewed:
        found |= _renewals(subject, questions)
    found["peak_memory_mib"] = round(peak_memory_mib(subject.pid), 1)
    return found


def _command(subject: _Subject, label: str, command: list[str], questions: Questions) -> dict[str, float]:
    verb, *rest = command
    argv = [CLIENTS[subject.daemon], verb, "-s", *rest]
    times, cpu_before = [], cpu_seconds(subject.pid)
    for _ in range(questions.repeat):
        began = time.monotonic()
        try:
            finished = subprocess.run(
                argv, env=subject.environment, stdout=subprocess.PIPE, check=False, timeout=questions.limit_s
            )
        except subprocess.TimeoutExpired:
            raise MeasurementFailed(f"getcert {verb} was not finished after {questions.limit_s:g} s") from None
        times.append(time.monotonic() - began)
        if finished.returncode:
            raise MeasurementFailed(f"{' '.join(argv)} ended with {finished.returncode}: {finished.stdout[:200]!r}")
    cpu_s = (cpu_seconds(subject.pid) - cpu_before) / questions.repeat
    return {f"{label}_s": round(statistics.median(times), 3), f"{label}_cpu_s": round(cpu_s, 3)}


def _idle(subject: _Subject, length_s: float) -> dict[str, float]:
    time.sleep(_PROCESSES_END_S)
    used, woken = precise_cpu_seconds(subject.pid), wake_ups(subject.pid)
    time.sleep(length_s)
    used, woken = precise_cpu_seconds(subject.pid) - used, wake_ups(subject.pid) - woken
    return {
        "idle_s": length_s,
        "idle_cpu_percent": round(100 * used / length_s, 4),
        "idle_wake_ups_per_minute": round(60 * woken / length_s, 1),
    }


def _calls(subject: _Subject, length_s: float) -> dict[str, float]:
    (path,) = subject.client.call(
        Call(ROOT_PATH, ROOT_INTERFACE, "find_request_by_nickname", "s", (nickname(subject.count // 2),))
    )
    status = Call(str(path), REQUEST_INTERFACE, "get_status")
    everything = Call(str(path), PROPERTIES_INTERFACE, "GetAll", "s", (REQUEST_INTERFACE,))
    return {
        "status_calls_per_s": _rate(subject.client, [status], length_s),
        "status_calls_piped_per_s": _rate(subject.client, [status] * 256, length_s),
        "get_all_calls_piped_per_s": _rate(subject.client, [everything] * 128, length_s),
    }


def _rate(client: Pipeline, calls: list[Call], length_s: float) -> float:
    count, began = 0, time.monotonic()
    while (passed := time.monotonic() - began) < length_s:
        client.call_all(calls)
        count += len(calls)
    return round(count / passed)


def _more(subject: _Subject, questions: Questions) -> dict[str, float]:
    """Add requests to those that are tracked."""
    path = ca_path(subject.client, "SelfSign")
    calls = additions(range(questions.more), subject.root / "certificates", path, "EC:256")
    cpu_before, began = cpu_seconds(subject.pid), time.monotonic()
    answers = subject.client.call_all(calls)
    wait_for_all(subject.client, [str(answer[1]) for answer in answers], questions.limit_s)
    seconds = time.monotonic() - began
    return {
        "more": questions.more,
        "more_s": round(seconds, 3),
        "more_cpu_s": round(cpu_seconds(subject.pid) - cpu_before, 2),
    }


def _renewals(subject: _Subject, questions: Questions) -> dict[str, float]:
    (paths,) = subject.client.call(Call(ROOT_PATH, ROOT_INTERFACE, "get_requests"))
    chosen = [str(path) for path in list(paths)[: questions.renewed]] if isinstance(paths, list | tuple) else []
    cpu_before, began = cpu_seconds(subject.pid), time.monotonic()
    subject.client.call_all(Call(path, REQUEST_INTERFACE, "resubmit") for path in chosen)
    wait_for_all(subject.client, chosen, questions.limit_s)
    seconds = time.monotonic() - began
    return {
        "renewed": len(chosen),
        "renewal_s": round(seconds, 2),
        "renewal_cpu_s": round(cpu_seconds(subject.pid) - cpu_before, 2),
    }


def main() -> None:
    """Prepare the state, measure, and print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", choices=sorted(programs()), default="certmongerd")
    parser.add_argument("--count", type=int, default=1000, help="certificates that are tracked")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each command")
    parser.add_argument("--idle", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--calls", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--more", type=int, default=0, metavar="COUNT")
    parser.add_argument("--renewed", type=int, default=0, metavar="COUNT")
    arguments = parser.parse_args()
    questions = Questions(
        repeat=arguments.repeat,
        idle_s=arguments.idle,
        calls_s=arguments.calls,
        more=arguments.more,
        renewed=arguments.renewed,
    )
    try:
        result = measure_tracked(arguments.daemon, make_stock(arguments.count), questions)
    except (MeasurementFailed, CallFailed) as error:
        raise SystemExit(str(error)) from error
    asked = {"daemon": arguments.daemon, "count": arguments.count}
    version = version_of(programs()[arguments.daemon])
    print(json.dumps({**asked, "version": version, **result, **machine()}), flush=True)


if __name__ == "__main__":
    main()
