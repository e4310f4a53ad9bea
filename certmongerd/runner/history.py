"""Gathers what happens to requests and writes it to their histories, now and then and for many at once."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from certmongerd.core.errors import StateStoreError
from certmongerd.core.history import HistoryEntry
from certmongerd.runner.executor import Executor
from certmongerd.runner.registry import Registry, RequestEntry

_log = logging.getLogger(__name__)

_GATHERING_S: Final = 1.0
_MOST_AT_ONCE: Final = 20
"""Histories that are written by one piece of work."""
_MOST_WAITING: Final = 200
"""Entries of one request that wait for being written; older ones are dropped."""


class HistoryFiles(Protocol):
    """Where histories are kept; calls block and raise StateStoreError."""

    def append_all(self, batch: Mapping[str, Sequence[HistoryEntry]]) -> StateStoreError | None:
        """Add entries to the histories of the requests whose files are called so; the last trouble."""

    def read(self, name: str) -> tuple[HistoryEntry, ...]:
        """All entries, oldest first."""


class HistoryKeeper:
    """Keeps histories. Trouble with them is logged and holds nothing up."""

    def __init__(self, files: HistoryFiles, registry: Registry, executor: Executor) -> None:
        self._files = files
        self._registry = registry
        self._executor = executor
        self._waiting: dict[RequestEntry, list[HistoryEntry]] = {}
        self._has_waiting = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_in_trouble = False

    def add(self, entry: RequestEntry, happened: HistoryEntry) -> None:
        """Remember what happened; it is written a little later."""
        waiting = self._waiting.setdefault(entry, [])
        waiting.append(happened)
        del waiting[:-_MOST_WAITING]
        self._has_waiting.set()

    async def keep(self) -> None:
        """Write from time to time, for ever."""
        while True:
            await self._has_waiting.wait()
            await asyncio.sleep(_GATHERING_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        async with self._writing:
            self._has_waiting.clear()
            waiting, self._waiting = self._waiting, {}
            present = self._registry.requests
            ready: list[tuple[str, list[HistoryEntry]]] = []
            for entry, happened in waiting.items():
                if entry.file_name:
                    ready.append((entry.file_name, happened))
                elif present.get(entry.path) is entry:  # not on disk yet
                    self._waiting[entry] = happened
            trouble = None
            for first in range(0, len(ready), _MOST_AT_ONCE):
                batch = dict(ready[first : first + _MOST_AT_ONCE])
                trouble = await self._executor.file_work(self._files.append_all, batch) or trouble
            if ready:
                self._tell(trouble)

    async def read(self, entry: RequestEntry) -> tuple[HistoryEntry, ...]:
        """The history of *entry*, oldest first, up to this moment. Raises StateStoreError."""
        await self.flush()
        written = await self._executor.io(self._files.read, entry.file_name)
        return written + tuple(self._waiting.get(entry, ()))

    def _tell(self, trouble: StateStoreError | None) -> None:
        if trouble is not None and not self._is_in_trouble:
            _log.warning("Histories of requests are incomplete from now on: %s", trouble)
        elif trouble is None and self._is_in_trouble:
            _log.warning("Histories of requests are written again")
        self._is_in_trouble = trouble is not None
