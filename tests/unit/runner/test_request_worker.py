"""One request's trouble is its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from fakes.engine_world import MemoryFiles, RememberedHistory, ScriptedPerformer, StandingClock

from certmongerd.core.effects import BuildCsr, Effect, GenerateKey, ReadCert, ReadKey, SaveCert
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    CertAbsent,
    CertSaved,
    CsrBuilt,
    EffectResult,
    Failed,
    KeyAbsent,
    KeyGenerated,
    KeyRead,
    Rekey,
    Resubmit,
)
from certmongerd.core.ids import Nickname
from certmongerd.core.model import KeyAlgorithm, KeyRecord, KeyStorage, Request, StorageType
from certmongerd.core.states import State
from certmongerd.runner.executor import Executor
from certmongerd.runner.registry import Registry, RequestEntry
from certmongerd.runner.request_worker import RequestWorkers

Answer = Callable[[Request, Effect], Awaitable[EffectResult]]


class World:
    """Workers on memory, and the requests they work on."""

    def __init__(self, answer: Answer, tasks: asyncio.TaskGroup) -> None:
        self.files = MemoryFiles()
        self.performer = ScriptedPerformer(answer)
        self.registry = Registry(self.files, Executor(), StandingClock())
        self.history = RememberedHistory()
        self.workers = RequestWorkers(self.registry, self.performer, self.history)
        self._tasks = tasks

    def add(self, name: str) -> RequestEntry:
        storage = KeyStorage(type=StorageType.FILE, location=f"/keys/{name}")
        return self.begin(Request(id=Nickname(name), key_storage=storage))

    def begin(self, request: Request) -> RequestEntry:
        entry = self.registry.enter_request(request)
        self.workers.start(entry, self._tasks)
        return entry

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not is_so():  # noqa: ASYNC110 - what is awaited is a value, not an event
                await asyncio.sleep(0.001)


@asynccontextmanager
async def world(answer: Answer) -> AsyncIterator[World]:
    async with asyncio.TaskGroup() as tasks:
        made = World(answer, tasks)
        yield made
        for entry in list(made.registry.requests.values()):
            await made.workers.stop(entry)
    made.registry.executor.close()


async def issue_key_and_csr(_request: Request, effect: Effect) -> EffectResult:
    match effect:
        case ReadKey():
            return KeyAbsent()
        case ReadCert():
            return CertAbsent()
        case GenerateKey():
            return KeyGenerated(type=KeyAlgorithm.EC, size=256, pubkey_info=b"spki", marker="")
        case BuildCsr():
            return CsrBuilt(csr="csr", spkac="")
        case _:
            raise AssertionError(effect)


async def test_an_exception_in_one_request_leaves_the_others_alone() -> None:
    async def answer(request: Request, effect: Effect) -> EffectResult:
        match effect:
            case ReadKey() if request.id == "bad" and request.key.pubkey_info:
                raise ZeroDivisionError
            case ReadKey() if request.key.pubkey_info:
                return KeyRead(type=KeyAlgorithm.EC, size=256, pubkey_info=b"spki")
            case _:
                return await issue_key_and_csr(request, effect)

    async with world(answer) as made:
        bad, good = made.add("bad"), made.add("good")
        await made.until(lambda: good.request.state is State.NEED_CA and bool(bad.request.ca_error))
        # The failing effect is tried again later, and says so where an operator looks.
        assert bad.request.state is State.NEED_KEYINFO
        assert "the daemon's log has the details" in bad.request.ca_error
        assert good.request.ca_error == ""


async def test_a_result_that_the_state_does_not_expect_stops_that_request_only() -> None:
    async def answer(request: Request, effect: Effect) -> EffectResult:
        if request.id == "confused":
            return CsrBuilt(csr="", spkac="")
        return await issue_key_and_csr(request, effect)

    async with world(answer) as made:
        confused, other = made.add("confused"), made.add("other")
        await made.until(lambda: confused.request.state is State.NEED_GUIDANCE)
        assert "internal error" in confused.request.ca_error
        await made.until(lambda: other.request.key.size == 256)
        told = [entry.state for name, entry in made.history.happened if name == "confused"]
        assert told == ["NEWLY_ADDED_READING_KEYINFO", "NEED_GUIDANCE"]


async def test_an_operator_interrupts_what_is_under_way() -> None:
    cancelled: list[str] = []

    async def answer(request: Request, effect: Effect) -> EffectResult:
        if isinstance(effect, GenerateKey) and not cancelled:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(request.id)
                raise
        return await issue_key_and_csr(request, effect)

    async with world(answer) as made:
        entry = made.add("one")
        await made.until(lambda: entry.request.state is State.GENERATING_KEY_PAIR)
        assert made.workers.deliver(entry, Rekey())
        # The answer to the operator is immediate; the new work begins when the old one has ended.
        assert entry.request.state is State.GENERATING_KEY_PAIR
        await made.until(lambda: entry.request.key.size == 256)
        assert cancelled == ["one"]


@pytest.mark.parametrize("event", [Resubmit(), Rekey()])
async def test_what_is_being_saved_is_saved_before_an_operator_has_it_begun_again(event: Resubmit | Rekey) -> None:
    may_end = asyncio.Event()

    async def answer(_request: Request, effect: Effect) -> EffectResult:
        match effect:
            case SaveCert():
                await may_end.wait()
                return CertSaved(key_swapped=True)
            case GenerateKey() | BuildCsr():
                return Failed(FailureKind.PERMS, "this is where the test ends")
            case _:
                raise AssertionError(effect)

    async with world(answer) as made:
        request = Request(
            id=Nickname("one"),
            state=State.NEED_TO_SAVE_CERT,
            cert="certificate",
            key_storage=KeyStorage(type=StorageType.FILE, location="/keys/one"),
            key=KeyRecord(type=KeyAlgorithm.EC, size=256, pubkey_info=b"old"),
            key_next=KeyRecord(type=KeyAlgorithm.EC, size=256, pubkey_info=b"new"),
            key_next_marker="candidate",
        )
        entry = made.begin(request)
        await made.until(lambda: (request.id, SaveCert()) in made.performer.asked)
        assert made.workers.deliver(entry, event)
        assert entry.request.state is State.SAVING_CERT
        may_end.set()
        await made.until(lambda: entry.request.state in {State.NEED_CSR, State.NEED_KEY_GEN_PERMS})
        # Who asked for a key gets one besides that which is the request's by now.
        assert entry.request.key.pubkey_info == b"new"
        assert entry.request.key_next_marker != "candidate"
        assert made.performer.asked.count((request.id, SaveCert())) == 1


async def test_what_cannot_be_stored_is_not_acted_upon(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: Request, effect: Effect) -> EffectResult:
        return await issue_key_and_csr(request, effect)

    async with world(answer) as made:
        made.files.is_full = True
        entry = made.add("waits")
        # Without a CA the request comes to rest, which is stored first.
        await made.until(lambda: entry.request.state is State.NEED_KEYINFO or "no space left" in caplog.text)
        assert made.files.requests == {}
        assert "no space left on device" in caplog.text


async def test_a_removed_request_is_not_stored_again() -> None:
    async with world(issue_key_and_csr) as made:
        entry = made.add("gone")
        await made.registry.persist_request(entry)
        made.files.delete_request(entry.file_name)
        made.registry.leave_request(entry)
        made.registry.set_request(entry, replace(entry.request, ca_error="changed"))
        await made.registry.persist_request(entry)
        assert made.files.requests == {}
        await made.workers.stop(entry)


async def test_what_is_said_to_be_stored_is_what_the_disk_ends_with() -> None:
    async with world(issue_key_and_csr) as made:
        files, registry = SlowFiles(), made.registry
        registry.files = files
        first = Request(id=Nickname("one"))
        entry = registry.enter_request(first, "file", first)
        other = replace(first, ca_error="something")
        registry.set_request(entry, other)
        saving = asyncio.create_task(registry.persist_request(entry))
        await made.until(files.began.is_set)
        registry.set_request(entry, first)
        # What is on disk is still the first value, but not for long.
        storing = asyncio.create_task(registry.persist_request(entry))
        await asyncio.sleep(0)
        assert not storing.done()
        files.may_end.set()
        await asyncio.gather(saving, storing)
        assert files.requests == {"file": first}


class SlowFiles(MemoryFiles):
    """Saves when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.may_end = threading.Event()

    def save_request(self, name: str, request: Request) -> None:
        self.began.set()
        assert self.may_end.wait(30)
        super().save_request(name, request)
