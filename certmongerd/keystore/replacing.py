"""Replacing files so that a crash at any point leaves something that can be completed.

Temporary names are derived from the name of the file they are for, so that what a
crash left behind is recognised, and only the rightful owner of it removes it.
"""

import contextlib
import errno
import hashlib
import logging
import os
import stat
from pathlib import Path
from typing import Final

from certmongerd.keystore.links import target_of
from certmongerd.keystore.ownership import Ownership, wanted_ownership
from certmongerd.store.files import TEMPORARY_PREFIX, create_durably, remove_durably, sync_directory, write_durably

logger = logging.getLogger(__name__)

_LABEL: Final = "security.selinux"
_NO_LABEL: Final = frozenset({errno.ENODATA, errno.ENOTSUP, errno.ENOENT, errno.ENOSYS})
MAXIMUM_BYTES: Final = 1 << 20
"""Keys and certificates are smaller; a device or a log file by mistake is not read to its end."""


def read_content(path: str) -> bytes | None:
    """Content of a regular file; None when there is none, or when it is empty, as a failed generation leaves it.

    Raises OSError, also for what is no regular file.
    """
    # Without a file object: each enrolment reads ten times, and each system call costs a thread its turn.
    try:
        # A fifo must not hold up the thread.
        descriptor = os.open(target_of(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        content = _read_all(descriptor, status.st_size)
    finally:
        os.close(descriptor)
    if len(content) > MAXIMUM_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return content or None


def _read_all(descriptor: int, size: int) -> bytes:
    """What is in a file that had *size* bytes, up to one byte more than MAXIMUM_BYTES."""
    content = os.read(descriptor, min(size, MAXIMUM_BYTES) + 1)
    while size < len(content) <= MAXIMUM_BYTES:  # it grows
        size = len(content)
        content += os.read(descriptor, MAXIMUM_BYTES + 1 - size)
    return content


def replace_content(location: str, content: bytes, owner: str, perms: int) -> None:
    """Replace or create the file that *location* means, durably. Raises OSError."""
    target = target_of(location)
    ownership = wanted_ownership(target, owner, perms)
    temporary = _temporary_name(target)
    write_durably(target, content, mode=ownership.mode, owner=ownership.owner, temporary_name=temporary)


def create_content(path: str, content: bytes, owner: str, perms: int) -> None:
    """Create the file *path*, durably; FileExistsError when something is there."""
    ownership = wanted_ownership(path, owner, perms)
    temporary = _temporary_name(path)
    create_durably(path, content, mode=ownership.mode, owner=ownership.owner, temporary_name=temporary)


def create_or_fill(location: str, content: bytes, owner: str, perms: int) -> None:
    """Put *content* where nothing or an empty file is. Raises OSError, FileExistsError when somebody was faster."""
    target = target_of(location)
    if os.path.lexists(target):
        replace_content(target, content, owner, perms)
    else:
        create_content(target, content, owner, perms)


class StagedFile:
    """A complete and durable file under a temporary name, ready to be renamed into place. Raises OSError."""

    def __init__(self, location: str, content: bytes, owner: str, perms: int) -> None:
        self.target = target_of(location)
        ownership: Ownership = wanted_ownership(self.target, owner, perms)
        self.staged = staged_path(self.target)
        temporary = _temporary_name(self.target)
        write_durably(self.staged, content, mode=ownership.mode, owner=ownership.owner, temporary_name=temporary)
        _carry_label(self.target, self.staged)

    def put_into_place(self) -> None:
        """The rename; `sync` makes it durable."""
        os.rename(self.staged, self.target)

    def discard(self) -> None:
        """Remove what is not going to be put into place."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.staged)

    def sync(self) -> None:
        """Make the new name durable."""
        sync_directory(os.path.dirname(self.target))


def staged_path(target: str) -> str:
    """Where the next content of *target* waits for the rename."""
    return os.path.join(os.path.dirname(target), f"{TEMPORARY_PREFIX}{_token(target)}.new")


def read_staged(location: str) -> bytes | None:
    """What waits for the rename into *location*; None when nothing does. Raises OSError."""
    return read_content(staged_path(target_of(location)))


def put_staged_into_place(location: str) -> None:
    """Do the rename that a crash prevented, durably. Raises OSError."""
    target = target_of(location)
    os.rename(staged_path(target), target)
    sync_directory(os.path.dirname(target))


def _temporary_name(target: str) -> str:
    return f"{TEMPORARY_PREFIX}{_token(target)}.tmp"


def _token(target: str) -> str:
    """Short, because the whole name could exceed what a file system takes."""
    return hashlib.sha256(os.fsencode(os.path.basename(target))).hexdigest()[:16]


def remove_leftovers(location: str) -> tuple[str, ...]:
    """Remove what unfinished writes for *location* left; returns the paths. Raises OSError."""
    target = target_of(location)
    directory = os.path.dirname(target)
    removed = []
    for path in (staged_path(target), os.path.join(directory, _temporary_name(target))):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            remove_durably(path)
            removed.append(path)
    return tuple(removed)


def remove_if_there(path: str) -> None:
    """Remove *path* durably, or find it gone. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        remove_durably(Path(path))


def _carry_label(source: str, destination: str) -> None:
    """Give *destination* the SELinux label of the file it will replace."""
    try:
        label = os.getxattr(source, _LABEL)
        if os.getxattr(destination, _LABEL) != label:
            os.setxattr(destination, _LABEL, label)
    except OSError as exc:
        if exc.errno not in _NO_LABEL:  # a default label is better than no certificate at all
            logger.warning("The SELinux label of %s could not be kept: %s", source, exc.strerror)
