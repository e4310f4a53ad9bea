"""Ends this process with SIGKILL at a chosen system call that writes. No part of the product: it patches `os`."""

import os
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, NoReturn

from crash.disk import record
from crash.places import place_of

_WRITING_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_LASTING: Final = ("open", "write", "rename", "replace", "link", "symlink", "unlink", "mkdir", "rmdir")
_CALLS: Final = (
    *_LASTING,
    *("fsync", "ftruncate", "truncate", "chmod", "fchmod", "chown", "fchown", "setxattr"),
)
_CHANGING: Final = re.compile(r"(?<=\.key\.).{8}(?=\.key)|(?<=requests/)[0-9]{14}")
"""Parts of names that are others each time."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Every call that changes what a killed process leaves *below* a directory, by its name and its path."""

    below: Path
    trace: Path
    """Gets a line for each of them."""
    last: str = ""
    """The one to end at, in the middle of it if it is a write; empty for none."""
    number: int = 1
    """Which one, when there are several of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """End at no call, but write them down, see `crash.disk`."""

    below: Path
    log: Path


Trouble = Fault | Steps | Recording


def arm(fault: Trouble) -> None:
    """From now on calls are counted, or written down."""
    if isinstance(fault, Recording):
        record(fault.below, fault.log)
        return
    countdown = _Countdown(fault) if isinstance(fault, Fault) else _Stairs(fault)
    for name in _CALLS if isinstance(fault, Fault) else _LASTING:
        setattr(os, name, countdown.around(name, getattr(os, name)))


class _Countdown:
    def __init__(self, fault: Fault) -> None:
        self._left = fault.number
        self._moment = fault.moment
        self._lock = threading.Lock()

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if _is_reading(name, args) or not self._is_over():
                return call(*args, **kwargs)
            if self._moment is Moment.AFTER:
                call(*args, **kwargs)
            elif self._moment is Moment.TORN:
                _tear(name, call, args)
            _end()

        return counted

    def _is_over(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left == 0


class _Stairs:
    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._left = steps.number
        self._lock = threading.Lock()
        self._write = os.write
        self._trace = os.open(steps.trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if not _is_reading(name, args) and self._is_last(name, place_of(args, kwargs)):
                _tear(name, call, args)
                _end()
            return call(*args, **kwargs)

        return counted

    def _is_last(self, name: str, path: str) -> bool:
        if not path.startswith(f"{self._steps.below}/"):
            return False
        step = f"{name} {_CHANGING.sub('*', path.removeprefix(f'{self._steps.below}/'))}"
        with self._lock:
            self._write(self._trace, f"{step}\n".encode())
            self._left -= step == self._steps.last
            return self._left == 0


def _is_reading(name: str, args: tuple[Any, ...]) -> bool:
    return name == "open" and not args[1] & _WRITING_FLAGS


def _tear(name: str, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if name == "write":
        descriptor, data = args
        call(descriptor, data[: len(data) // 2])


def _end() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # the signal ends the process before another thread could go on
    raise AssertionError
