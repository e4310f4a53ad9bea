"""How many may work at the same time, while that is being changed."""

import asyncio
from dataclasses import dataclass, field

import pytest

from certmongerd.runner.slots import Slots


@dataclass
class Crowd:
    """Workers that stay at work until they are told to end."""

    slots: Slots
    at_work: list[str] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    ends: dict[str, asyncio.Event] = field(default_factory=dict)

    async def come(self, *names: str) -> None:
        for name in names:
            self.ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._work(name))
        await settle()

    async def _work(self, name: str) -> None:
        async with self.slots:
            self.at_work.append(name)
            try:
                await self.ends[name].wait()
            finally:
                self.at_work.remove(name)

    async def end(self, *names: str) -> None:
        for name in names:
            self.ends[name].set()
        await settle()

    async def cancel(self, *names: str) -> None:
        for name in names:
            self.tasks[name].cancel()
        await settle()

    async def go_home(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.wait(self.tasks.values())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(Slots(2))


async def test_whoever_came_first_is_next(crowd: Crowd) -> None:
    await crowd.come("a", "b", "c", "d")
    assert crowd.at_work == ["a", "b"]
    await crowd.end("a")
    assert crowd.at_work == ["b", "c"]
    await crowd.go_home()


async def test_more_slots_are_there_at_once_and_fewer_when_somebody_ends(crowd: Crowd) -> None:
    await crowd.come("a", "b", "c", "d", "e")
    crowd.slots.resize(4)
    await settle()
    assert crowd.at_work == ["a", "b", "c", "d"]
    crowd.slots.resize(1)
    await crowd.end("a", "b", "c")
    assert crowd.at_work == ["d"]
    await crowd.end("d")
    assert crowd.at_work == ["e"]
    await crowd.go_home()


async def test_who_gives_up_waiting_takes_nobodys_slot(crowd: Crowd) -> None:
    await crowd.come("a", "b", "c", "d")
    await crowd.cancel("c")
    await crowd.end("a")
    assert crowd.at_work == ["b", "d"]
    await crowd.go_home()
    await crowd.come("x", "y")
    assert crowd.at_work == ["x", "y"]
    await crowd.go_home()


async def test_a_slot_that_comes_with_the_cancellation_goes_to_the_next(crowd: Crowd) -> None:
    await crowd.come("a", "b", "c", "d")
    crowd.slots.resize(3)
    await crowd.cancel("c")
    assert crowd.at_work == ["a", "b", "d"]
    await crowd.go_home()
