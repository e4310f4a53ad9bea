"""Locks on places that a process which outlives its daemon may still be changing.

A worker for a database or token completes what it has begun when the daemon is killed: the libraries leave worse
behind when they are interrupted. The next daemon's worker for the same place has to wait for it, or a key that was
just looked for, and removed, would come to be a moment later. So a worker inherits the lock that its daemon took.
"""

import errno
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from certmongerd.store.lock import FLOCK

_LOOK_AGAIN_S: Final = 0.02


class PlaceLocks:
    """Open file description locks (fcntl(2)), for each place another byte of one file."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path

    @contextmanager
    def held(self, place: str, limit_s: float) -> Iterator[int]:
        """Have the lock on *place*; gives the descriptor that a process inherits to have it, too.

        Blocks; raises TimeoutError after *limit_s* seconds, and OSError when the file cannot be used.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor, _byte_of(place), time.monotonic() + limit_s)
            yield descriptor
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, byte: int, deadline: float) -> None:
        wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        while True:
            try:
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
                return
            except OSError as exc:
                if exc.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._path} is locked")
            time.sleep(_LOOK_AGAIN_S)


def _byte_of(place: str) -> int:
    """Where in the file the lock of *place* is."""
    return int.from_bytes(hashlib.sha256(os.fsencode(place)).digest()[:7])
