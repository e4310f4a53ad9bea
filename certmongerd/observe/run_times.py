"""How long enrolment helpers take, by CA and operation. Plain numbers, so that nothing is loaded for them."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BOUNDS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets; a last one without bound follows."""
_ENROLMENT: Final = frozenset({"SUBMIT", "POLL"})
_NO_ANSWER: Final = frozenset({3, None})
"""Exit statuses of a helper whose CA said nothing: unreachable, or so slow that the helper was ended."""


@dataclass(slots=True)
class Times:
    """Runs of one kind."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    """Runs per bucket, not cumulative."""
    total_s: float = 0.0

    def add(self, duration_s: float) -> None:
        """Count one run."""
        self.buckets[bisect_left(BOUNDS_S, duration_s)] += 1
        self.total_s += duration_s

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Bound as Prometheus writes it, and the runs up to it."""
        count = 0
        for bound, runs in zip((*map(str, BOUNDS_S), "+Inf"), self.buckets, strict=True):
            count += runs
            yield bound, count


class RunTimes:
    """The times of all helpers since the start."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str, str], Times] = {}
        self._unreachable: set[str] = set()

    def add(self, ca: str, operation: str, exit_status: int | None, duration_s: float) -> None:
        """Count one run; *exit_status* None means that a signal ended it."""
        status = "signal" if exit_status is None else str(exit_status)
        self._times.setdefault((ca, operation, status), Times()).add(duration_s)
        if operation in _ENROLMENT:
            (self._unreachable.add if exit_status in _NO_ANSWER else self._unreachable.discard)(ca)

    def is_unreachable(self, ca: str) -> bool:
        """Whether the last submission to *ca* got no answer."""
        return ca in self._unreachable

    def items(self) -> list[tuple[tuple[str, str, str], Times]]:
        """CA, operation and exit status with their times."""
        return list(self._times.items())
