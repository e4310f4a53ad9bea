"""Calls of one client are answered in order; clients do not wait for each other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from certmongerd.busapi.transport import WireMessage

MAX_WAITING_CALLS: Final = 1024
"""Per client."""


class CallQueues:
    """One queue per client, worked on by a task that lives as long as there is something in it."""

    def __init__(self, handle: Callable[[WireMessage], Awaitable[None]]) -> None:
        """*handle* must not raise."""
        self._handle = handle
        self._queues: dict[str, deque[WireMessage]] = {}
        self._space = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def is_full(self, client: str) -> bool:
        """Whether *client* has more calls waiting than is reasonable."""
        return len(self._queues.get(client, ())) >= MAX_WAITING_CALLS

    async def space(self, client: str) -> None:
        """Wait until *client* may queue another call."""
        while self.is_full(client):
            self._space.clear()
            await self._space.wait()

    def put(self, client: str, call: WireMessage, group: asyncio.TaskGroup) -> None:
        """Queue a call; a task of *group* will handle it."""
        queue = self._queues.get(client)
        if queue is not None:
            queue.append(call)
            return
        self._queues[client] = deque((call,))
        self._idle.clear()
        group.create_task(self._work(client))

    async def idle(self) -> None:
        """Wait until every queued call was handled."""
        await self._idle.wait()

    async def _work(self, client: str) -> None:
        queue = self._queues[client]
        try:
            while queue:
                await self._handle(queue.popleft())
                self._space.set()
        finally:
            del self._queues[client]
            self._space.set()
            if not self._queues:
                self._idle.set()
