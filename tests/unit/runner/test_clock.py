"""Alarms ring in time, whatever happens to the wall clock, and cost one timer."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from certmongerd.runner.clock import Alarm, SystemClock

HOUR = timedelta(hours=1)
SHORT = timedelta(milliseconds=1)


class WallClock:
    """Can be set."""

    def __init__(self) -> None:
        self.set_by_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.set_by_s


async def rings(alarm_of: Callable[[Callable[[], None]], object]) -> None:
    """Returns when the alarm has rung."""
    rung = asyncio.Event()
    alarm_of(rung.set)
    async with asyncio.timeout(10):
        await rung.wait()


async def test_alarms_ring_in_the_order_in_which_they_are_due() -> None:
    clock, heard = SystemClock(), list[int]()
    for number in (3, 1, 2):
        clock.call_after(number * SHORT, lambda number=number: heard.append(number))  # type: ignore[misc]
    await rings(lambda ring: clock.call_after(4 * SHORT, ring))
    assert heard == [1, 2, 3]


async def test_a_cancelled_alarm_stays_silent() -> None:
    clock, heard = SystemClock(), list[str]()
    cancelled = clock.call_after(SHORT, lambda: heard.append("cancelled"))
    cancelled.cancel()
    cancelled.cancel()
    await rings(lambda ring: clock.call_after(2 * SHORT, ring))
    assert heard == []


async def test_an_alarm_that_is_cancelled_by_one_due_with_it_stays_silent() -> None:
    clock, heard, alarms = SystemClock(), list[str](), list[Alarm]()
    clock.call_after(timedelta(0), lambda: alarms[0].cancel())  # noqa: PLW0108 – there is none yet
    alarms.append(clock.call_after(timedelta(0), lambda: heard.append("second")))
    await rings(lambda ring: clock.call_after(SHORT, ring))
    assert heard == []


async def test_thousands_of_alarms_need_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, loop, timers = SystemClock(), asyncio.get_running_loop(), list[asyncio.TimerHandle]()
    set_timer = loop.call_later

    def counting(delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        timers.append(set_timer(delay, callback))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", counting)
    alarms = [clock.call_after(HOUR + number * SHORT, print) for number in range(5000)]
    for alarm in alarms[1:]:
        alarm.cancel()
    assert len([timer for timer in timers if not timer.cancelled()]) == 1


async def test_alarms_that_are_left_after_many_were_cancelled_ring() -> None:
    clock, heard = SystemClock(), list[int]()
    alarms = [clock.call_after(SHORT, lambda number=number: heard.append(number)) for number in range(500)]  # type: ignore[misc]
    for alarm in alarms[:499]:
        alarm.cancel()
    await rings(lambda ring: clock.call_after(2 * SHORT, ring))
    assert heard == [499]


async def test_an_alarm_rings_early_when_the_clock_is_set_forward() -> None:
    wall = WallClock()
    clock = SystemClock(wall, longest_nap_s=0.001)

    def alarm_of(ring: Callable[[], None]) -> None:
        clock.call_after(HOUR, ring)
        wall.set_by_s = 2 * HOUR.total_seconds()

    await rings(alarm_of)


async def test_an_alarm_rings_in_time_when_the_clock_is_set_back() -> None:
    wall = WallClock()
    clock = SystemClock(wall, longest_nap_s=0.001)

    def alarm_of(ring: Callable[[], None]) -> None:
        clock.call_after(SHORT, ring)
        wall.set_by_s = -2 * HOUR.total_seconds()

    await rings(alarm_of)
    # And what was set afterwards is not late.
    await rings(lambda ring: clock.call_after(SHORT, ring))


async def test_sleeping_ends_when_the_delay_is_over() -> None:
    clock = SystemClock()
    async with asyncio.timeout(10):
        await clock.sleep(SHORT)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await clock.sleep(HOUR)


def test_now_has_whole_seconds_in_utc() -> None:
    assert SystemClock(lambda: 1767323045.9).now() == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
