"""A limit on how many do something at the same time, which can be changed while they do."""

import asyncio
from collections import deque


class Slots:
    """`async with` it to take one of the slots; whoever waits longest is next."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def resize(self, count: int) -> None:
        """Let there be *count* slots. With fewer than before, those who have one keep it."""
        self._count = count
        self._hand_out()

    async def __aenter__(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:  # it came in the same moment
                self._give_back()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self._taken -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._taken < self._count:
            turn = next((turn for turn in self._waiting if not turn.done()), None)
            if turn is None:
                return
            self._waiting.remove(turn)
            self._taken += 1
            turn.set_result(None)
