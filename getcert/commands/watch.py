"""getcert watch: follow live what happens to requests."""

import gc
import time
from collections.abc import Iterable
from typing import Final

from getcert.client import Client
from getcert.commands.groups import CHOSEN
from getcert.context import Context
from getcert.entries import RequestEntry
from getcert.errors import CommandFailed, UsageError
from getcert.help import Groups
from getcert.selection import Selection, find_or_fail, read_selection
from getcert.table import printable
from getcert.text import time_text
from getcert.watching import Watcher

GROUPS: Final[Groups] = (
    ("Which requests (default: all)", ("ca",)),
    *CHOSEN,
    ("Output", ("utc", "watch_timeout")),
)
HIDDEN: Final = ()

_LOOK_INTERVAL_S: Final = 3600.0
"""Longest single wait; nothing happens at its end."""


class _Watch:
    """One run of the command."""

    def __init__(self, context: Context, client: Client, selection: Selection) -> None:
        self._context = context
        self._client = client
        self._selection = selection
        self._is_particular = selection.nickname is not None or selection.has_location
        self._ca_path = None if context.ca_name is None else client.find_ca(context.ca_name).path
        self._utc = context.options.given("utc")
        self._watcher = Watcher(self._read, self._is_wanted, utc=self._utc, verbose=context.is_verbose)

    def _read(self, path: str) -> RequestEntry | None:
        try:
            return self._client.request(path)
        except CommandFailed:
            return None  # removed meanwhile; if the connection broke, the next wait says so

    def _is_wanted(self, entry: RequestEntry) -> bool:
        if self._ca_path not in (None, entry.ca_path):
            return False
        return not self._is_particular or self._selection.find([entry]) is not None

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._context.tell(f"{time_text(int(time.time()), utc=self._utc)} {printable(line)}")
        self._context.out.flush()

    def begin(self) -> None:
        """Tell how things stand. Raises CommandFailed for a request that does not exist."""
        entries = self._client.requests()
        if self._is_particular:
            entries = [find_or_fail(self._selection, entries, show_help=False)]
        self._tell(self._watcher.begin(entries))
        self._tell([f"Watching {self._watcher.watched} certificates and requests."])

    def follow(self, timeout_s: float | None) -> None:
        """Tell what happens until the time is over, or the one request is gone."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not (self._is_particular and not self._watcher.watched):
            remaining = _LOOK_INTERVAL_S if deadline is None else min(_LOOK_INTERVAL_S, deadline - time.monotonic())
            if remaining <= 0:
                return
            signal = self._client.next_signal(remaining)
            if signal is None:
                continue
            is_up = self._client.daemon_came_or_went(signal)
            if is_up is None:
                self._tell(self._watcher.take(signal))
            elif is_up:
                self._tell(["The daemon is there."])
                self._client.forget()
                self._tell(self._watcher.begin(self._client.requests()))
            else:
                self._tell(["The daemon has ended; waiting for it."])


def run(context: Context) -> int:
    """Print each change, one line with its time, until Ctrl-C or the timeout; both are good ends."""
    selection = read_selection(context.options, context.tell)
    limit = context.options.number("watch_timeout")
    if limit is not None and limit < 0:
        raise UsageError("--timeout takes a number of seconds.")
    with context.client() as client:
        if not client.subscribe_to_all():
            raise CommandFailed(
                "The daemon sends no signals on its private socket, so that there is nothing to watch.",
                "certmonger does so on a bus only.",
            )
        watch = _Watch(context, client, selection)
        gc.enable()  # unlike other commands, this one goes on
        try:
            watch.begin()
            watch.follow(None if limit is None else float(limit))
        except KeyboardInterrupt:
            return 0
    return 0
