"""Kills a daemon at every single step that it leaves on disk, and looks at what the next daemon makes of that.

Where `crash.run` samples, this enumerates: an operation is carried out once undisturbed, and each call is noted that
changes a file or a name. Then it is carried out again for each of them, from the same beginning, by a daemon that is
killed in that call. `python -m crash.steps DIRECTORY` (with `tests` on the path) does so for all operations.
`--how third` takes a third of the calls, another one each day; `--how twice` kills the next daemon too, at each of its
own steps; `--how power-cut` starts daemons on everything that a
disk could hold when the power goes at any moment.
"""

import argparse
import contextlib
import copy
import json
import os
import random
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from crash.disk import Disk, content_of, lay_out
from crash.fault import Recording, Steps
from crash.helpers import Commands, serving
from crash.instance import Expected, Instance, Unanswered
from crash.invariants import Serials, check_pairs, leftovers, tracked
from new_files import create_ca

from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca
from certmongerd.core.states import State
from certmongerd.store.repository import Stored

REACH_LIMIT_S: Final = 60.0
ORPHAN_LIMIT_S: Final = 120.0
FOLDERS: Final = ("requests", "cas", "local", "certs")
ANSWERED: Final = "the client was answered"
_ATTEMPTS: Final = 3
_WAITING_CA: Final = """#!/bin/sh
if [ -e {gate} ]; then
    case "$CERTMONGER_OPERATION" in SUBMIT|POLL) echo waiting; exit 1 ;; esac
fi
exec {helper}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is done to a request, `r1`, in which state."""

    name: str
    act: Callable[[Instance], None]
    ca: str = "SelfSign"
    is_new: bool = False
    """Whether there is no request before."""
    is_waiting: bool = False
    """Whether a new key waits for the CA's answer, which comes only after the kill."""


def _modify(instance: Instance) -> None:
    instance.modify("r1", "other.example.org")
    instance.command("r1", "resubmit")


OPERATIONS: Final = (
    Operation(name="request", act=lambda instance: instance.add("r1", "local"), is_new=True),
    Operation(name="resubmit", act=lambda instance: instance.command("r1", "resubmit"), ca="local"),
    Operation(name="rekey", act=lambda instance: instance.command("r1", "rekey")),
    Operation(name="modify", act=_modify),
    Operation(name="remove", act=lambda instance: instance.remove("r1")),
    Operation(name="remove-waiting", act=lambda instance: instance.remove("r1"), is_waiting=True),
    Operation(name="rekey-waiting", act=lambda instance: instance.command("r1", "rekey"), is_waiting=True),
    Operation(name="resubmit-waiting", act=lambda instance: instance.command("r1", "resubmit"), is_waiting=True),
)


