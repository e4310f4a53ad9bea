"""Wall-clock time, and waiting that survives suspend and clock changes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_LONGEST_NAP_S: Final = 60.0


class Clock(Protocol):
    """Where the engine gets its time from."""

    def now(self) -> datetime:
        """Aware UTC, whole seconds."""

    async def wait(self, changed: asyncio.Event, delay: timedelta) -> bool:
        """Wait until *changed* is set (False) or *delay* is over (True)."""


class SystemClock:
    """The machine's clock.

    A deadline is a wall-clock time: it passes while the machine sleeps, and
    is noticed within a minute when the clock is set forward. Should the clock
    be set back, the monotonic clock ends the wait in time.
    """

    def now(self) -> datetime:
        """Aware UTC, whole seconds."""
        return datetime.now(UTC).replace(microsecond=0)

    async def wait(self, changed: asyncio.Event, delay: timedelta) -> bool:
        """Wait until *changed* is set (False) or *delay* is over (True)."""
        loop = asyncio.get_running_loop()
        wall_deadline = datetime.now(UTC) + delay
        deadline = loop.time() + delay.total_seconds()
        while not changed.is_set():
            remaining = min(deadline - loop.time(), (wall_deadline - datetime.now(UTC)).total_seconds())
            if remaining <= 0:
                return True
            try:
                async with asyncio.timeout(min(remaining, _LONGEST_NAP_S)):
                    await changed.wait()
            except TimeoutError:
                continue
        return False
