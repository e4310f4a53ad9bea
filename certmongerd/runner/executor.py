"""Blocking work in bounded thread pools, so that nothing blocks the loop."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, ParamSpec, TypeVar

from certmongerd.core.model import StorageType
from certmongerd.runner.work_pool import Interrupted, NotDone, WorkPool, wait_for

_P = ParamSpec("_P")
_T = TypeVar("_T")
_IO_THREADS: Final = 8
_MOST_FILE_WORK: Final = 2
"""Pieces at once that threads do; more of them are for processes, without which each would hold up the event loop."""
_MOST_HEAVY_WORK: Final = 4
"""Computations at once after which there will be much file work."""
_TOKEN_THREADS: Final = 16
"""They only wait, each for a process."""
_IN_TOKENS: Final = frozenset({StorageType.NSSDB, StorageType.PKCS11})


class Executor:
    """Three pools of threads: one per processor for computations, several for file work, and for databases and tokens.

    Slow key generations thus never hold up the saving of somebody else's certificate, nor do tokens that hang.
    Where there is more to do than threads can, which take turns with the interpreter's lock, processes do it.
    """

    def __init__(self, file_pool: WorkPool | None = None, heavy_pool: WorkPool | None = None) -> None:
        """The pools are processes for file work, and for computations; without them threads do everything."""
        self._cpu = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="cpu")
        self._io = ThreadPoolExecutor(_IO_THREADS, thread_name_prefix="io")
        self._tokens = ThreadPoolExecutor(_TOKEN_THREADS, thread_name_prefix="token")
        self._file_pool = file_pool
        self._heavy_pool = heavy_pool
        self._file_work = 0
        """Pieces that are being done, or wait."""
        self._heavy_work = 0

    async def cpu(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run long computations. A cancelled caller still waits for the thread to end."""
        return await _finish(self._cpu, lambda: function(*args, **kwargs))

    async def io(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run file work. A cancelled caller still waits for the thread to end."""
        return await _finish(self._io, lambda: function(*args, **kwargs))

    async def file_work(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run file work that may be done a second time where nobody knows how the first time ended.

        As what it gets and gives can be pickled, it may be done in another process.
        """
        try:
            return await self.file_work_once(function, *args, **kwargs)
        except Interrupted:
            return await self.io(function, *args, **kwargs)

    async def file_work_once(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """As `file_work`, but raises Interrupted where it might have to be done a second time."""
        pool = self._file_pool
        if pool is None:
            return await self.io(function, *args, **kwargs)
        self._file_work += 1
        try:
            if self._file_work > _MOST_FILE_WORK:
                pool.start()
            if pool.is_ready:
                with contextlib.suppress(NotDone):
                    return await pool.run(function, *args, **kwargs)
            return await self.io(function, *args, **kwargs)
        finally:
            self._file_work -= 1

    async def heavy_work_once(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a computation that holds the interpreter's lock, in a process where there can be one.

        Raises Interrupted.
        """
        pool = self._heavy_pool
        self._heavy_work += 1
        try:
            if self._file_pool is not None and self._heavy_work > _MOST_HEAVY_WORK:
                self._file_pool.start()  # what is made will have to be stored, signed, submitted
            if pool is not None and await pool.started():
                with contextlib.suppress(NotDone):
                    return await pool.run(function, *args, **kwargs)
            return await self.cpu(function, *args, **kwargs)
        finally:
            self._heavy_work -= 1

    async def store(
        self, kept_in: Collection[StorageType], function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Run work on keys or certificates that are *kept_in* such places; otherwise as `file_work`."""
        try:
            return await self.store_once(kept_in, function, *args, **kwargs)
        except Interrupted:
            return await self.io(function, *args, **kwargs)

    async def store_once(
        self, kept_in: Collection[StorageType], function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """As `store`, but raises Interrupted where it might have to be done a second time."""
        if self.is_quick(kept_in):
            return await self.file_work_once(function, *args, **kwargs)
        return await _finish(self._tokens, lambda: function(*args, **kwargs))

    async def end_processes(self) -> None:
        """Let processes end what they have begun, and end; threads do what is left."""
        for pool in (self._file_pool, self._heavy_pool):
            if pool is not None:
                await pool.close()

    def close(self) -> None:
        """Drop what threads have not begun; do not wait for what they have."""
        for pool in (self._cpu, self._io, self._tokens):
            pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def is_quick(kept_in: Collection[StorageType]) -> bool:
        """Whether no token and no database that may be in one has a part in it."""
        return _IN_TOKENS.isdisjoint(kept_in)


async def _finish(pool: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    running = pool.submit(copy_context().run, work)  # its log records are about what the caller's are about
    future = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # Two threads must never work on one location: the caller's successor starts after this one ended.
        # Work that has not begun is dropped; a running thread cannot be stopped.
        if not running.cancel():
            await wait_for(future)
        raise
