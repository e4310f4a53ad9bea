"""Wall-clock time, and alarms that survive suspend and clock changes."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_LONGEST_NAP_S: Final = 60.0
_JUMP_S: Final = 1.0
"""A clock that gained less on the other one was not set."""
_WORTH_SWEEPING: Final = 64


class Alarm(Protocol):
    """Something that is going to happen."""

    def cancel(self) -> None:
        """It is not going to happen; does no harm afterwards."""


class Clock(Protocol):
    """Where the engine gets its time from."""

    def now(self) -> datetime:
        """Aware UTC, whole seconds."""

    def call_after(self, delay: timedelta, ring: Callable[[], None]) -> Alarm:
        """Call *ring* from the event loop when *delay* is over."""

    async def sleep(self, delay: timedelta) -> None:
        """Wait until *delay* is over."""


class SystemClock:
    """The machine's clock.

    All alarms share one timer: however many there are, the process wakes up when the first of them is due, and once a
    minute to look at the clock. An alarm is set for a time of the wall clock: it passes while the machine sleeps, and
    is noticed within a minute when the clock is set forward. Should the clock be set back, the monotonic clock lets
    the alarm ring in time.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time, *, longest_nap_s: float = _LONGEST_NAP_S) -> None:
        self._wall_clock = wall_clock
        self._longest_nap_s = longest_nap_s
        self._numbers = itertools.count()
        self._alarms: list[_Alarm] = []
        """A heap. What was cancelled stays until it is due, or is swept."""
        self._cancelled = 0
        self._timer: asyncio.TimerHandle | None = None
        self._lead_s: float | None = None
        """By how much the wall clock was ahead of the event loop's when that was last looked at."""
        self._gained_s = 0.0
        """By how much the wall clock was set forward altogether."""
        self._now_s = 0
        self._now = datetime.fromtimestamp(0, UTC)
        """What `now` said last."""

    def now(self) -> datetime:
        """Aware UTC, whole seconds."""
        now_s = int(self._wall_clock())
        if now_s != self._now_s:
            self._now_s, self._now = now_s, datetime.fromtimestamp(now_s, UTC)
        return self._now

    def call_after(self, delay: timedelta, ring: Callable[[], None]) -> Alarm:
        """Call *ring* from the event loop when *delay* is over."""
        alarm = _Alarm(self._time_s() + delay.total_seconds(), next(self._numbers), ring, self)
        heapq.heappush(self._alarms, alarm)
        if self._alarms[0] is alarm:
            self._set_timer()
        return alarm

    async def sleep(self, delay: timedelta) -> None:
        """Wait until *delay* is over."""
        over = asyncio.Event()
        alarm = self.call_after(delay, over.set)
        try:
            await over.wait()
        finally:
            alarm.cancel()

    def forget_one(self) -> None:
        """An alarm was cancelled."""
        self._cancelled += 1
        if self._cancelled > _WORTH_SWEEPING and self._cancelled > len(self._alarms) // 2:
            self._alarms = [alarm for alarm in self._alarms if alarm.ring is not None]
            heapq.heapify(self._alarms)
            self._cancelled = 0

    def _time_s(self) -> float:
        """Goes on with the event loop's clock, and jumps forward with the wall clock; alarms are set by it."""
        loop_time = asyncio.get_running_loop().time()
        lead_s = self._wall_clock() - loop_time
        if self._lead_s is None:
            self._lead_s = lead_s
        if abs(lead_s - self._lead_s) >= _JUMP_S:
            self._gained_s += max(lead_s - self._lead_s, 0)
            self._lead_s = lead_s
        return loop_time + self._gained_s

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._alarms:
            nap_s = min(self._alarms[0].due_s - self._time_s(), self._longest_nap_s)
            self._timer = asyncio.get_running_loop().call_later(max(nap_s, 0), self._look)

    def _look(self) -> None:
        """Let ring what is due, one after the other so that others have a turn in between."""
        now_s, loop = self._time_s(), asyncio.get_running_loop()
        while self._alarms and self._alarms[0].due_s <= now_s:
            alarm = heapq.heappop(self._alarms)
            if alarm.ring is None:
                self._cancelled -= 1
            else:
                alarm.clock = None
                loop.call_soon(alarm.go_off)
        self._set_timer()


class _Alarm:
    """One alarm; the earlier ones are less."""

    __slots__ = ("_number", "clock", "due_s", "ring")

    def __init__(self, due_s: float, number: int, ring: Callable[[], None], clock: SystemClock) -> None:
        self.due_s = due_s
        self._number = number
        self.ring: Callable[[], None] | None = ring
        self.clock: SystemClock | None = clock
        """Has it among its alarms."""

    def __lt__(self, other: "_Alarm") -> bool:
        return (self.due_s, self._number) < (other.due_s, other._number)

    def go_off(self) -> None:
        """Ring, unless it was cancelled at the last moment."""
        ring, self.ring = self.ring, None
        if ring is not None:
            ring()

    def cancel(self) -> None:
        """It is not going to ring; does no harm afterwards."""
        if self.ring is not None:
            self.ring = None
            if self.clock is not None:
                self.clock.forget_one()
