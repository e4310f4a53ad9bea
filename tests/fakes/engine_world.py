"""What a request worker needs besides the machine: state files in memory, a clock that waits for nobody."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from certmongerd.core.effects import Effect
from certmongerd.core.errors import StateStoreError
from certmongerd.core.events import EffectResult
from certmongerd.core.history import HistoryEntry
from certmongerd.core.model import Ca, Request
from certmongerd.runner.clock import Alarm
from certmongerd.runner.registry import RequestEntry
from certmongerd.runner.request_worker import Persist
from certmongerd.store.repository import FileWork

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class StandingClock:
    """Shows one time; whoever waits for a delay waits until something else happens."""

    def now(self) -> datetime:
        return NOW

    def call_after(self, delay: timedelta, ring: Callable[[], None]) -> Alarm:
        del delay, ring
        return SilentAlarm()

    async def sleep(self, delay: timedelta) -> None:
        del delay
        await asyncio.Event().wait()


class SilentAlarm:
    def cancel(self) -> None:
        pass


@dataclass
class MemoryFiles:
    """Remembers what was stored; refuses while `is_full`."""

    requests: dict[str, Request] = field(default_factory=dict)
    is_full: bool = False
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def next_request_name(self, now: datetime) -> str:
        return f"{now:%Y%m%d%H%M%S}-{next(self.numbers)}"

    def creating_request(self, name: str, request: Request) -> FileWork:
        return self.saving_request(name, request)

    def saving_request(self, name: str, request: Request) -> FileWork:
        return partial(self.save_request, name, request)

    def save_request(self, name: str, request: Request) -> None:
        if self.is_full:
            raise StateStoreError(name, "no space left on device")
        self.requests[name] = request

    def delete_request(self, name: str) -> None:
        del self.requests[name]

    def next_ca_name(self, now: datetime) -> str:
        raise NotImplementedError

    def creating_ca(self, name: str, ca: Ca) -> FileWork:
        raise NotImplementedError

    def saving_ca(self, name: str, ca: Ca) -> FileWork:
        raise NotImplementedError

    def delete_ca(self, name: str) -> None:
        raise NotImplementedError


@dataclass
class ScriptedPerformer:
    """Answers every effect with `answer`, and records what it was asked."""

    answer: Callable[[Request, Effect], Awaitable[EffectResult]]
    asked: list[tuple[str, Effect]] = field(default_factory=list)

    def foreseen(self, request: Request, effect: Effect) -> EffectResult | None:
        del request, effect
        return None

    def stores_request(self, request: Request, effect: Effect) -> bool:
        del request, effect
        return False

    async def perform(self, request: Request, effect: Effect, persist: Persist) -> EffectResult:
        del persist
        self.asked.append((request.id, effect))
        return await self.answer(request, effect)


@dataclass
class RememberedHistory:
    """Keeps what happened, by the request's nickname."""

    happened: list[tuple[str, HistoryEntry]] = field(default_factory=list)

    def add(self, entry: RequestEntry, happened: HistoryEntry) -> None:
        self.happened.append((entry.request.id, happened))
