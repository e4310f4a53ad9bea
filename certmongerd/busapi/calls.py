"""Calls of one client are answered in order; clients do not wait for each other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from certmongerd.busapi.transport import WireMessage

MAX_WAITING_CALLS: Final = 1024
"""Per client."""
MAX_OVERLAPPING_CALLS: Final = 64
"""Calls of one client that have passed their turn on and are still being worked on."""


class Turn:
    """A call's place among the calls of its client."""

    def __init__(self, previous: "Turn | None") -> None:
        self._previous = previous
        self._passed = asyncio.Event()
        self._done = asyncio.Event()

    def pass_on(self) -> None:
        """Let the next call begin: what this one changes is visible already, only its end is waited for."""
        self._passed.set()

    async def to_reply(self) -> None:
        """Wait until all earlier calls were answered."""
        if self._previous is not None:
            await self._previous._done.wait()
            self._previous = None

    def end(self) -> None:
        """The call was answered."""
        self._previous = None
        self._passed.set()
        self._done.set()

    async def passed(self) -> None:
        """Wait until the next call may begin."""
        await self._passed.wait()

    async def ended(self) -> None:
        """Wait until the call was answered."""
        await self._done.wait()


class CallQueues:
    """One queue per client, worked on by a task that lives as long as there is something in it."""

    def __init__(self, handle: Callable[[WireMessage, Turn], Awaitable[None]]) -> None:
        """*handle* must not raise; it awaits `Turn.to_reply` before it sends an answer."""
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
        group.create_task(self._work(client, group))

    async def idle(self) -> None:
        """Wait until every queued call was handled."""
        await self._idle.wait()

    async def _work(self, client: str, group: asyncio.TaskGroup) -> None:
        queue = self._queues[client]
        overlapping: deque[Turn] = deque()
        turn: Turn | None = None
        try:
            while queue or overlapping:
                if not queue or len(overlapping) >= MAX_OVERLAPPING_CALLS:
                    await overlapping.popleft().ended()
                    continue
                turn = Turn(turn)
                group.create_task(self._carry_out(queue.popleft(), turn))
                await turn.passed()
                overlapping.append(turn)
                self._space.set()
        finally:
            del self._queues[client]
            self._space.set()
            if not self._queues:
                self._idle.set()

    async def _carry_out(self, call: WireMessage, turn: Turn) -> None:
        try:
            await self._handle(call, turn)
        finally:
            turn.end()
