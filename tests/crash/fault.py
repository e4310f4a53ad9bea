"""Ends this process with SIGKILL at a chosen system call that writes. No part of the product: it patches `os`."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn

_WRITING_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CALLS: Final = (
    *("open", "write", "fsync", "rename", "replace", "link", "symlink", "unlink", "mkdir", "rmdir"),
    *("ftruncate", "truncate", "chmod", "fchmod", "chown", "fchown", "setxattr"),
)


class Moment(Enum):
    """When the process ends, seen from the call."""

    BEFORE = "before"
    AFTER = "after"
    TORN = "torn"
    """In the middle of a write; before any other call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """End at the *number*-th call that writes, counted from 1 over all threads."""

    number: int
    moment: Moment


def arm(fault: Fault) -> None:
    """From now on calls are counted."""
    countdown = _Countdown(fault)
    for name in _CALLS:
        setattr(os, name, countdown.around(name, getattr(os, name)))


class _Countdown:
    def __init__(self, fault: Fault) -> None:
        self._left = fault.number
        self._moment = fault.moment
        self._lock = threading.Lock()

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & _WRITING_FLAGS:
                return call(*args, **kwargs)
            if not self._is_over():
                return call(*args, **kwargs)
            if self._moment is Moment.AFTER:
                call(*args, **kwargs)
            elif self._moment is Moment.TORN and name == "write":
                descriptor, data = args
                call(descriptor, data[: len(data) // 2])
            _end()

        return counted

    def _is_over(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left == 0


def _end() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # the signal ends the process before another thread could go on
    raise AssertionError