class Walk:
    """One operation, again and again from the same beginning."""

    def __init__(self, root: Path, operation: Operation, helper: Commands) -> None:
        self._operation = operation
        self._gate = root / "gate"
        self._trace = root / "trace"
        self._beginning = root / "beginning"
        self._instance = Instance(root / "instance", random.Random(0))
        self._instance.add_cas(helper)
        waiting = root / "waiting"
        waiting.write_text(_WAITING_CA.format(gate=self._gate, helper=helper.local))
        waiting.chmod(0o755)
        create_ca(self._instance.repository, Ca(id=CaName("waiting"), external_helper=str(waiting)), datetime.now(UTC))
        self.counts: Counter[str] = Counter()
        self._prepare()
        self._wait_for_helpers()
        _copy(self._instance.root, self._beginning)
        self._known = copy.deepcopy(self._instance.requests)

    def _prepare(self) -> None:
        instance, operation = self._instance, self._operation
        instance.start()
        assert instance.connect()
        self._wait_until(lambda: all(stored.value.root_certs for stored in self._asked_cas()), "no CA certificates")
        if not operation.is_new:
            instance.add("r1", "waiting" if operation.is_waiting else operation.ca)
            instance.settle()
        if operation.is_waiting:
            self._gate.touch()
            instance.command("r1", "rekey")
            instance.settle("CA_WORKING")
        self._wait_until(lambda: not leftovers(instance.root, with_candidates=False), "temporary files stay")
        instance.kill()

    def _asked_cas(self) -> list[Stored[Ca]]:
        return [stored for stored in self._instance.repository.load().cas if stored.value.id in ("local", "waiting")]

    def _wait_until(self, is_so: Callable[[], bool], otherwise: str) -> None:
        """Raises Unanswered when the daemon is killed before that."""
        deadline = time.monotonic() + REACH_LIMIT_S
        while not is_so():
            if not self._instance.is_running():
                raise Unanswered
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.005)

    def _wait_for_helpers(self) -> None:
        """What killed daemons had started ends by itself, and must not write into the next one's files."""
        deadline = time.monotonic() + ORPHAN_LIMIT_S
        while left := self._instance.helpers():
            assert time.monotonic() < deadline, f"helpers of killed daemons go on: {left}"
            time.sleep(0.05)

    def _begin_again(self) -> None:
        self._wait_for_helpers()
        shutil.rmtree(self._instance.root)
        _copy(self._beginning, self._instance.root)
        self._instance.requests = copy.deepcopy(self._known)
        if self._operation.is_waiting:
            self._gate.touch()

    def once(self, *, every: int = 1, first: int = 0) -> None:
        """Kill at each step, or at one of *every* so many, beginning with number *first*."""
        for step in self._steps_of(self._live)[first::every]:
            if self._kill_at(step, self._live):
                self._recover()

    def twice(self, *, all_pairs: bool) -> None:
        """Kill at each step, and the next daemon at a step of its own: at each, or at another one each time."""
        for number, step in enumerate(self._steps_of(self._live)):
            if not self._kill_at(step, self._live):
                continue
            self._open_gate()
            halfway = self._instance.root.with_name("halfway")
            self._wait_for_helpers()
            _copy(self._instance.root, halfway)
            known = copy.deepcopy(self._instance.requests)
            following = self._steps_of(self._recovering, begin=lambda: None)
            chosen = following if all_pairs else [following[number % len(following)]] if following else []
            for second in chosen:
                self._wait_for_helpers()
                shutil.rmtree(self._instance.root)
                _copy(halfway, self._instance.root)
                self._instance.requests = copy.deepcopy(known)
                if self._kill_at(second, self._recovering, begin=lambda: None, attempts=1):
                    self._recover()
            shutil.rmtree(halfway)

    def undisturbed(self) -> None:
        """Kill nobody before the end; the steps are in the file `trace`."""
        self.counts["steps"] = len(self._steps_of(self._live))

    def without_power(self) -> None:
        """Start a daemon on each state that the disk may be in when the power goes during the operation."""
        instance, log = self._instance, self._instance.root / "recording"
        self._begin_again()
        disk = Disk(content_of(instance.root, FOLDERS))
        log.touch()
        instance.start(Recording(below=instance.root, log=log))
        assert instance.connect()
        self._operation.act(instance)
        with log.open("a") as answers:
            answers.write(f"{ANSWERED}\n")
        self._finish()
        instance.kill()
        self._wait_for_helpers()
        lines = log.read_text().splitlines()
        log.unlink()
        after = copy.deepcopy(instance.requests)
        before = {name: Expected(name, is_there=None) for name in after}
        known, seen = before if after != self._known else after, set[tuple[tuple[str, bytes], ...]]()
        serials = Serials()
        for line in ["", *lines]:
            if line == ANSWERED:
                known, seen = after, set()
            elif line:
                disk.happen(line)
            for state in (disk.after_kill(), *disk.after_power_cut()):
                if (fingerprint := tuple(sorted(state.items()))) not in seen:
                    seen.add(fingerprint)
                    self._survive(state, known, serials)

    def _survive(self, state: Mapping[str, bytes], known: Mapping[str, Expected], serials: Serials) -> None:
        lay_out(self._instance.root, FOLDERS, state)
        self._instance.requests = copy.deepcopy(dict(known))
        self._check(is_settled=False)
        serials.check(self._instance.certs)
        self._recover()
        copy.deepcopy(serials).check(self._instance.certs)
        self._wait_for_helpers()
        self.counts["states"] += 1

    def _steps_of(self, live: Callable[[], None], begin: Callable[[], None] | None = None) -> list[tuple[str, int]]:
        """What an undisturbed daemon does: calls, each with how often it was seen so far."""
        (begin or self._begin_again)()
        self._instance.start(Steps(below=self._instance.root, trace=self._trace))
        live()
        self._instance.kill()
        self._check(is_settled=not self._gate.exists())
        return list(_numbered(self._trace.read_text().splitlines()))

    def _kill_at(
        self,
        step: tuple[str, int],
        live: Callable[[], None],
        begin: Callable[[], None] | None = None,
        attempts: int = _ATTEMPTS,
    ) -> bool:
        """Whether the step came, and the daemon was killed there; threads may have spared it."""
        for _ in range(attempts):
            (begin or self._begin_again)()
            last, number = step
            self._instance.start(Steps(below=self._instance.root, trace=self._trace, last=last, number=number))
            with contextlib.suppress(Unanswered):
                live()
            was_killed = not self._instance.is_running()
            self._instance.kill()
            self._check(is_settled=False)
            if was_killed:
                self.counts["kills"] += 1
                return True
        self.counts["steps that did not come again"] += 1
        return False

    def _live(self) -> None:
        """The operation, from the start of the daemon to its last step. Raises Unanswered."""
        if not self._instance.connect():
            raise Unanswered
        self._operation.act(self._instance)
        self._finish()

    def _recovering(self) -> None:
        if not self._instance.connect():
            raise Unanswered
        self._finish()

    def _finish(self) -> None:
        if self._gate.exists():
            self._instance.settle("CA_WORKING")
            return
        self._instance.settle()
        self._wait_until(self._is_at_rest_on_disk, "MONITORING does not reach the disk")

    def _is_at_rest_on_disk(self) -> bool:
        requests = self._instance.repository.load().requests
        return all(stored.value.state is State.MONITORING for stored in requests)

    def _open_gate(self) -> None:
        self._gate.unlink(missing_ok=True)

    def _recover(self) -> None:
        """An undisturbed daemon after the kill brings everything to a good end."""
        self._open_gate()
        self._instance.start()
        assert self._instance.connect()
        self._instance.compare(set(self._instance.listed()))
        self._finish()
        self._wait_until(lambda: not leftovers(self._instance.root), "temporary files or candidate keys stay")
        self._instance.kill()
        self._check(is_settled=True)

    def _check(self, *, is_settled: bool) -> None:
        instance = self._instance
        instance.compare(tracked(instance.repository))
        check_pairs(instance.certs, is_settled=is_settled)
        Serials().check(instance.certs)


