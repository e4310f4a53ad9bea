"""The directories with one file per request and one per CA."""

import errno
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Generic, TypeVar

from certmongerd.core.errors import InvalidValue, NameTaken, StateStoreError
from certmongerd.core.model import Ca, Request
from certmongerd.store.cas import read_ca, write_ca
from certmongerd.store.files import TEMPORARY_PREFIX, create_durably, remove_durably, write_durably
from certmongerd.store.format import Record, parse, render
from certmongerd.store.halves import Spread, one_after_the_other
from certmongerd.store.history import RequestHistories
from certmongerd.store.requests import read_request, write_request

logger = logging.getLogger(__name__)

TEMPORARY_SUFFIX: Final = ".tmp"
IGNORED_SUFFIXES: Final = (TEMPORARY_SUFFIX, ".rpmsave", ".rpmorig", ".rpmnew", "~", "#")
"""Names that are never entries: unfinished writes, and what editors and packagers leave."""

HIGHEST_NUMBER: Final = 1023
"""Entries created in the same second are told apart by -1 to this."""

MAXIMUM_SIZE: Final = 16 << 20
"""Bytes; a longer file is not a state file."""

_ENTRY_NAME: Final = re.compile(r"[0-9]{14}(-[0-9]{1,4})?")

E = TypeVar("E", Request, Ca)

FileWork = Callable[[], None]
"""Writes one file, and blocks; it can be pickled, and called a second time. Raises StateStoreError."""

_Reader = Callable[[Iterable[Record]], tuple[E, tuple[str, ...]]]
_Writer = Callable[[E], list[Record]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Generic[E]):
    """An entry and the name of the file it came from."""

    name: str
    value: E


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something about a state file that a person should know; the file is still there."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the directories held, in the order of file names."""

    requests: tuple[Stored[Request], ...]
    cas: tuple[Stored[Ca], ...]
    problems: tuple[Problem, ...]
    """Also single values of entries that were loaded nevertheless."""


