"""A caller that is cancelled leaves no thread behind that works on what its successor works on."""

import asyncio
import threading

import pytest

from certmongerd.runner.executor import Executor


async def test_a_cancelled_caller_waits_for_what_runs_however_often_it_is_cancelled() -> None:
    executor = Executor()
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait()

    caller = asyncio.create_task(executor.cpu(work))
    await asyncio.to_thread(begun.wait)
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    executor.close()


async def test_work_that_has_not_begun_is_dropped() -> None:
    executor = Executor()
    may_end = threading.Event()
    done: list[int] = []
    running = [asyncio.create_task(executor.io(may_end.wait)) for _ in range(8)]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(executor.io(done.append, 1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()
    await asyncio.gather(*running)
    assert done == []
    executor.close()
