"""Everything that is measured, of this daemon and of certmonger in turn, in one run.

    bench/suite.py                # make bench
    bench/suite.py --quick        # a few minutes, fewer and smaller cases

Prints a table of medians with ratios, and writes results.json, table.md and costs.svg (what one certificate costs, by
the number of certificates) into the folder that --output names. Needs Debian's packages certmonger and scep; without
them it says so, and measures what there is.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from burst import SCEP, Burst, run_burst
from curve import Point, draw
from floor import bare_rate
from machine import machine, version_of
from pipeline import CallFailed
from results import ORIGINAL, OURS, Case, Results, Row, table
from rig import MeasurementFailed, programs
from startup import help_seconds, interpreter_seconds, subcommands
from stock import make_stock
from tracked import CLIENTS, Questions, measure_tracked

KINDS: Final = {
    "self-signed, EC-256": ("SelfSign", "EC:256"),
    "self-signed, RSA-2048": ("SelfSign", "RSA:2048"),
    "CA local, RSA-2048": ("local", "RSA:2048"),
    "scepserver, RSA-2048": (SCEP, "RSA:2048"),
}
FLOOR_KEYS: Final = ("RSA:2048", "EC:256")
STARTUP: Final = "getcert"
FLOOR: Final = "bare"
TRACKED: Final = "tracked"
RENEWAL: Final = "renewal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    both: tuple[int, ...] = (1, 10, 50)
    """Sizes of the bursts that both daemons get."""
    alone: tuple[int, ...] = (500, 2000)
    """Sizes of the bursts that only this daemon gets."""
    settle_s: float = 6
    """Between the start of a daemon and its burst."""
    repeats: int = 5
    """Runs of bursts that take this daemon seconds, and its starts with `tracked_both`; of others there is one."""
    tracked_both: tuple[int, ...] = (100, 1000)
    tracked_alone: tuple[int, ...] = (300, 3000)
    tracked_largest: int = 10_000
    """Certificates that both daemons are started with, the original only as long as its limit lets it."""
    idle_s: float = 65
    """More than a minute, which is how long a sleeping daemon sleeps at most."""
    calls_s: float = 2
    more: int = 50
    renewed: int = 1000
    renewed_original: int = 20
    """How many renewals at once the original gets: a thousand take it more than an hour."""
    floor: int = 100
    startups: int = 7
    limit_s: float = 300
    """Of anything that this daemon does."""
    original_limit_s: float = 270
    """Of anything that the original does."""


FULL: Final = Plan()
QUICK: Final = Plan(
    both=(1, 10),
    alone=(50, 500),
    tracked_both=(100,),
    tracked_alone=(),
    tracked_largest=1000,
    idle_s=20,
    calls_s=1,
    more=20,
    renewed=100,
    renewed_original=5,
    startups=3,
    limit_s=120,
    original_limit_s=60,
)
TINY: Final = Plan(
    both=(1,),
    alone=(),
    settle_s=0.2,
    repeats=1,
    tracked_both=(),
    tracked_alone=(),
    tracked_largest=2,
    idle_s=0.2,
    calls_s=0.05,
    more=1,
    renewed=2,
    renewed_original=2,
    floor=2,
    startups=1,
    limit_s=120,
    original_limit_s=60,
)
PLANS: Final[Mapping[str, Plan]] = {"full": FULL, "quick": QUICK, "tiny": TINY}


class Suite:
    """One run of everything."""

    def __init__(self, plan: Plan, daemons: tuple[str, ...], *, has_scep: bool) -> None:
        self.plan = plan
        self.daemons = daemons
        self.results = Results()
        self._kinds = {name: kind for name, kind in KINDS.items() if has_scep or kind[0] != SCEP}
        self._began = time.monotonic()

    def run(self) -> None:
        """Measure."""
        self._floor()
        self._startup()
        self._bursts()
        self._tracked()
        self._say("done")

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:6.0f} s  {what}", file=sys.stderr, flush=True)

    def _try(self, case: Case, daemon: str, measure: Callable[[], Mapping[str, float]], *, attempts: int = 1) -> None:
        """Measure once; what fails is told, and the rest goes on."""
        self._say(f"{case.group}, {case.count or 1}: {daemon}")
        for attempt in range(1, attempts + 1):
            try:
                self.results.add(case, daemon, measure())
            except (MeasurementFailed, CallFailed, OSError) as error:
                self._say(f"failed: {error}")
                if attempt == attempts:
                    self.results.failures[case, daemon] = f"failed: {str(error).splitlines()[0]}"
            else:
                return

    def _floor(self) -> None:
        for key in FLOOR_KEYS:
            case = Case(group=f"{FLOOR} {key}", count=0)
            for _ in range(self.plan.repeats):
                self._try(case, OURS, lambda key=key: {"rate": bare_rate(self.plan.floor, key)})  # type: ignore[misc]

    def _startup(self) -> None:
        self._say("getcert")
        for _ in range(self.plan.startups):
            self.results.add(Case(group="python", count=0), OURS, {"s": interpreter_seconds(sys.executable)})
            for verb in subcommands():
                for daemon in self.daemons:
                    if daemon == OURS or verb in _ORIGINAL_VERBS:
                        case = Case(group=f"{STARTUP} {verb}", count=0)
                        self.results.add(case, daemon, {"s": help_seconds(CLIENTS[daemon], verb)})

    def _bursts(self) -> None:
        for name, (ca, key) in self._kinds.items():
            for count in (*self.plan.both, *self.plan.alone):
                case = Case(group=name, count=count)
                for number in range(self.plan.repeats if count in self.plan.both else 1):
                    for daemon in self.daemons:
                        if daemon == ORIGINAL and (count in self.plan.alone or number > 0):
                            continue
                        if any(who == daemon and failed.group == name for failed, who in self.results.failures):
                            continue  # what failed for fewer requests is not tried with more
                        limit_s = self.plan.original_limit_s if daemon == ORIGINAL else self.plan.limit_s
                        burst = Burst(count=count, key=key, ca=ca, timeout_s=limit_s, settle_s=self.plan.settle_s)
                        # scepserver refuses one of several requests at once now and then.
                        self._try(
                            case,
                            daemon,
                            lambda daemon=daemon, burst=burst: run_burst(daemon, burst),  # type: ignore[misc]
                            attempts=3 if ca == SCEP and daemon == OURS else 1,
                        )

    def _tracked(self) -> None:
        plan = self.plan
        sizes = sorted({*plan.tracked_both, *plan.tracked_alone, plan.tracked_largest})
        self._say(f"making the state of {sizes[-1]} certificates")
        stock = make_stock(sizes[-1])
        ours = Questions(idle_s=plan.idle_s, calls_s=plan.calls_s, more=plan.more, limit_s=plan.limit_s)
        original = replace(ours, repeat=1, more=0, limit_s=plan.original_limit_s)
        again = Questions(limit_s=plan.limit_s)
        for size in sizes:
            case = Case(group=TRACKED, count=size)
            starts = plan.repeats if size in plan.tracked_both else 1
            for questions in (ours, *[again] * (starts - 1)):
                self._try(
                    case,
                    OURS,
                    lambda size=size, questions=questions: measure_tracked(  # type: ignore[misc]
                        OURS, stock[:size], questions
                    ),
                )
            if ORIGINAL in self.daemons and size not in plan.tracked_alone:
                # What takes the original so long that nobody would wait is told by the limit.
                self._try(
                    case,
                    ORIGINAL,
                    lambda size=size: measure_tracked(ORIGINAL, stock[:size], original),  # type: ignore[misc]
                )
        for daemon, count in ((OURS, plan.renewed), (ORIGINAL, plan.renewed_original)):
            if daemon in self.daemons:
                limit_s = plan.original_limit_s if daemon == ORIGINAL else plan.limit_s
                questions = Questions(repeat=1, renewed=count, limit_s=limit_s)
                self._try(
                    Case(group=RENEWAL, count=count),
                    daemon,
                    lambda daemon=daemon, count=count, questions=questions: measure_tracked(  # type: ignore[misc]
                        daemon, stock[:count], questions
                    ),
                )

    def rows(self) -> list[Row]:
        """The lines of the table."""
        rows = []
        for name in self._kinds:
            for count in (*self.plan.both, *self.plan.alone):
                case = Case(group=name, count=count)
                rows.append(Row(label=name, case=case, value="seconds", unit="s"))
                rows.append(Row(label=f"{name}: CPU", case=case, value="cpu_s", unit="s"))
        for key in FLOOR_KEYS:
            case = Case(group=f"{FLOOR} {key}", count=0)
            rows.append(Row(label=f"bare keys and signatures, {key}", case=case, value="rate", unit="/s", digits=1))
        sizes = sorted({*self.plan.tracked_both, *self.plan.tracked_alone, self.plan.tracked_largest})
        for label, value, unit, digits in _TRACKED_ROWS:
            rows.extend(
                Row(label=label, case=Case(group=TRACKED, count=size), value=value, unit=unit, digits=digits)
                for size in sizes
            )
        for count in dict.fromkeys((self.plan.renewed, self.plan.renewed_original)):
            case = Case(group=RENEWAL, count=count)
            rows.append(Row(label="renewals at once, CA local", case=case, value="renewal_s", unit="s"))
            rows.append(Row(label="renewals at once: CPU", case=case, value="renewal_cpu_s", unit="s"))
        for verb in subcommands():
            rows.append(
                Row(
                    label=f"getcert {verb}",
                    case=Case(group=f"{STARTUP} {verb}", count=0),
                    value="s",
                    unit="s",
                    digits=3,
                )
            )
        rows.append(Row(label="python alone", case=Case(group="python", count=0), value="s", unit="s", digits=3))
        return rows

    def costs(self) -> dict[str, list[Point]]:
        """What one certificate costs, by their number."""
        lines: dict[str, list[Point]] = {}
        for name in ("self-signed, EC-256", "CA local, RSA-2048"):
            lines[f"{name}: CPU, ms"] = [
                (count, 1000 * cpu_s / count)
                for count in (*self.plan.both, *self.plan.alone)
                if (cpu_s := self.results.median(Case(group=name, count=count), OURS, "cpu_s"))
            ]
        for label, value, factor in _COSTS:
            points = []
            for case in (case for case, daemon in self.results.runs if case.group == TRACKED and daemon == OURS):
                amount = self.results.median(case, OURS, value)
                divisor = self.plan.more if value == "more_cpu_s" else case.count
                if amount:
                    points.append((float(case.count), factor * amount / divisor))
            lines[label] = points
        return lines


_ORIGINAL_VERBS: Final = frozenset(
    {"request", "start-tracking", "stop-tracking", "resubmit", "rekey", "refresh", "list", "status", "list-cas"}
    | {"add-ca", "add-scep-ca", "modify-ca", "refresh-ca", "remove-ca"}
)
_TRACKED_ROWS: Final = (
    ("start until the name is owned", "ready_s", "s", 2),
    ("start until nothing is left to do", "start_quiet_s", "s", 1),
    ("start: CPU", "start_cpu_s", "s", 2),
    ("getcert list", "list_s", "s", 2),
    ("getcert list: CPU of the daemon", "list_cpu_s", "s", 2),
    ("getcert list -i ID", "list_one_s", "s", 3),
    ("getcert status -i ID", "status_s", "s", 3),
    ("memory after the start (RSS)", "memory_mib", "MiB", 1),
    ("the same, with child processes (PSS)", "family_memory_mib", "MiB", 1),
    ("memory after `getcert list`", "memory_after_list_mib", "MiB", 1),
    ("idle: CPU", "idle_cpu_percent", "%", 4),
    ("idle: wake-ups per minute", "idle_wake_ups_per_minute", "", 1),
    ("get_status, one after the other", "status_calls_per_s", "/s", 0),
    ("get_status, 64 at once", "status_calls_piped_per_s", "/s", 0),
    ("GetAll, 64 at once", "get_all_calls_piped_per_s", "/s", 0),
    ("adding self-signed EC-256 requests", "more_s", "s", 2),
    ("the same: CPU", "more_cpu_s", "s", 2),
)
_COSTS: Final = (
    ("adding one to those tracked: CPU, ms", "more_cpu_s", 1000.0),
    ("start: CPU, ms", "start_cpu_s", 1000.0),
    ("getcert list, ms", "list_s", 1000.0),
    ("memory, KiB", "memory_mib", 1024.0),
)


def main() -> None:
    """Measure, print the table, write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="plan", action="store_const", const="quick", default="full")
    size.add_argument("--tiny", dest="plan", action="store_const", const="tiny", help="only to see that it works")
    parser.add_argument("--alone", action="store_true", help="leave the original out")
    parser.add_argument("--output", type=Path, default=Path(".bench"), metavar="FOLDER")
    arguments = parser.parse_args()
    has_original = shutil.which(programs()[ORIGINAL]) is not None
    has_scep = shutil.which("scepserver") is not None
    if not has_original:
        print(
            "certmonger is not installed (apt-get install certmonger): this daemon is measured alone.", file=sys.stderr
        )
    if not has_scep:
        print("scepserver is not installed (apt-get install scep): SCEP is not measured.", file=sys.stderr)
    daemons = (OURS, ORIGINAL) if has_original and not arguments.alone else (OURS,)
    facts = machine()
    suite = Suite(PLANS[arguments.plan], daemons, has_scep=has_scep)
    suite.run()
    versions = {daemon: version_of(programs()[daemon]) for daemon in daemons}
    lines = [
        *table(suite.results, suite.rows()),
        "",
        "Medians; in brackets the range of several runs. CPU is that of the daemon and all its children.",
        "; ".join(f"{name} {value}" for name, value in facts.items()) + ".",
    ]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    arguments.output.mkdir(parents=True, exist_ok=True)
    document = {"machine": facts, "plan": arguments.plan, "programs": versions, "results": suite.results.document()}
    (arguments.output / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    (arguments.output / "table.md").write_text(text)
    picture = draw("What one certificate costs", "certificates", suite.costs())
    (arguments.output / "costs.svg").write_text(picture)


if __name__ == "__main__":
    main()
