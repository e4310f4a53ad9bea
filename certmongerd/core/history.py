"""What is remembered of a request's past: which turns it took, when, and what was said about them."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

from certmongerd.core.events import Begin, CaChanged, Event, TimerFired
from certmongerd.core.model import Request

LONGEST_ERROR: Final = 1000
"""Characters of an error that are kept."""

_CAPITAL: Final = re.compile(r"(?<=.)([A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One turn in a request's life."""

    at: datetime
    """Aware UTC, whole seconds."""
    event: str
    """What happened: the name of the event in lower case with hyphens, for example `timer-fired`."""
    state: str
    """The state that was reached, by the name `getcert list` shows."""
    attempts: int = 0
    """Failures in a row so far."""
    error: str = ""
    """What the CA, or the daemon, said."""
    due: datetime | None = None
    """When the request goes on by itself; None when it is at work, or waits for somebody."""


def history_entry(before: Request, event: Event, after: Request, now: datetime) -> HistoryEntry | None:
    """What to remember of the step from *before* to *after*; None for a look at the clock that changed nothing."""
    is_routine = isinstance(event, Begin | TimerFired | CaChanged)
    if is_routine and before.state is after.state and before.ca_error == after.ca_error:
        return None
    return HistoryEntry(
        at=now,
        event=event_name(event),
        state=after.state.value,
        attempts=after.attempts,
        error=after.ca_error[:LONGEST_ERROR],
        due=after.next_attempt,
    )


def event_name(event: Event) -> str:
    """`TimerFired` as `timer-fired`."""
    return _dashed(type(event).__name__)


@cache
def _dashed(name: str) -> str:
    return _CAPITAL.sub(r"-\1", name).lower()
