"""The lock that keeps two daemons, ours or certmonger's, from working on the same state."""

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from certmongerd.core.errors import CertmongerError, StateStoreError

FLOCK: Final = "hhqqi4x"
"""`struct flock` of 64-bit Linux: type, whence, start, length, pid."""


class InstanceRunning(CertmongerError):
    """Another process holds the instance lock."""

    def __init__(self, path: str, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        """Process id of the holder; None when it could not be found out."""
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"Another certmonger is already running: {holder} holds the lock file {path}")


class InstanceLock:
    """A POSIX record lock on the whole file, the kind certmonger takes.

    It ends with the process or with `release`; children do not inherit it. Opening and
    closing the file elsewhere in this process would drop it.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting.

        The directory is created when it is missing. Raises InstanceRunning when another
        process has the lock, StateStoreError when the file cannot be used.
        """
        if self._descriptor is not None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StateStoreError(str(self._path), f"cannot be locked: {exc.strerror}") from exc
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = _holder(descriptor)
            os.close(descriptor)
            if exc.errno in (errno.EACCES, errno.EAGAIN):
                raise InstanceRunning(str(self._path), holder) from exc
            raise StateStoreError(str(self._path), f"cannot be locked: {exc.strerror}") from exc
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock up; the file stays, so that nobody locks a file that is about to vanish."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _holder(descriptor: int) -> int | None:
    question = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    except (OSError, struct.error):  # another layout of the structure: only the text gets poorer
        return None
    return int(pid) if kind != fcntl.F_UNLCK and pid > 0 else None
