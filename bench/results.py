"""What was measured: runs gathered by case and daemon, and how they are told."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

OURS: Final = "certmongerd"
ORIGINAL: Final = "debian"
RATE: Final = "/s"
"""The unit of what had better be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that is measured, of each daemon in the same way."""

    group: str
    count: int
    """Requests; 0 where that means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    label: str
    case: Case
    value: str
    """Name of what was measured."""
    unit: str
    digits: int = 2


@dataclass(slots=True)
class Results:
    """All runs."""

    runs: dict[tuple[Case, str], list[Mapping[str, float]]] = field(default_factory=dict)
    failures: dict[tuple[Case, str], str] = field(default_factory=dict)
    """Why a daemon has no result."""

    def add(self, case: Case, daemon: str, run: Mapping[str, float]) -> None:
        """Keep what one run gave."""
        self.runs.setdefault((case, daemon), []).append(run)

    def values(self, case: Case, daemon: str, name: str) -> list[float]:
        """Of all runs that have it."""
        return [run[name] for run in self.runs.get((case, daemon), ()) if name in run]

    def median(self, case: Case, daemon: str, name: str) -> float | None:
        """None when it was not measured."""
        values = self.values(case, daemon, name)
        return statistics.median(values) if values else None

    def document(self) -> list[dict[str, object]]:
        """For JSON."""
        return [
            {"case": case.group, "count": case.count, "daemon": daemon, "runs": runs}
            for (case, daemon), runs in self.runs.items()
        ] + [
            {"case": case.group, "count": case.count, "daemon": daemon, "failed": reason}
            for (case, daemon), reason in self.failures.items()
        ]


def table(results: Results, rows: Sequence[Row]) -> Iterator[str]:
    """A Markdown table: medians, the range of several runs, and how many times better (above 1) or worse ours is."""
    yield "| what | requests | certmongerd | certmonger | times better |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for row in rows:
        ours, theirs = (_cell(results, row, daemon) for daemon in (OURS, ORIGINAL))
        if ours or theirs:
            count = f"{row.case.count:,}" if row.case.count else ""
            yield f"| {row.label} | {count} | {ours} | {theirs} | {_ratio(results, row)} |"


def _cell(results: Results, row: Row, daemon: str) -> str:
    values = results.values(row.case, daemon, row.value)
    if not values:
        return results.failures.get((row.case, daemon), "")
    middle = f"{statistics.median(values):,.{row.digits}f}"
    span = f" ({min(values):,.{row.digits}f} to {max(values):,.{row.digits}f})" if len(values) > 1 else ""
    return f"{middle} {row.unit}{span}"


def _ratio(results: Results, row: Row) -> str:
    ours, theirs = (results.median(row.case, daemon, row.value) for daemon in (OURS, ORIGINAL))
    if not ours or not theirs:
        return ""
    ratio = ours / theirs if row.unit == RATE else theirs / ours
    return f"{ratio:,.2f}" if ratio < 10 else f"{ratio:,.0f}"
