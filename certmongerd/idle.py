"""Ending a bus-activated daemon that has nothing to do."""

import asyncio
from collections.abc import Callable


class IdleWatch:
    """Counts down after each call; stays armed only while there is nothing to track."""

    def __init__(self, timeout_s: int, is_busy: Callable[[], bool], end: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._is_busy = is_busy
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def touch(self) -> None:
        """A call came in, or the daemon started."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timeout_s > 0:
            self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._expire)

    def _expire(self) -> None:
        if not self._is_busy():
            self._end()
