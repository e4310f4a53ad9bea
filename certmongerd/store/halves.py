"""Work on many things by two processes: with one interpreter's lock, a process uses one processor."""

import contextlib
import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Final, NoReturn, Protocol, TypeVar

from certmongerd.descriptors import close_descriptors

_T = TypeVar("_T")
_R = TypeVar("_R")
_FEW: Final = 200
"""Not worth a process."""
_PART: Final = 100
"""Results that are pickled together: what they have in common is held once."""


class Spread(Protocol):
    """A way to do the same with many things."""

    def __call__(self, work: Callable[[_T], _R], things: Sequence[_T], /) -> list[_R]:
        """What *work* gives for each of *things*, in their order."""


def one_after_the_other(work: Callable[[_T], _R], things: Sequence[_T]) -> list[_R]:
    """What *work* gives for each of *things*."""
    return [work(thing) for thing in things]


def by_two_processes(work: Callable[[_T], _R], things: Sequence[_T]) -> list[_R]:
    """What *work*, which changes nothing, gives for each of *things*; results are pickled.

    The second half is done by a child, where there are many things, two processors, and no threads, with which
    forking is not safe. What a child that failed has left undone is done here.
    """
    if len(things) < _FEW or (os.cpu_count() or 1) == 1 or threading.active_count() > 1:
        return one_after_the_other(work, things)
    middle = len(things) // 2
    results = os.memfd_create("results", os.MFD_CLOEXEC)
    try:
        child = os.fork()
        if child == 0:
            _be_child(work, things[middle:], results)
        first = one_after_the_other(work, things[:middle])
        os.waitpid(child, 0)
        second: list[_R] = _read(results)
    finally:
        os.close(results)
    return [*first, *second, *one_after_the_other(work, things[middle + len(second) :])]


def _be_child(work: Callable[[_T], _R], things: Sequence[_T], results: int) -> NoReturn:
    status = 1
    try:
        signal.set_wakeup_fd(-1)  # signals are the parent's
        # Locks among them: should the parent die, the next daemon is not to wait for this process.
        close_descriptors(but=(results,))
        with open(results, "wb", closefd=False) as stream:
            for begin in range(0, len(things), _PART):
                part = one_after_the_other(work, things[begin : begin + _PART])
                pickle.dump(part, stream, pickle.HIGHEST_PROTOCOL)
        status = 0
    finally:
        os._exit(status)


def _read(results: int) -> list[_R]:
    """The parts that are there; nothing of one that is not complete."""
    found: list[_R] = []
    os.lseek(results, 0, os.SEEK_SET)
    with open(results, "rb", closefd=False) as stream, contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            found.extend(pickle.load(stream))
    return found