def _copy(source: Path, destination: Path) -> None:
    shutil.copytree(source, destination, ignore=lambda folder, names: {"socket"} & set(names))


def _numbered(steps: list[str]) -> Iterator[tuple[str, int]]:
    seen: Counter[str] = Counter()
    for step in steps:
        seen[step] += 1
        yield step, seen[step]


def _walk(root: Path, operation: Operation, helper: Commands, how: str) -> Counter[str]:
    walk = Walk(root, operation, helper)
    match how:
        case "once":
            walk.once()
        case "third":
            walk.once(every=3, first=datetime.now(UTC).toordinal() % 3)
        case "undisturbed":
            walk.undisturbed()
        case "power-cut":
            walk.without_power()
        case _:
            walk.twice(all_pairs=how == "twice")
    return walk.counts


def run_operations(
    root: Path, operations: tuple[Operation, ...], how: str
) -> tuple[dict[str, Counter[str]], list[str]]:
    """Each operation in a process of its own; what was done, and what went wrong."""
    counts: dict[str, Counter[str]] = {}
    failures: list[str] = []
    with serving(root) as helper:
        children = [_fork(root / operation.name, operation, helper, how) for operation in operations]
        for operation, pid in zip(operations, children, strict=True):
            os.waitpid(pid, 0)
            outcome = json.loads((root / operation.name / "result").read_text())
            counts[operation.name] = Counter(outcome["counts"])
            if outcome["failure"]:
                failures.append(outcome["failure"])
    return counts, failures


def _fork(root: Path, operation: Operation, helper: Commands, how: str) -> int:
    root.mkdir()
    pid = os.fork()
    if pid == 0:
        counts: Counter[str] = Counter()
        failure = ""
        try:
            counts = _walk(root, operation, helper, how)
        except BaseException:
            failure = f"{operation.name}: {traceback.format_exc()}"
        (root / "result").write_text(json.dumps({"counts": counts, "failure": failure}))
        os._exit(0)
    return pid


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--operation", action="append", choices=[operation.name for operation in OPERATIONS])
    parser.add_argument(
        "--how", choices=("once", "third", "undisturbed", "some-twice", "twice", "power-cut"), default="once"
    )
    options = parser.parse_args()
    chosen = tuple(each for each in OPERATIONS if not options.operation or each.name in options.operation)
    options.directory.mkdir(exist_ok=True)
    begin = time.monotonic()
    counts, failures = run_operations(options.directory, chosen, options.how)
    for failure in failures:
        print(failure, file=sys.stderr)
    print(json.dumps({"operations": counts, "seconds": round(time.monotonic() - begin), "losses": len(failures)}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
