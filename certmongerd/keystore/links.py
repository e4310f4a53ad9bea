"""Which file a location means: symbolic links are followed, but not those that somebody laid as a trap.

In a directory that another user may write, that user can put a link where the daemon, as root, is going to read or
write. A link of somebody else than root and the daemon's own user is followed only to what belongs to its owner anyway.
Each directory on the way is opened relative to the one before and held until the work is done, so that it is the one
that was examined, whatever becomes of the path meanwhile.
"""

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from certmongerd.keystore.direct import open_without_links

_MOST_LINKS: Final = 40
_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTER: Final = _LOOK | os.O_DIRECTORY
"""The latter also has what is mounted on demand mounted."""
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A fifo must not hold up the thread."""
_BLOCK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a directory that is held open. All methods raise OSError."""

    directory: int
    """A descriptor, for calls that take one to start from."""
    name: str
    path: str
    """The directory's path when it was opened, and the name; for people."""
    owners: frozenset[int] = frozenset()
    """User ids of the strangers whose links led here; what is here has to belong to them."""

    def beside(self, name: str) -> "Place":
        """Another name in the same directory."""
        return replace(self, name=name, path=posixpath.join(posixpath.dirname(self.path), name))

    def status(self) -> os.stat_result | None:
        """What is there, links not followed; None when nothing is."""
        try:
            return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    @contextmanager
    def opened(self) -> Iterator[tuple[int, os.stat_result]]:
        """A descriptor for reading the regular file, and what it is."""
        descriptor = os.open(self.name, _READ, dir_fd=self.directory)
        try:
            status = os.fstat(descriptor)
            self.require_owner(status.st_uid)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file", self.path)
            yield descriptor, status
        finally:
            os.close(descriptor)

    def read(self, most: int) -> bytes:
        """The first *most* bytes of the regular file."""
        content = b""
        with self.opened() as (descriptor, status):
            while part := os.read(descriptor, min(_BLOCK, most - len(content))):
                content += part
                if len(content) == status.st_size:
                    break
        return content

    def require_owner(self, uid: int) -> None:
        """Raises PermissionError unless the links that led here may lead to what belongs to *uid*."""
        for owner in self.owners - {uid}:
            reason = (
                f"a symbolic link of user id {owner} leads to what does not belong to that user; it is not followed"
            )
            raise PermissionError(errno.EACCES, reason, self.path)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """File names in errors that are raised inside become paths."""
        try:
            yield
        except OSError as exc:
            if isinstance(exc.filename, str) and not exc.filename.startswith("/"):
                exc.filename = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), exc.filename))
            raise


@contextmanager
def located(location: str, *, follow: bool = True) -> Iterator[Place]:
    """The place that *location* means; there need not be a file. Raises OSError, also for a missing directory.

    With *follow* off a link under the last name is not followed; those before always are. File names in errors that
    are raised inside become paths.
    """
    walk = _Walk(location)
    try:
        place = walk.place(follow=follow)
        with place.naming():
            yield place
    finally:
        walk.close()


class _Walk:
    """Goes from directory to directory."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._pending = _parts(location)
        self._links = 0
        self._strangers: set[int] = set()
        self._directory, self._path = self._start()

    def _start(self) -> tuple[int, str]:
        """The directory of the file at once if no link is on the way, else where the way begins; and its path."""
        directory, name = posixpath.split(self._location)
        if directory.startswith("/") and name not in ("", ".", ".."):
            entered = open_without_links(directory, _ENTER)
            if entered is not None:
                self._pending = [name]
                return entered, posixpath.normpath(directory)
        start = "/" if directory.startswith("/") else "."
        return os.open(start, _ENTER), os.path.abspath(start)

    def close(self) -> None:
        """Let the directory go."""
        os.close(self._directory)

    def place(self, *, follow: bool) -> Place:
        """Go as far as the directory of the file."""
        while self._pending:
            part = self._pending.pop()
            is_last = not self._pending
            if part == ".." or not is_last:
                self._step(part)
                continue
            place = Place(self._directory, part, posixpath.join(self._path, part), frozenset(self._strangers))
            if not follow or not self._follows(part):
                if self._strangers:
                    status = place.status() or os.fstat(self._directory)
                    place.require_owner(status.st_uid)
                return place
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self._location)

    def _step(self, part: str) -> None:
        """Enter the directory *part*, or go the way of a link of that name."""
        try:
            entered = os.open(part, _ENTER, dir_fd=self._directory)
        except NotADirectoryError:
            if not self._follows(part):
                raise self._named(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))) from None
        except OSError as exc:
            raise self._named(exc) from None
        else:
            up = posixpath.dirname(self._path)
            self._move_to(entered, up if part == ".." else posixpath.join(self._path, part))

    def _follows(self, part: str) -> bool:
        """Go the way of the link *part*; False when it is none, or is not there."""
        try:
            os.readlink(part, dir_fd=self._directory)
            found = os.open(part, _LOOK, dir_fd=self._directory)
        except FileNotFoundError:
            return False
        except OSError as exc:
            if exc.errno == errno.EINVAL:  # it is no link
                return False
            raise self._named(exc) from None
        try:
            status = os.fstat(found)
            if not stat.S_ISLNK(status.st_mode):
                return False
            text = os.readlink("", dir_fd=found)
        finally:
            os.close(found)
        self._links += 1
        if self._links > _MOST_LINKS:
            raise self._named(OSError(errno.ELOOP, os.strerror(errno.ELOOP)))
        if status.st_uid not in (0, os.geteuid()):
            self._strangers.add(status.st_uid)
        self._pending += _parts(text)
        if text.startswith("/"):
            self._move_to(os.open("/", _ENTER), "/")
        return True

    def _move_to(self, directory: int, path: str) -> None:
        os.close(self._directory)
        self._directory, self._path = directory, path

    def _named(self, error: OSError) -> OSError:
        error.filename = self._location
        return error


def _parts(path: str) -> list[str]:
    """The names in *path*, the first one last."""
    return [part for part in path.split("/") if part not in ("", ".")][::-1]
