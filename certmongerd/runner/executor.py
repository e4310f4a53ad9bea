"""Blocking work in bounded thread pools, so that nothing blocks the loop."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, ParamSpec, TypeVar

from certmongerd.core.model import StorageType

_P = ParamSpec("_P")
_T = TypeVar("_T")
_IO_THREADS: Final = 8
_TOKEN_THREADS: Final = 16
"""They only wait, each for a process."""
_IN_TOKENS: Final = frozenset({StorageType.NSSDB, StorageType.PKCS11})


class Executor:
    """Three pools: one thread per processor for key generation, several for file work, and for databases and tokens.

    Slow key generations thus never hold up the saving of somebody else's certificate, nor do tokens that hang.
    """

    def __init__(self) -> None:
        self._cpu = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="cpu")
        self._io = ThreadPoolExecutor(_IO_THREADS, thread_name_prefix="io")
        self._tokens = ThreadPoolExecutor(_TOKEN_THREADS, thread_name_prefix="token")

    async def cpu(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run long computations. A cancelled caller still waits for the thread to end."""
        return await _finish(self._cpu, lambda: function(*args, **kwargs))

    async def io(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run file work. A cancelled caller still waits for the thread to end."""
        return await _finish(self._io, lambda: function(*args, **kwargs))

    async def store(
        self, kept_in: Collection[StorageType], function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Run work on keys or certificates that are *kept_in* such places; otherwise as `io`."""
        pool = self._io if self.is_quick(kept_in) else self._tokens
        return await _finish(pool, lambda: function(*args, **kwargs))

    @staticmethod
    def is_quick(kept_in: Collection[StorageType]) -> bool:
        """Whether no token and no database that may be in one has a part in it."""
        return _IN_TOKENS.isdisjoint(kept_in)

    def close(self) -> None:
        """Drop what has not begun; do not wait for what has."""
        for pool in (self._cpu, self._io, self._tokens):
            pool.shutdown(wait=False, cancel_futures=True)


async def _finish(pool: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    running = pool.submit(copy_context().run, work)  # its log records are about what the caller's are about
    future = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # Two threads must never work on one location: the caller's successor starts after this one ended.
        # Work that has not begun is dropped; a running thread cannot be stopped.
        if not running.cancel():
            await _wait_for(future)
        raise


async def _wait_for(future: asyncio.Future[_T]) -> None:
    """Wait for the end, however often the waiting itself is cancelled; how it ended is nobody's business any more."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()