class Shelf(Generic[E]):
    """One directory of state files of one kind. Methods block; different names may be used in different threads."""

    def __init__(
        self,
        directory: Path,
        read: _Reader[E],
        write: _Writer[E],
    ) -> None:
        self.directory: Final = directory
        self._read: Final[_Reader[E]] = read
        self._write: Final[_Writer[E]] = write
        self._given = ("", 0)
        """The second and the number of the last name."""

    def path(self, name: str) -> Path:
        """The file called *name*."""
        return self.directory / name

    def prepare(self) -> None:
        """Create the directory (0700, parents too), and clear up what an interrupted write left.

        Unfinished files are removed, and so are empty ones that certmonger reserved but never
        filled; if the content for such a file is complete beside it, it is put in place.
        Other names are not touched.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in sorted(os.listdir(self.directory)):
                if name.startswith(TEMPORARY_PREFIX):
                    os.unlink(self.path(name))
                elif _ENTRY_NAME.fullmatch(name.removesuffix(TEMPORARY_SUFFIX)):
                    self._clear_up(name)
        except OSError as exc:
            raise StateStoreError(str(self.directory), f"cannot be prepared: {exc.strerror}") from exc

    def _clear_up(self, name: str) -> None:
        path = self.path(name)
        if name.endswith(TEMPORARY_SUFFIX):
            entry_path = self.path(name.removesuffix(TEMPORARY_SUFFIX))
            if _is_empty(entry_path) and self._is_complete(path):
                logger.warning("Recovering %s from an interrupted write", entry_path)
                os.rename(path, entry_path)
            else:
                logger.info("Removing %s, left by an interrupted write", path)
                os.unlink(path)
        elif _is_empty(path) and not self._is_taken(name + TEMPORARY_SUFFIX):
            logger.warning("Removing %s, which is empty", path)
            os.unlink(path)

    def _is_complete(self, path: Path) -> bool:
        try:
            content = _content(path)
            self._read(parse(content))
        except InvalidValue:
            return False
        return content.endswith(b"\n")

    def load(self, spread: Spread) -> tuple[list[Stored[E]], list[Problem]]:
        """All entries in byte-wise order of names. Of entries with the same id the first one counts.

        Files are only read. Raises StateStoreError when the directory cannot be listed.
        """
        try:
            names = sorted(os.listdir(self.directory), key=os.fsencode)
        except OSError as exc:
            raise StateStoreError(str(self.directory), f"cannot be read: {exc.strerror}") from exc
        names = [name for name in names if not name.startswith(".") and not name.endswith(IGNORED_SUFFIXES)]
        stored: list[Stored[E]] = []
        problems: list[Problem] = []
        owners: dict[str, str] = {}
        for name, (entry, complaints) in zip(names, spread(self._load, names), strict=True):
            if entry is not None:
                owner = owners.setdefault(entry.id, name)  # certmonger lets ids differ by case only
                if owner == name:
                    stored.append(Stored(name=name, value=entry))
                else:
                    complaints = (f'id "{entry.id}" is already used by {self.path(owner)}; the file is ignored',)
            problems.extend(Problem(path=self.path(name), reason=complaint) for complaint in complaints)
        return stored, problems

    def _load(self, name: str) -> tuple[E | None, tuple[str, ...]]:
        """What is in the file called *name*, and what is wrong with it. A directory is nothing."""
        path = os.path.join(self.directory, name)
        try:
            return self._read(parse(_content(path)))
        except IsADirectoryError:
            return None, ()
        except OSError as exc:
            return None, (f"cannot be read: {exc.strerror}",)
        except InvalidValue as exc:
            return None, (f"{exc}; the file is ignored",)

    def next_name(self, now: datetime) -> str:
        """The name for a new file, which follows from *now*; none is given twice. Raises StateStoreError."""
        second = now.astimezone(UTC).strftime("%Y%m%d%H%M%S")
        number = self._given[1] + 1 if self._given[0] == second else 0
        name = f"{second}-{number}" if number else second
        if number > HIGHEST_NUMBER:
            raise StateStoreError(
                str(self.path(second)), f"cannot be created: all names to -{HIGHEST_NUMBER} are taken"
            )
        self._given = (second, number)
        return name

    def creating(self, name: str, entry: E) -> FileWork:
        """What writes a new entry; a second time where that was interrupted. It raises NameTaken."""
        return partial(_create, str(self.path(name)), self._render(entry))

    def saving(self, name: str, entry: E) -> FileWork:
        """What replaces the file called *name*; a crash leaves the old or the new content."""
        return partial(_save, str(self.path(name)), self._render(entry))

    def delete(self, name: str) -> None:
        """Remove the file called *name*; one that is gone already is fine."""
        try:
            remove_durably(self.path(name))
        except FileNotFoundError:
            if not self.directory.is_dir():
                raise StateStoreError(str(self.directory), "the directory is missing") from None
        except OSError as exc:
            raise _failure(str(self.path(name)), "removed", exc) from exc

    def _render(self, entry: E) -> bytes:
        try:
            return render(self._write(entry))
        except InvalidValue as exc:
            raise StateStoreError(f"for {entry.id!r}", f"cannot be written: {exc}") from exc

    def _is_taken(self, name: str) -> bool:
        return os.path.lexists(self.path(name))


def _create(path: str, data: bytes) -> None:
    try:
        if not os.path.lexists(path):
            create_durably(path, data, temporary_name=_temporary_name(path))
            return
    except FileExistsError:
        pass
    except OSError as exc:
        raise _failure(path, "created", exc) from exc
    if _content_if_any(path) != data:
        raise NameTaken(path, "cannot be created: it is there already")


def _save(path: str, data: bytes) -> None:
    try:
        write_durably(path, data, temporary_name=_temporary_name(path))
    except OSError as exc:
        raise _failure(path, "written", exc) from exc


def _temporary_name(path: str) -> str:
    return os.path.basename(path) + TEMPORARY_SUFFIX


def _failure(path: str, action: str, exc: OSError) -> StateStoreError:
    if isinstance(exc, FileNotFoundError) and not os.path.isdir(os.path.dirname(path)):
        return StateStoreError(path, f"cannot be {action}: the directory is missing")
    return StateStoreError(path, f"cannot be {action}: {exc.strerror}")


def _content_if_any(path: str) -> bytes | None:
    try:
        return _content(path)
    except (OSError, InvalidValue):
        return None


def _content(path: Path | str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not stop the daemon
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise InvalidValue("state file", "is not a regular file")
        if not status.st_size:
            raise InvalidValue("state file", "is empty")
        if status.st_size > MAXIMUM_SIZE:
            raise InvalidValue("state file", f"has {status.st_size} bytes, which is too long")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _is_empty(path: Path) -> bool:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and not status.st_size


class Repository:
    """Requests and CAs on disk. Raises StateStoreError for everything the file system refuses."""

    def __init__(self, requests_dir: Path, cas_dir: Path) -> None:
        self._requests: Final = Shelf(requests_dir, read_request, write_request)
        self._cas: Final = Shelf(cas_dir, read_ca, write_ca)
        self.histories: Final = RequestHistories(requests_dir)

    def prepare(self) -> None:
        """Create the directories and tidy up after a crash; call it with the instance lock held."""
        self._requests.prepare()
        self._cas.prepare()
        try:
            self.histories.remove_orphans(os.listdir(self._requests.directory))
        except OSError as exc:
            raise StateStoreError(str(self._requests.directory), f"cannot be prepared: {exc.strerror}") from exc

    def load(self, spread: Spread = one_after_the_other) -> Loaded:
        """Everything that is stored; *spread* reads it. A file that cannot be understood is reported and kept."""
        requests, request_problems = self._requests.load(spread)
        cas, ca_problems = self._cas.load(spread)
        return Loaded(requests=tuple(requests), cas=tuple(cas), problems=(*request_problems, *ca_problems))

    def request_path(self, name: str) -> Path:
        """The state file of a request."""
        return self._requests.path(name)

    def next_request_name(self, now: datetime) -> str:
        """The name of a new request's file. Does not look at the disk."""
        return self._requests.next_name(now)

    def creating_request(self, name: str, request: Request) -> FileWork:
        """What stores a new request; it raises NameTaken."""
        return self._requests.creating(name, request)

    def saving_request(self, name: str, request: Request) -> FileWork:
        """What stores a request that has a file already."""
        return self._requests.saving(name, request)

    def delete_request(self, name: str) -> None:
        """Forget a request, and its history."""
        self._requests.delete(name)
        self.histories.remove(name)

    def ca_path(self, name: str) -> Path:
        """The state file of a CA."""
        return self._cas.path(name)

    def next_ca_name(self, now: datetime) -> str:
        """The name of a new CA's file. Does not look at the disk."""
        return self._cas.next_name(now)

    def creating_ca(self, name: str, ca: Ca) -> FileWork:
        """What stores a new CA; it raises NameTaken."""
        return self._cas.creating(name, ca)

    def saving_ca(self, name: str, ca: Ca) -> FileWork:
        """What stores a CA that has a file already."""
        return self._cas.saving(name, ca)

    def delete_ca(self, name: str) -> None:
        """Forget a CA."""
        self._cas.delete(name)
