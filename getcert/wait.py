"""Waiting for a certificate: exit statuses, progress, and advice when nothing moves any more."""

import time
from collections.abc import Callable
from typing import Final, TextIO

from certmongerd.core.advice import advice_for
from certmongerd.core.states import State, parse_state
from getcert.client import Client
from getcert.entries import RequestEntry
from getcert.errors import EXIT_FAILURE
from getcert.text import status_line

EXIT_ISSUED: Final = 0
EXIT_REJECTED: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_STUCK: Final = 4
EXIT_WORKING: Final = 5

POLL_INTERVAL_S: Final = 0.2
"""Longest time between two looks at the request; signals of the daemon shorten it."""

_FRAMES: Final = "-\\|/"
_ERASE_LINE: Final = "\r\x1b[K"

_LASTING_STATES: Final = frozenset(
    {State.MONITORING, State.CA_UNREACHABLE, State.CA_WORKING, State.NEED_SCEP_ENCRYPTION_CERT}
)
"""States that are not stuck and yet end the waiting: the next step is far away or not ours."""


def exit_status(state: str, *, stuck: bool) -> int:
    """What `status` and `-w` tell about a state."""
    known = parse_state(state)
    if known is State.CA_REJECTED:
        return EXIT_REJECTED
    if known in (State.CA_UNREACHABLE, State.NEED_SCEP_ENCRYPTION_CERT):
        return EXIT_UNREACHABLE
    if stuck:
        return EXIT_STUCK
    return EXIT_ISSUED if known is State.MONITORING else EXIT_WORKING


def advice_lines(entry: RequestEntry) -> list[str]:
    """Why a stuck request is stuck, and what a person can do about it."""
    lines = []
    reason = entry.properties.text("ca-error")
    state = parse_state(entry.status)
    if reason:
        lines.append(reason if state is State.MONITORING else f"The CA says: {reason}")
    advice = advice_for(state, entry.nickname) if state is not None and entry.is_stuck else ""
    if advice:
        lines.append(advice)
    return lines


class Progress:
    """Shows states as they come: on a terminal live, with -v one line each, otherwise nothing."""

    def __init__(self, out: TextIO, *, verbose: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._verbose = verbose
        self._live = out.isatty() and not verbose
        self._now = now
        self._state: tuple[str, bool] | None = None
        self._since = now()
        self._frame = 0

    def show(self, state: str, *, stuck: bool) -> None:
        """Tell the present state; the same state again only moves the clock."""
        if (state, stuck) != self._state:
            self._finish_line()
            self._state, self._since = (state, stuck), self._now()
            if self._verbose:
                self._out.write(status_line(state, stuck) + "\n")
        if self._live:
            self._frame += 1
            spinner = _FRAMES[self._frame % len(_FRAMES)]
            self._out.write(f"{_ERASE_LINE}{spinner} {state}  {self._now() - self._since:.0f} s")
        self._out.flush()

    def _finish_line(self) -> None:
        if self._live and self._state is not None:
            self._out.write(f"{_ERASE_LINE}  {self._state[0]}  {self._now() - self._since:.1f} s\n")

    def end(self) -> None:
        """Leave the last state on the screen."""
        self._finish_line()
        self._state = None
        self._out.flush()


def wait_for_certificate(client: Client, path: str, out: TextIO, *, verbose: bool, timeout_s: float | None) -> int:
    """Wait until a request is settled; the exit status. A timeout ends it silently with 1."""
    out.flush()
    client.subscribe(path)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    progress = Progress(out, verbose=verbose)
    while True:
        state, stuck = client.request_status(path)
        progress.show(state, stuck=stuck)
        if stuck or parse_state(state) in _LASTING_STATES:
            break
        remaining = POLL_INTERVAL_S if deadline is None else min(POLL_INTERVAL_S, deadline - time.monotonic())
        if remaining <= 0:
            progress.end()
            return EXIT_FAILURE
        client.pause(remaining)
    progress.end()
    if stuck and out.isatty():
        for line in advice_lines(client.request(path)):
            out.write(line + "\n")
    return exit_status(state, stuck=stuck)
