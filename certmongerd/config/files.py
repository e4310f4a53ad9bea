"""Reading configuration files."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAXIMUM_SIZE: Final = 1 << 20
"""Bytes; nothing beyond them counts."""


def read_regular_file(path: Path, *, must_be_safe: bool = False) -> bytes:
    """Up to one byte more than the maximum. Raises OSError, also for what is no regular file.

    *must_be_safe* refuses files that somebody else than root and the daemon's user owns or may write.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "It is not a regular file", os.fspath(path))
        if must_be_safe and status.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "It belongs to another user", os.fspath(path))
        if must_be_safe and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(errno.EPERM, "Others than its owner may write it", os.fspath(path))
        return file.read(MAXIMUM_SIZE + 1)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # a fifo would hold the daemon up
