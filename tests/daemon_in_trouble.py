"""The daemon, run as a program whose file system and clock can be troubled from outside.

The file named by `TROUBLE` holds a line `refuse ERROR DIRECTORY`, for example `refuse ENOSPC /tmp/x`: then every system
call that writes below the directory fails with it; or `clock SECONDS`: then the wall clock is that much ahead.
"""

import errno
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

_WRITING_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_BY_PATH: Final = ("open", "rename", "link", "unlink", "mkdir", "chmod")
_TROUBLE: Final = Path(os.environ["TROUBLE"])


def _trouble(kind: str) -> list[str]:
    try:
        words = _TROUBLE.read_text().split()
    except FileNotFoundError:
        return []
    return words[1:] if words[:1] == [kind] else []


def _refuses(place: object) -> OSError | None:
    words = _trouble("refuse")
    if not words:
        return None
    name, directory = words
    path = os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else os.fsdecode(str(place))
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), path) if Path(path).is_relative_to(directory) else None


def _refusing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def refusing(*args: Any, **kwargs: Any) -> Any:
        is_full = _trouble("refuse")[:1] == ["ENOSPC"]
        only_reads = name == "open" and not args[1] & _WRITING_FLAGS
        # A full file system still takes names away, and opens what is there.
        if not only_reads and (name == "write" or not is_full):
            error = _refuses(args[0])
            if error is not None:
                raise error
        return call(*args, **kwargs)

    return refusing


def main() -> None:
    """Be the daemon."""
    from certmongerd.__main__ import main as daemon
    from certmongerd.runner.clock import SystemClock

    def now(_clock: SystemClock) -> datetime:
        words = _trouble("clock")
        return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=int(words[0]) if words else 0)

    SystemClock.now = now  # type: ignore[assignment, method-assign]  # the wall clock of the whole daemon
    for name in (*_BY_PATH, "write"):
        setattr(os, name, _refusing(name, getattr(os, name)))
    daemon()


if __name__ == "__main__":
    sys.argv[0] = "certmongerd"
    main()
