"""Replacing files so that a crash at any point leaves something that can be completed.

Temporary names are derived from the name of the file they are for, so that what a
crash left behind is recognised, and only the rightful owner of it removes it.
"""

import contextlib
import errno
import hashlib
import os
from typing import Final

from certmongerd.core.model import CertStorage, KeyStorage
from certmongerd.keystore.links import Place, located
from certmongerd.keystore.ownership import Ownership, wanted_ownership
from certmongerd.store.files import (
    TEMPORARY_PREFIX,
    create_durably,
    remove_durably,
    rename_durably,
    write_durably,
)
from certmongerd.store.syncing import sync_directory

MAXIMUM_BYTES: Final = 1 << 20
"""Keys and certificates are smaller; a device or a log file by mistake is not read to its end."""


def read_content(location: str) -> bytes | None:
    """Content of a regular file; None when there is none, or when it is empty, as a failed generation leaves it.

    Raises OSError, also for what is no regular file.
    """
    try:
        with located(location) as place:
            return _content_of(place)
    except FileNotFoundError:
        return None


def _content_of(place: Place) -> bytes | None:
    content = place.read(MAXIMUM_BYTES + 1)
    if len(content) > MAXIMUM_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), place.path)
    return content or None


def replace_content(location: str, content: bytes, owner: str, perms: int) -> None:
    """Replace or create the file that *location* means, durably. Raises OSError."""
    with located(location) as place:
        _replace(place, content, wanted_ownership(place, owner, perms))


def create_content(path: str, content: bytes, owner: str, perms: int) -> None:
    """Create the file *path*, durably; FileExistsError when something is there, were it a link."""
    with located(path, follow=False) as place:
        _create(place, content, wanted_ownership(place, owner, perms))


def create_or_fill(location: str, content: bytes, owner: str, perms: int) -> None:
    """Put *content* where nothing or an empty file is. Raises OSError, FileExistsError when somebody was faster."""
    with located(location) as place:
        ownership = wanted_ownership(place, owner, perms)
        if place.status() is not None:
            _replace(place, content, ownership)
        else:
            _create(place, content, ownership)


def _replace(place: Place, content: bytes, ownership: Ownership) -> None:
    write_durably(
        place.name,
        content,
        mode=ownership.mode,
        owner=ownership.owner,
        temporary_name=_temporary_name(place),
        dir_fd=place.directory,
    )


def _create(place: Place, content: bytes, ownership: Ownership) -> None:
    create_durably(
        place.name,
        content,
        mode=ownership.mode,
        owner=ownership.owner,
        temporary_name=_temporary_name(place),
        dir_fd=place.directory,
    )


class StagedFile:
    """A complete and durable file under a temporary name, ready to be renamed into place. Raises OSError."""

    def __init__(self, place: Place, content: bytes, storage: KeyStorage | CertStorage) -> None:
        """*place* has to be held until the end; *storage* says owner and mode."""
        self._place = place
        self._staged = staged_name(place.name)
        with place.naming():
            ownership = wanted_ownership(place, storage.owner, storage.perms)
            write_durably(
                self._staged,
                content,
                mode=ownership.mode,
                owner=ownership.owner,
                temporary_name=_temporary_name(place),
                dir_fd=place.directory,
                label_of=place.name,
            )

    def put_into_place(self) -> None:
        """The rename; `sync` makes it durable."""
        directory = self._place.directory
        with self._place.naming():
            os.rename(self._staged, self._place.name, src_dir_fd=directory, dst_dir_fd=directory)

    def discard(self) -> None:
        """Remove what is not going to be put into place."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._staged, dir_fd=self._place.directory)

    def sync(self) -> None:
        """Make the new name durable."""
        sync_directory(".", dir_fd=self._place.directory)


def read_staged(location: str) -> bytes | None:
    """What waits for the rename into *location*; None when nothing does. Raises OSError."""
    try:
        with located(location) as place:
            return _content_of(place.beside(staged_name(place.name)))
    except FileNotFoundError:
        return None


def put_staged_into_place(location: str) -> None:
    """Do the rename that a crash prevented, durably. Raises OSError."""
    with located(location) as place:
        rename_durably(staged_name(place.name), place.name, dir_fd=place.directory)


def staged_name(name: str) -> str:
    """What the next content of the file *name* is called while it waits for the rename."""
    return f"{TEMPORARY_PREFIX}{_token(name)}.new"


def _temporary_name(place: Place) -> str:
    return f"{TEMPORARY_PREFIX}{_token(place.name)}.tmp"


def _token(name: str) -> str:
    """Short, because the whole name could exceed what a file system takes."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def remove_leftovers(location: str) -> tuple[str, ...]:
    """Remove what unfinished writes for *location* left; returns the paths. Raises OSError."""
    removed = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), located(location) as place:
        for name in (staged_name(place.name), _temporary_name(place)):
            with contextlib.suppress(FileNotFoundError):
                remove_durably(name, dir_fd=place.directory)
                removed.append(place.beside(name).path)
    return tuple(removed)


def remove_if_there(path: str) -> None:
    """Remove *path* durably, or find it gone. Raises OSError."""
    with contextlib.suppress(FileNotFoundError), located(path, follow=False) as place:
        remove_durably(place.name, dir_fd=place.directory)
