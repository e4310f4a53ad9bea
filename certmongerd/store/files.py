"""The one place that writes files which have to survive a crash.

A file is written beside its destination, given its owner and mode while still
empty, synced, and renamed into place; then the directory is synced. Readers see
the old content or the new content, never a part. All functions block and raise
OSError; callers translate.
"""

import contextlib
import errno
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from certmongerd.store.syncing import sync_directory

logger = logging.getLogger(__name__)

TEMPORARY_PREFIX: Final = ".certmongerd-"
"""Start of the names of temporary files; what is left of them after a crash can be removed."""

Owner = tuple[int, int]
"""User id and group id; -1 leaves one of them alone."""

_LABEL: Final = "security.selinux"
_NO_LABEL: Final = frozenset({errno.ENODATA, errno.ENOTSUP, errno.ENOENT, errno.ENOSYS})
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


def write_durably(
    path: Path | str,
    data: bytes,
    *,
    mode: int = 0o600,
    owner: Owner | None = None,
    temporary_name: str | None = None,
    dir_fd: int | None = None,
    label_of: str | None = None,
) -> None:
    """Replace the content of *path*, or create it, so that a crash leaves the old or the new file.

    *mode* is applied as given, without regard to the umask. *temporary_name* is the
    file name to use in the same directory until the file is complete; a leftover of
    that name is removed first. Without it a random one with TEMPORARY_PREFIX is used.
    A symbolic link at *path* is replaced, not followed: a caller that wants to keep
    the link passes the link's target. *dir_fd* is the directory that a relative *path*
    starts from, instead of the working directory. The file gets the SELinux label of
    the one that it replaces, or of that called *label_of* in the same directory.
    """
    directory, name = _split(path)
    final = os.path.join(directory, name)
    temporary = _temporary_path(directory, temporary_name)
    label_from = final if label_of is None else os.path.join(directory, label_of)
    with _complete_file(temporary, data, mode, owner, dir_fd, label_from=label_from, replaces=True):
        _rename(temporary, final, dir_fd)
    sync_directory(directory, dir_fd=dir_fd)


def create_durably(
    path: Path | str,
    data: bytes,
    *,
    mode: int = 0o600,
    owner: Owner | None = None,
    temporary_name: str | None = None,
    dir_fd: int | None = None,
) -> None:
    """Create *path*, which afterwards is complete; raises FileExistsError when the name is taken.

    Dangling symbolic links count as taken. On file systems without hard links the
    file is created in place, so that there a crash can leave an incomplete file.
    """
    directory, name = _split(path)
    final = os.path.join(directory, name)
    temporary = _temporary_path(directory, temporary_name)
    with _complete_file(temporary, data, mode, owner, dir_fd, label_from=None, replaces=True):
        try:
            os.link(temporary, final, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in _NO_HARD_LINKS:
                raise
            with _complete_file(final, data, mode, owner, dir_fd, label_from=None, replaces=False):
                os.unlink(temporary, dir_fd=dir_fd)
        else:
            os.unlink(temporary, dir_fd=dir_fd)
    sync_directory(directory, dir_fd=dir_fd)


def rename_durably(source: str, destination: str, *, dir_fd: int) -> None:
    """Let *source*, which is durable, take the place of *destination*, both names in the directory *dir_fd*."""
    _rename(source, destination, dir_fd)
    sync_directory(".", dir_fd=dir_fd)


def remove_durably(path: Path | str, *, dir_fd: int | None = None) -> None:
    """Remove *path* for good; raises FileNotFoundError when there is none."""
    directory, name = _split(path)
    os.unlink(os.path.join(directory, name), dir_fd=dir_fd)
    sync_directory(directory, dir_fd=dir_fd)


def _split(path: Path | str) -> tuple[str, str]:
    directory, name = os.path.split(os.fspath(path))
    if not name or name in (".", ".."):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    return directory or ".", name


def _rename(source: str, destination: str, dir_fd: int | None) -> None:
    os.rename(source, destination, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)


def _temporary_path(directory: str, name: str | None) -> str:
    if name is None:
        return os.path.join(directory, TEMPORARY_PREFIX + secrets.token_hex(8))
    if "/" in name:
        raise ValueError(f"temporary name {name!r} has to be in the directory of the file")
    return os.path.join(directory, name)


def _open_new(path: str, dir_fd: int | None) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600, dir_fd=dir_fd)


@contextlib.contextmanager
def _complete_file(
    path: str,
    data: bytes,
    mode: int,
    owner: Owner | None,
    dir_fd: int | None,
    *,
    label_from: str | None,
    replaces: bool,
) -> Iterator[None]:
    """A new, synced file at *path*; it is removed again when writing it or the body fails.

    With *replaces* a leftover of that name is removed first; else that raises FileExistsError.
    """
    try:
        descriptor = _open_new(path, dir_fd)
    except FileExistsError:
        if not replaces:
            raise
        os.unlink(path, dir_fd=dir_fd)
        descriptor = _open_new(path, dir_fd)
    try:
        try:
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)  # after fchown, which may clear bits
            if label_from is not None:
                _carry_label(label_from, descriptor, dir_fd)
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        yield
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path, dir_fd=dir_fd)
        raise


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _carry_label(source: str, descriptor: int, dir_fd: int | None) -> None:
    """Give the open file the SELinux label of the file it is going to replace."""
    # The call takes no descriptor to start from. Where there is SELinux, there is /proc.
    path = source if dir_fd is None else f"/proc/self/fd/{dir_fd}/{source}"
    try:
        label = os.getxattr(path, _LABEL, follow_symlinks=False)
        if os.getxattr(descriptor, _LABEL) != label:
            os.setxattr(descriptor, _LABEL, label)
    except OSError as exc:
        if exc.errno not in _NO_LABEL:  # a default label is better than no file at all
            logger.warning("The SELinux label of %s could not be kept: %s", source, exc.strerror)
