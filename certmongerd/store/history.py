"""The history of each request, in a file beside its state file.

The name begins with a dot and ends in `.history`: certmonger looks at neither.
There is one JSON object a line. History is no state: it is appended without
being synced, a crash may lose the newest lines, and a line that cannot be
understood is skipped.
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from certmongerd.core.errors import StateStoreError
from certmongerd.core.history import HistoryEntry
from certmongerd.store.files import write_durably

LARGEST_HISTORY: Final = 64 << 10
"""Bytes; a file that has become larger is cut down to its newest lines."""
KEPT_HISTORY: Final = LARGEST_HISTORY * 3 // 4
"""Bytes that are left then, at most."""

_PREFIX: Final = "."
_SUFFIX: Final = ".history"


class RequestHistories:
    """Histories by the names of the requests' state files, in their directory.

    One thread or process at a time appends; another one may remove.
    """

    def __init__(self, directory: Path) -> None:
        self._directory: Final = directory

    def path(self, name: str) -> Path:
        """The history of the request whose state file is called *name*."""
        return self._directory / f"{_PREFIX}{name}{_SUFFIX}"

    def append(self, name: str, entries: Iterable[HistoryEntry]) -> None:
        """Add *entries*, unless the request's state file is gone. Raises StateStoreError."""
        path, state_file = self.path(name), self._directory / name
        try:
            if os.path.lexists(state_file):
                _append(path, b"".join(map(_line, entries)))
                if not os.path.lexists(state_file):
                    self.remove(name)  # whoever removed the request meanwhile may have found no history yet
        except OSError as exc:
            raise StateStoreError(str(path), f"cannot be written: {exc.strerror}") from exc

    def append_all(self, batch: Mapping[str, Sequence[HistoryEntry]]) -> StateStoreError | None:
        """Append to the history of each name; the last trouble."""
        trouble = None
        for name, entries in batch.items():
            try:
                self.append(name, entries)
            except StateStoreError as error:
                trouble = error
        return trouble

    def read(self, name: str) -> tuple[HistoryEntry, ...]:
        """All entries, oldest first; none when there is no history. Raises StateStoreError."""
        path = self.path(name)
        try:
            with open(_open(path, os.O_RDONLY), "rb") as file:
                content = file.read(2 * LARGEST_HISTORY)
        except FileNotFoundError:
            return ()
        except OSError as exc:
            raise StateStoreError(str(path), f"cannot be read: {exc.strerror}") from exc
        entries = (_entry(line) for line in content.splitlines())
        return tuple(entry for entry in entries if entry is not None)

    def remove(self, name: str) -> None:
        """Remove the history of a request whose state file is gone; what cannot be removed now is at the next start."""
        with contextlib.suppress(OSError):
            self.path(name).unlink()

    def remove_orphans(self, names: Sequence[str]) -> None:
        """Of *names*, which the directory holds, remove the histories without a state file. Raises OSError."""
        present = frozenset(names)
        for name in names:
            owner = name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
            if name == self.path(owner).name and owner not in present:
                os.unlink(self._directory / name)


def _open(path: Path, flags: int) -> int:
    """A descriptor of a regular file; anything else is refused, and blocks nobody."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return descriptor


def _append(path: Path, data: bytes) -> None:
    with open(_open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            data = b"\n" + data  # a line that was cut off must not spoil the next one
        file.write(data)
        if size + len(data) <= LARGEST_HISTORY:
            return
        newest = os.pread(file.fileno(), KEPT_HISTORY, size + len(data) - KEPT_HISTORY)
    write_durably(path, newest.partition(b"\n")[2])


def _line(entry: HistoryEntry) -> bytes:
    values: dict[str, object] = {"at": _text(entry.at), "event": entry.event, "state": entry.state}
    if entry.attempts:
        values["attempts"] = entry.attempts
    if entry.error:
        values["error"] = entry.error
    if entry.due is not None:
        values["due"] = _text(entry.due)
    return json.dumps(values).encode() + b"\n"


def _entry(line: bytes) -> HistoryEntry | None:
    try:
        values = json.loads(line)
        if not isinstance(values, Mapping):
            return None
        due = values.get("due")
        return HistoryEntry(
            at=_time(values["at"]),
            event=str(values["event"]),
            state=str(values["state"]),
            attempts=min(max(int(values.get("attempts", 0)), 0), _MOST_ATTEMPTS),
            error=str(values.get("error", "")),
            due=None if due is None else _time(due),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


_MOST_ATTEMPTS: Final = (1 << 31) - 1


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: object) -> datetime:
    moment = datetime.fromisoformat(str(text))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
