"""Kills daemons under load, again and again, and checks after each kill that nothing is lost.

`python -m crash.run DIRECTORY --kills N` (with `tests` on the path) says what was done, and fails with the first
invariant that does not hold.
"""

import argparse
import gc
import json
import os
import random
import sys
import time
import traceback
from collections import Counter
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from typing import Final

from crash.fault import Fault, Moment
from crash.helpers import Commands, serving
from crash.instance import Instance, Unanswered
from crash.invariants import Serials, check_database, check_pairs, leftovers, tracked

SETTLE_EVERY: Final = 25
LIFE_LIMIT_S: Final = 1.0
_LONGEST_LIFE_S: Final = 0.3
_LONGEST_LIFE_WITH_PROCESSES_S: Final = 3.0
"""These have to be started first."""
_KILLS_OF_WORKERS: Final = 0.01
"""At each look."""
_FAULTS: Final = 0.75
_MOST_CALLS: Final = 400
ORPHAN_LIMIT_S: Final = 120.0


class Variant(Enum):
    """Where the keys are, and who does the work."""

    FILES = auto()
    DATABASES = auto()
    """Most keys and certificates are in an NSS database."""
    PROCESSES = auto()
    """Processes do the work that threads do for a daemon with little to do; they are killed as well."""


def run_instance(root: Path, kills: int, seed: int, helpers: Commands, variant: Variant) -> Counter[str]:
    """*kills* daemons on one set of directories; what happened, by name."""
    instance = Instance(root, random.Random(seed), uses_processes=variant is Variant.PROCESSES)
    if variant is Variant.DATABASES:
        instance.kinds = {"nss": 3, "SelfSign": 1}
    instance.add_cas(helpers)
    serials = Serials()
    counts: Counter[str] = Counter()
    for number in range(1, kills + 1):
        is_settling = number % SETTLE_EVERY == 0
        counts += live_and_die(instance, is_settling=is_settling)
        instance.compare(tracked(instance.repository))
        check_pairs(instance.certs, is_settled=is_settling)
        serials.check(instance.certs)
        if is_settling:
            check_database(instance.database, [name for name in tracked(instance.repository) if name.endswith("n")])
    counts["requests"] = len(instance.requests)
    counts["serials"] = len(serials.seen)
    for letter, kind in (("p", "with a PIN"), ("n", "in a database"), ("s", "over SCEP")):
        counts[kind] = sum(name.endswith(letter) for name in instance.requests)
    wait_for_orphans(instance)
    return counts


def live_and_die(instance: Instance, *, is_settling: bool) -> Counter[str]:
    """One daemon, from its start to its violent end."""
    choose = instance.random
    fault = None
    if not is_settling and not instance.uses_processes and choose.random() < _FAULTS:
        number = int(_MOST_CALLS ** choose.random())  # early calls are likelier, late ones have their turn
        fault = Fault(number=number, moment=choose.choice(list(Moment)))
    instance.start(fault)
    counts: Counter[str] = Counter()
    try:
        if instance.connect():
            instance.compare(set(instance.listed()))
            if is_settling:
                instance.settle()
                wait_for_tidiness(instance)
                counts["settled"] += 1
            else:
                counts += keep_busy(instance, waits_for_fault=fault is not None)
    except Unanswered:
        counts["unanswered"] += 1
    was_running = instance.is_running()
    instance.kill()
    assert not is_settling or counts["settled"], "the daemon ended by itself"
    counts["killed at any moment" if was_running else "killed in a call that writes"] += 1
    return counts


def keep_busy(instance: Instance, *, waits_for_fault: bool) -> Counter[str]:
    """Calls, until the daemon is killed or has lived long enough. Raises Unanswered."""
    counts: Counter[str] = Counter()
    longest_s = _LONGEST_LIFE_WITH_PROCESSES_S if instance.uses_processes else _LONGEST_LIFE_S
    life_s = LIFE_LIMIT_S if waits_for_fault else instance.random.random() * longest_s
    end = time.monotonic() + life_s
    while instance.is_running() and time.monotonic() < end:
        if counts["calls"] < 4:
            instance.act()
            counts["calls"] += 1
        if instance.uses_processes and instance.random.random() < _KILLS_OF_WORKERS:
            counts["workers killed"] += instance.kill_worker()
        time.sleep(0.002)
    return counts


def wait_for_tidiness(instance: Instance) -> None:
    """What is being written while everything rests, a CA's data say, is soon in its place."""
    deadline = time.monotonic() + ORPHAN_LIMIT_S
    while left := leftovers(instance.root):
        assert time.monotonic() < deadline, f"left over: {left}"
        time.sleep(0.01)


def wait_for_orphans(instance: Instance) -> None:
    """What killed daemons had started ends by itself."""
    deadline = time.monotonic() + ORPHAN_LIMIT_S
    while left := [*instance.helpers(), *_forked(instance)]:
        assert time.monotonic() < deadline, f"processes of killed daemons go on: {left}"
        time.sleep(0.1)


def _forked(instance: Instance) -> list[int]:
    """Processes that daemons have forked and that are no other programs; numbers of processes are used again."""
    sessions = set(instance.daemons)
    found = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _session(pid) in sessions]
    return [pid for pid in found if bytes(instance.root.parent) in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def run_instances(
    root: Path, kills: int, seed: int, instances: int, variant: Variant
) -> tuple[Counter[str], list[str]]:
    """Several instances at a time, each in a process of its own; the sum, and what went wrong."""
    gc.collect()
    gc.freeze()
    counts: Counter[str] = Counter()
    failures: list[str] = []
    with serving(root) as helpers:
        children = [
            _fork_instance(root, kills // instances, seed + number, helpers, variant) for number in range(instances)
        ]
        for pid, result in children:
            os.waitpid(pid, 0)
            outcome = json.loads(result.read_text())
            counts += Counter(outcome["counts"])
            if outcome["failure"]:
                failures.append(outcome["failure"])
    return counts, failures


def _fork_instance(root: Path, kills: int, seed: int, helpers: Commands, variant: Variant) -> tuple[int, Path]:
    result = root / f"result{seed}"
    pid = os.fork()
    if pid == 0:
        counts: Counter[str] = Counter()
        failure = ""
        try:
            counts = run_instance(root / f"instance{seed}", kills, seed, helpers, variant)
        except BaseException:
            failure = f"seed {seed}: {traceback.format_exc()}"
        result.write_text(json.dumps({"counts": counts, "failure": failure}))
        os._exit(0)
    return pid, result


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=4)
    parser.add_argument("--seed", type=int, default=int(datetime.now().timestamp()))  # noqa: DTZ005  # only a number
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--databases", dest="variant", action="store_const", const=Variant.DATABASES)
    kinds.add_argument("--processes", dest="variant", action="store_const", const=Variant.PROCESSES)
    parser.set_defaults(variant=Variant.FILES)
    options = parser.parse_args()
    options.directory.mkdir(exist_ok=True)
    begin = time.monotonic()
    counts, failures = run_instances(options.directory, options.kills, options.seed, options.instances, options.variant)
    for failure in failures:
        print(failure, file=sys.stderr)
    counts["seconds"] = round(time.monotonic() - begin)
    counts["losses"] = len(failures)
    print(json.dumps({"seed": options.seed, **counts}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
