"""Names in directories made durable; threads that want the same directory synced at the same time share one call."""

import errno
import os
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Final


def sync_directory(path: Path | str, *, dir_fd: int | None = None) -> None:
    """Make durable whatever this thread did to the names in the directory *path*. Raises OSError.

    *dir_fd* is the directory that a relative *path* starts from, instead of the working directory.
    """
    if dir_fd is None:
        key: Hashable = os.fspath(path)
    else:
        status = os.stat(path, dir_fd=dir_fd)
        key = (status.st_dev, status.st_ino)
    _in_turn(key, lambda: _sync(path, dir_fd))


def _sync(path: Path | str, dir_fd: int | None) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno != errno.EINVAL:  # file systems that cannot sync directories say so this way
            raise
    finally:
        os.close(descriptor)


class _Turn:
    """One call for a directory, and who waits for it."""

    __slots__ = ("ended", "error")

    def __init__(self) -> None:
        self.ended: Final = threading.Event()
        self.error: BaseException | None = None


class _Turns:
    """Of one directory."""

    __slots__ = ("coming", "running")

    def __init__(self) -> None:
        self.running: _Turn | None = None
        """Whoever comes now may have done something after this call has begun."""
        self.coming: _Turn | None = None


_lock: Final = threading.Lock()
_directories: Final[dict[Hashable, _Turns]] = {}


def _in_turn(key: Hashable, call: Callable[[], None]) -> None:
    """Return when a *call* for *key* that began after this one has ended. Raises what that raises."""
    with _lock:
        turns = _directories.setdefault(key, _Turns())
        before, turn = turns.running, turns.coming
        is_ours = turn is None
        if turn is None:
            turn = turns.coming = _Turn()
    if is_ours:
        if before is not None:
            before.ended.wait()
        with _lock:
            turns.running, turns.coming = turn, None
        try:
            call()
        except BaseException as exc:
            turn.error = exc
            raise
        finally:
            with _lock:
                turns.running = None
                if turns.coming is None:
                    del _directories[key]
            turn.ended.set()
        return
    turn.ended.wait()
    if isinstance(turn.error, OSError):
        raise OSError(turn.error.errno, turn.error.strerror, turn.error.filename) from turn.error
    if turn.error is not None:
        raise turn.error
