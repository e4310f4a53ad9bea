"""Threads for blocking work, and what becomes of them when nobody wants their results any more."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from certmongerd.runner.executor import Executor


@pytest.fixture
def executor() -> Iterator[Executor]:
    made = Executor()
    yield made
    made.close()


async def until_set(event: threading.Event) -> None:
    async with asyncio.timeout(20):
        while not event.is_set():  # noqa: ASYNC110 - threads have no other way to tell
            await asyncio.sleep(0.001)


async def test_a_result_and_an_exception_come_back(executor: Executor) -> None:
    assert await executor.io(sum, [1, 2]) == 3
    with pytest.raises(ZeroDivisionError):
        await executor.cpu(divmod, 1, 0)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_caller_ends_after_its_thread(executor: Executor, times: int) -> None:
    """What comes next may touch the same files."""
    began, may_end = threading.Event(), threading.Event()
    ended: list[bool] = []

    def work() -> None:
        began.set()
        assert may_end.wait(20)
        ended.append(True)

    task = asyncio.create_task(executor.io(work))
    await until_set(began)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()

    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_work_that_has_not_begun_is_dropped_with_its_caller(executor: Executor) -> None:
    may_end = threading.Event()
    busy = [asyncio.create_task(executor.io(may_end.wait, 20)) for _ in range(8)]
    done: list[bool] = []
    waiting = asyncio.create_task(executor.io(done.append, True))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    may_end.set()
    await asyncio.gather(*busy)
    await executor.io(lambda: None)
    assert done == []


async def test_the_failure_of_an_abandoned_thread_concerns_nobody(executor: Executor) -> None:
    began, may_end = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(20)
        raise ValueError

    task = asyncio.create_task(executor.cpu(work))
    await until_set(began)
    task.cancel()
    may_end.set()

    with pytest.raises(asyncio.CancelledError):
        await task
