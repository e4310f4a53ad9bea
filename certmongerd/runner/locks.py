"""Mutual exclusion where two actions really touch the same thing."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final

_DATABASE_PREFIX: Final = re.compile("(?:sql|dbm|rdb|extern):(?=/)")
"""Names the format of an NSS database, not another place."""


class LocationLocks:
    """One lock per file or database; actions on different locations never wait for each other."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    def is_taken(self, location: str) -> bool:
        """Whether somebody holds the lock of *location*, or waits for it."""
        return not self._users.keys().isdisjoint(_normalised([location]))

    @asynccontextmanager
    async def holding(self, locations: Iterable[str]) -> AsyncIterator[None]:
        """Hold the locks of all *locations* (empty ones are ignored), taken in one order by everybody."""
        names = sorted(_normalised(locations))
        held: list[asyncio.Lock] = []
        for name in names:
            self._users[name] = self._users.get(name, 0) + 1
        try:
            for name in names:
                lock = self._locks.setdefault(name, asyncio.Lock())
                await lock.acquire()
                held.append(lock)
            yield
        finally:
            for lock in reversed(held):
                lock.release()
            for name in names:
                self._users[name] -= 1
                if self._users[name] == 0:
                    del self._users[name]
                    self._locks.pop(name, None)


def _normalised(locations: Iterable[str]) -> set[str]:
    return {_place(location) for location in locations if location}


@lru_cache(maxsize=1024)
def _place(location: str) -> str:
    return os.path.normpath(_DATABASE_PREFIX.sub("", location))
