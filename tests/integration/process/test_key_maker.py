"""Keys for many requests at once come from processes of their own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
from trial_programs import children_of, until, until_gone

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import KeyAlgorithm
from certmongerd.pki.keys import PrivateKey, key_facts
from certmongerd.runner.executor import Executor
from certmongerd.runner.key_maker import KeyMaker
from certmongerd.runner.process import spawn_server

BITS = 1024
OTHERS: list[int] = []


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    executor = Executor()
    yield executor
    executor.close()


@pytest.fixture
async def maker(executor: Executor) -> AsyncIterator[KeyMaker]:
    maker = KeyMaker(executor, spawn_server)
    yield maker
    await maker.close()


@pytest.fixture(autouse=True)
def others() -> None:
    """What other tests, which share this process, keep running."""
    OTHERS[:] = children_of(os.getpid())


def servers() -> list[int]:
    """The processes that the maker has started."""
    return [pid for pid in children_of(os.getpid()) if pid not in OTHERS]


async def make_several(maker: KeyMaker, count: int) -> list[PrivateKey]:
    return await asyncio.gather(*(maker.make(KeyAlgorithm.RSA, BITS) for _ in range(count)))


def server() -> int:
    (pid,) = servers()
    return pid


async def test_several_keys_are_made_and_all_are_different(maker: KeyMaker) -> None:
    facts = [key_facts(key) for key in await make_several(maker, 20)]
    assert {(one.algorithm, one.bits) for one in facts} == {(KeyAlgorithm.RSA, BITS)}
    assert len({one.spki for one in facts}) == 20
    assert len(children_of(server())) == os.cpu_count()


async def test_for_a_single_key_no_process_is_started(maker: KeyMaker) -> None:
    await maker.make(KeyAlgorithm.RSA, BITS)
    await asyncio.gather(*(maker.make(KeyAlgorithm.EC, 256) for _ in range(3)))
    assert servers() == []


async def test_processes_that_nobody_needs_any_more_are_ended(executor: Executor) -> None:
    maker = KeyMaker(executor, spawn_server, idle_s=0)
    await make_several(maker, 3)
    await until(lambda: not servers())
    assert len(await make_several(maker, 3)) == 3
    await maker.close()


async def test_keys_are_made_although_the_processes_die(maker: KeyMaker) -> None:
    await make_several(maker, 2)
    (*_, last) = children_of(server())
    wanted = asyncio.gather(*(maker.make(KeyAlgorithm.RSA, 2048) for _ in range(8)))
    await asyncio.sleep(0)
    os.kill(last, signal.SIGKILL)
    assert {key_facts(key).bits for key in await wanted} == {2048}
    assert len(await make_several(maker, 3)) == 3


async def test_a_cancelled_request_costs_no_other_one_its_key(maker: KeyMaker) -> None:
    await make_several(maker, 2)
    tasks = [asyncio.ensure_future(maker.make(KeyAlgorithm.RSA, BITS)) for _ in range(12)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    keys = await asyncio.gather(*tasks[1::2])
    assert len({key_facts(key).spki for key in keys}) == 6


async def test_closing_ends_the_processes(executor: Executor) -> None:
    maker = KeyMaker(executor, spawn_server)
    await make_several(maker, 2)
    pid = server()
    workers = children_of(pid)
    await maker.close()
    assert servers() == []
    for worker in workers:
        await until_gone(worker)


async def test_a_key_that_is_too_long_is_refused(maker: KeyMaker) -> None:
    with pytest.raises(InvalidValue, match="100000 bits"):
        await maker.make(KeyAlgorithm.RSA, 100_000)
