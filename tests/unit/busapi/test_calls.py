"""Calls of one client: begun in order, answered in order, overlapping only where they say so."""

import asyncio
from collections.abc import Awaitable, Callable

from certmongerd.busapi.calls import MAX_OVERLAPPING_CALLS, CallQueues, Turn
from certmongerd.busapi.transport import MessageKind, WireMessage


def call(number: int) -> WireMessage:
    return WireMessage(kind=MessageKind.CALL, serial=number, member=f"call{number}")


async def run(handle: Callable[[WireMessage, Turn], Awaitable[None]], count: int) -> None:
    """Put *count* calls of one client and wait until all were handled."""
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        queues = CallQueues(handle)
        for number in range(1, count + 1):
            queues.put("client", call(number), group)
        await queues.idle()


async def test_a_call_waits_for_the_end_of_the_one_before() -> None:
    trace: list[str] = []

    async def handle(message: WireMessage, turn: Turn) -> None:
        trace.append(f"begin {message.serial}")
        await asyncio.sleep(0)
        await turn.to_reply()
        trace.append(f"end {message.serial}")

    await run(handle, 3)
    assert trace == ["begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"]


async def test_a_call_that_passes_its_turn_on_is_overtaken_but_answered_first() -> None:
    stored = asyncio.Event()
    answered: list[int] = []
    begun: list[int] = []

    async def handle(message: WireMessage, turn: Turn) -> None:
        begun.append(message.serial)
        if message.serial == 1:
            turn.pass_on()
            await stored.wait()
        if message.serial == 3:
            stored.set()
        await turn.to_reply()
        answered.append(message.serial)

    async def passing(message: WireMessage, turn: Turn) -> None:
        turn.pass_on()
        await handle(message, turn)

    await run(passing, 3)
    assert begun == [1, 2, 3]
    assert answered == [1, 2, 3]


async def test_overlapping_calls_are_limited_in_number() -> None:
    working: set[int] = set()
    most = 0

    async def handle(message: WireMessage, turn: Turn) -> None:
        nonlocal most
        working.add(message.serial)
        most = max(most, len(working))
        turn.pass_on()
        await asyncio.sleep(0.001)
        await turn.to_reply()
        working.remove(message.serial)

    await run(handle, 3 * MAX_OVERLAPPING_CALLS)
    assert working == set()
    assert 1 < most <= MAX_OVERLAPPING_CALLS + 1
