"""Histories are written for many requests at once, and hold nothing up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from fakes.engine_world import NOW, MemoryFiles, StandingClock

from certmongerd.core.errors import StateStoreError
from certmongerd.core.history import HistoryEntry
from certmongerd.core.ids import Nickname
from certmongerd.core.model import Request
from certmongerd.runner.executor import Executor
from certmongerd.runner.history import HistoryKeeper
from certmongerd.runner.registry import Registry, RequestEntry


@dataclass
class MemoryHistories:
    kept: dict[str, list[HistoryEntry]] = field(default_factory=dict)
    is_full: bool = False
    damaged: str = ""
    """Name of a history that cannot be written."""

    def append_all(self, batch: Mapping[str, Sequence[HistoryEntry]]) -> StateStoreError | None:
        if self.is_full:
            return StateStoreError("histories", "no space left on device")
        for name, entries in batch.items():
            if name != self.damaged:
                self.kept.setdefault(name, []).extend(entries)
        return StateStoreError(self.damaged, "it is a directory") if self.damaged in batch else None

    def read(self, name: str) -> tuple[HistoryEntry, ...]:
        return tuple(self.kept.get(name, ()))


class World:
    def __init__(self) -> None:
        self.executor = Executor()
        self.registry = Registry(MemoryFiles(), self.executor, StandingClock())
        self.histories = MemoryHistories()
        self.keeper = HistoryKeeper(self.histories, self.registry, self.executor)

    def enter(self, name: str, file_name: str = "") -> RequestEntry:
        return self.registry.enter_request(Request(id=Nickname(name)), file_name)


def turn(number: int) -> HistoryEntry:
    return HistoryEntry(at=NOW, event="unreachable", state="CA_UNREACHABLE", attempts=number)


async def test_reading_gives_what_was_just_added() -> None:
    world = World()
    one, two = world.enter("one", "1"), world.enter("two", "2")
    for number in range(3):
        world.keeper.add(one, turn(number))
    assert await world.keeper.read(one) == (turn(0), turn(1), turn(2))
    assert await world.keeper.read(two) == ()
    world.executor.close()


async def test_what_happens_before_a_request_is_stored_is_written_afterwards() -> None:
    world = World()
    entry = world.enter("new")
    world.keeper.add(entry, turn(1))
    await world.keeper.flush()
    entry.file_name = "1"
    await world.keeper.flush()
    assert world.histories.kept == {"1": [turn(1)]}
    world.executor.close()


async def test_a_request_that_was_never_stored_is_forgotten_with_its_history() -> None:
    world = World()
    entry = world.enter("gone")
    world.keeper.add(entry, turn(1))
    world.registry.leave_request(entry)
    await world.keeper.flush()
    assert await world.keeper.read(entry) == ()
    world.executor.close()


async def test_one_history_among_many_that_cannot_be_written_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.histories.damaged = "0"
    entries = [world.enter(f"request {number}", str(number)) for number in range(50)]
    for _ in range(2):
        for entry in entries:
            world.keeper.add(entry, turn(1))
        await world.keeper.flush()
    assert len(world.histories.kept) == len(entries) - 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    world.executor.close()


async def test_a_full_disk_is_told_once_and_costs_only_history(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    entry = world.enter("one", "1")
    world.histories.is_full = True
    for number in range(3):
        world.keeper.add(entry, turn(number))
        await world.keeper.flush()
    assert caplog.text.count("no space left on device") == 1
    world.histories.is_full = False
    world.keeper.add(entry, turn(3))
    await world.keeper.flush()
    assert "written again" in caplog.text
    assert await world.keeper.read(entry) == (turn(3),)
    world.executor.close()


async def test_a_request_that_turns_in_circles_does_not_fill_the_memory() -> None:
    world = World()
    entry = world.enter("busy", "1")
    for number in range(10_000):
        world.keeper.add(entry, turn(number))
    assert len(await world.keeper.read(entry)) == 200
    world.executor.close()
