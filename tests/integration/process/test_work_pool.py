"""Much work at once is done by processes; what becomes of it when they die, and of them when there is none.

The work is `eval` of a text: processes that are installed know nothing of these tests.
"""

import asyncio
import logging
import operator
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from trial_programs import parent_of, until, until_gone

from certmongerd.core.errors import (
    CertmongerError,
    FailureKind,
    InvalidValue,
    KeyMissing,
    KeyStoreError,
    StateStoreError,
)
from certmongerd.log_fields import set_log_fields
from certmongerd.runner.executor import Executor
from certmongerd.runner.process import Launcher
from certmongerd.runner.work_pool import Interrupted, NotDone, WorkPool
from certmongerd.store.work_lock import work_lock

PROCESSES = 3
MANY = 60
"""Pieces of work that threads are not left alone with."""
WHO = "(__import__('time').sleep(0.1), __import__('os').getpid())[1]"
DIES = "__import__('os').kill(__import__('os').getpid(), 9)"
DIES_ELSEWHERE = f"__import__('os').getpid() == {os.getpid()} or __import__('signal').raise_signal(9)"
TOO_LONG = 200_000

MakePool = Callable[..., WorkPool]
MakeExecutor = Callable[[WorkPool], Executor]


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    with work_lock(tmp_path / "places") as descriptor:
        yield descriptor


@pytest.fixture
async def make_pool(launcher: Launcher, lock: int) -> AsyncIterator[MakePool]:
    pools: list[WorkPool] = []

    def make(*, idle_s: float = 60) -> WorkPool:
        pools.append(WorkPool(launcher.fork_workers, PROCESSES, lock, idle_s=idle_s))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


@pytest.fixture
async def pool(make_pool: MakePool) -> WorkPool:
    """Processes that are there."""
    pool = make_pool()
    assert await pool.started()
    return pool


@pytest.fixture
def make_executor() -> Iterator[MakeExecutor]:
    executors: list[Executor] = []

    def make(pool: WorkPool) -> Executor:
        executors.append(Executor(file_pool=pool, heavy_pool=pool))
        return executors[-1]

    yield make
    for executor in executors:
        executor.close()


@pytest.fixture
def executor(make_pool: MakePool, make_executor: MakeExecutor) -> Executor:
    """With processes that are not started yet."""
    return make_executor(make_pool())


async def workers(pool: WorkPool) -> set[int]:
    """The processes: each has one of several pieces that take their time."""
    return set(await asyncio.gather(*(pool.run(eval, WHO) for _ in range(PROCESSES))))


async def until_started(pool: WorkPool) -> None:
    """Wait for processes that need not be started at once."""

    def is_ready() -> bool:
        pool.start()
        return pool.is_ready

    assert await until(is_ready)


async def test_little_file_work_is_done_by_threads(executor: Executor) -> None:
    found = await asyncio.gather(*(executor.file_work(eval, WHO) for _ in range(8)))
    assert set(found) == {os.getpid()}


async def test_much_file_work_is_done_by_processes(make_pool: MakePool, make_executor: MakeExecutor) -> None:
    pool = make_pool()
    executor = make_executor(pool)
    await asyncio.gather(*(executor.file_work(eval, WHO) for _ in range(9)))
    assert await until(lambda: pool.is_ready)
    found = await asyncio.gather(*(executor.file_work(eval, WHO) for _ in range(2 * PROCESSES)))
    assert len(set(found)) == PROCESSES
    assert os.getpid() not in found


async def test_computations_are_done_by_processes_even_a_single_one(executor: Executor) -> None:
    assert await executor.heavy_work_once(eval, WHO) != os.getpid()
    found = await asyncio.gather(*(executor.heavy_work_once(eval, WHO) for _ in range(2 * PROCESSES)))
    assert len(set(found) - {os.getpid()}) == PROCESSES


async def test_no_two_processes_make_the_same_key(pool: WorkPool) -> None:
    """They are copies of one process, which has made a key already."""
    keys = "__import__('certmongerd.pki.keys', fromlist=['keys'])"
    make = f"(keys := {keys}).spki_of_key(keys.generate_private_key(keys.KeyAlgorithm.EC, 256))"
    made = await asyncio.gather(*(pool.run(eval, make) for _ in range(MANY)))
    assert len(set(made)) == MANY


async def test_processes_that_nobody_needs_any_more_end_and_come_again(make_pool: MakePool) -> None:
    pool = make_pool(idle_s=0.2)
    for _ in range(2):
        assert await pool.started()
        for worker in await workers(pool):
            assert await until_gone(worker)
        assert not pool.is_ready


@pytest.mark.parametrize(
    "error",
    [
        KeyStoreError(FailureKind.PIN, "/key", "Wrong."),
        KeyMissing("/key"),
        StateStoreError("/file", "is full"),
        InvalidValue("key-size", "Too long."),
        FileNotFoundError(2, "No such file or directory", "/file"),
    ],
)
async def test_errors_arrive_as_they_were_raised(pool: WorkPool, error: Exception) -> None:
    raising = "(_ for _ in ()).throw(error)"
    with pytest.raises(type(error)) as caught:
        await pool.run(eval, raising, {"error": error})
    assert str(caught.value) == str(error)
    assert {name: value for name, value in vars(caught.value).items() if name != "__notes__"} == vars(error)
    assert "work_process.py" in caught.value.__notes__[0]


async def test_an_error_that_cannot_travel_is_told_in_words(pool: WorkPool) -> None:
    class_text = "type('Odd', (Exception,), {'__init__': lambda self, a, b: None})('what', 'happened')"
    with pytest.raises(RuntimeError, match="Odd: "):
        await pool.run(eval, f"(_ for _ in ()).throw({class_text})")


async def test_a_result_that_cannot_travel_is_one_of_a_thread(pool: WorkPool, make_executor: MakeExecutor) -> None:
    unable = "lambda: 'here'"
    with pytest.raises(Interrupted):
        await pool.run(eval, unable)
    await until_started(pool)
    assert (await make_executor(pool).file_work(eval, unable))() == "here"


async def test_what_is_logged_is_logged_by_the_daemon_for_whom_it_is_about(
    pool: WorkPool, caplog: pytest.LogCaptureFixture
) -> None:
    set_log_fields(request="mine")
    await pool.run(logging.getLogger("certmongerd.trial").warning, "Something is odd about %s", "/file")
    (record,) = (record for record in caplog.records if record.name == "certmongerd.trial")
    assert record.getMessage() == "Something is odd about /file"


async def test_what_is_too_long_for_a_message_is_done_by_a_thread(pool: WorkPool, make_executor: MakeExecutor) -> None:
    executor = make_executor(pool)
    assert await executor.file_work(len, b"x" * TOO_LONG) == TOO_LONG
    assert await executor.file_work(operator.mul, b"x", TOO_LONG) == b"x" * TOO_LONG
    with pytest.raises(NotDone):
        await pool.run(len, b"x" * TOO_LONG)
    with pytest.raises(Interrupted):
        await pool.run(operator.mul, b"x", TOO_LONG)


async def test_work_is_done_although_processes_die(pool: WorkPool, make_executor: MakeExecutor) -> None:
    executor = make_executor(pool)
    before = await workers(pool)
    done = await asyncio.gather(
        executor.file_work(eval, DIES_ELSEWHERE), *(executor.file_work(eval, WHO) for _ in range(MANY))
    )
    assert done[0] is True
    assert all(await asyncio.gather(*(until_gone(worker) for worker in before)))


async def test_what_must_not_be_done_twice_is_not(pool: WorkPool, make_executor: MakeExecutor) -> None:
    executor = make_executor(pool)
    for once in (executor.file_work_once, executor.heavy_work_once):
        await until_started(pool)  # not at once, after they ended unexpectedly
        with pytest.raises(Interrupted):
            await once(eval, DIES)


async def test_processes_that_keep_dying_are_not_started_all_the_time(
    launcher: Launcher, lock: int, make_executor: MakeExecutor
) -> None:
    starts = 0

    async def counted(channel: int) -> None:
        nonlocal starts
        starts += 1
        await launcher.fork_workers(channel)

    pool = WorkPool(counted, PROCESSES, lock)
    executor = make_executor(pool)
    began = time.monotonic()
    while time.monotonic() < began + 1.5:
        await asyncio.gather(*(executor.file_work(eval, DIES_ELSEWHERE) for _ in range(20)))
    await pool.close()
    assert 1 <= starts <= 2


async def test_who_is_cancelled_waits_for_what_has_begun(pool: WorkPool, tmp_path: Path) -> None:
    done = tmp_path / "done"
    task = asyncio.create_task(pool.run(eval, f"(__import__('time').sleep(0.3), open({str(done)!r}, 'w').close())"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.exists()


async def test_who_is_cancelled_before_it_has_begun_does_not_wait(pool: WorkPool, tmp_path: Path) -> None:
    busy = [asyncio.create_task(pool.run(eval, WHO)) for _ in range(4 * PROCESSES)]
    await asyncio.sleep(0)
    never = tmp_path / "never"
    task = asyncio.create_task(pool.run(eval, f"open({str(never)!r}, 'w').close()"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.gather(*busy)
    await workers(pool)
    assert not never.exists()


async def test_at_the_end_what_was_begun_is_done_and_the_processes_end(pool: WorkPool) -> None:
    working = [asyncio.create_task(pool.run(eval, WHO)) for _ in range(PROCESSES)]
    await asyncio.sleep(0.05)
    await pool.close()
    for worker in await asyncio.gather(*working):
        assert await until_gone(worker)
    with pytest.raises(NotDone):
        await pool.run(eval, WHO)


async def test_at_the_end_threads_do_what_processes_have_not_begun(pool: WorkPool, make_executor: MakeExecutor) -> None:
    executor = make_executor(pool)
    working = [asyncio.create_task(executor.file_work_once(eval, WHO)) for _ in range(MANY)]
    await asyncio.sleep(0.05)
    await pool.close()
    found = await asyncio.gather(*working)
    assert found.count(os.getpid()) > MANY // 2
    assert len(set(found)) == 1 + PROCESSES


async def test_the_end_of_the_fork_server_ends_the_processes(pool: WorkPool) -> None:
    found = await workers(pool)
    parent = parent_of(next(iter(found)))
    os.kill(parent_of(parent), signal.SIGKILL)
    assert all(await asyncio.gather(*(until_gone(worker) for worker in found)))
    assert await until(lambda: not pool.is_ready)


async def test_signals_meant_for_the_daemon_do_not_end_them(pool: WorkPool) -> None:
    found = await workers(pool)
    for worker in found:
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGINT)
    assert await workers(pool) == found


async def test_the_lock_is_held_as_long_as_one_of_them_lives(launcher: Launcher, tmp_path: Path) -> None:
    places = tmp_path / "places"
    with work_lock(places) as descriptor:
        pool = WorkPool(launcher.fork_workers, PROCESSES, descriptor)
        assert await pool.started()
        busy = asyncio.create_task(pool.run(eval, "__import__('time').sleep(0.6)"))
        await asyncio.sleep(0.1)
    with pytest.raises(CertmongerError, match="earlier certmongerd are still writing"), work_lock(places, 0.1):
        pass
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    began = time.monotonic()
    with work_lock(places, 10):
        assert time.monotonic() > began + 0.2
    await asyncio.gather(busy, closing)
