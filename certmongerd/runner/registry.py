"""The daemon's one table of current requests and CAs, and their way to the disk."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypeVar

from certmongerd.api import CA_PATH_PREFIX, REQUEST_PATH_PREFIX
from certmongerd.busapi.service import ChangeListener
from certmongerd.core.ca_data import Phase
from certmongerd.core.choice import find_ca
from certmongerd.core.effects import Action, Idle
from certmongerd.core.errors import NameTaken
from certmongerd.core.events import Event
from certmongerd.core.evolve import replace
from certmongerd.core.ids import CaName, Nickname, ObjectPath
from certmongerd.core.index import RequestIndex
from certmongerd.core.machine import durable_image
from certmongerd.core.model import Ca, Request
from certmongerd.core.step import Context, Policy
from certmongerd.runner.clock import Alarm, Clock
from certmongerd.runner.executor import Executor
from certmongerd.runner.locks import LocationLocks
from certmongerd.runner.marker import new_marker
from certmongerd.store.repository import FileWork

_log = logging.getLogger(__name__)


CarryOut = Callable[[FileWork], Awaitable[None]]
"""Has it done. Raises what it raises."""


class StateFiles(Protocol):
    """Where requests and CAs are kept. Raises StateStoreError."""

    def next_request_name(self, now: datetime) -> str:
        """The name of a new request's file."""

    def creating_request(self, name: str, request: Request) -> FileWork:
        """What stores a new request; it raises NameTaken."""

    def saving_request(self, name: str, request: Request) -> FileWork:
        """What replaces the file."""

    def delete_request(self, name: str) -> None:
        """Delete the file; blocks."""

    def next_ca_name(self, now: datetime) -> str:
        """The name of a new CA's file."""

    def creating_ca(self, name: str, ca: Ca) -> FileWork:
        """What stores a new CA; it raises NameTaken."""

    def saving_ca(self, name: str, ca: Ca) -> FileWork:
        """What replaces the file."""

    def delete_ca(self, name: str) -> None:
        """Delete the file; blocks."""


_IDLE: Final = Idle()


@dataclass(slots=True, kw_only=True, eq=False)
class RequestEntry:
    """One request and what the engine is doing about it."""

    path: ObjectPath
    request: Request
    file_name: str = ""
    """Empty until it was stored for the first time."""
    stored: Request | None = None
    """What is on disk; None before the first time, and while or after that is uncertain."""
    action: Action = _IDLE
    generation: int = 0
    """Counts actions, so that the result of a replaced one is not mistaken for the present one's."""
    is_started: bool = False
    """Whether it is being worked on, or waits for its alarm or for somebody."""
    is_leaving: bool = False
    """Whether somebody is removing it: nothing more is begun for it."""
    worker: asyncio.Task[None] | None = None
    """There while something is being done. Most requests wait most of the time, and have none."""
    effect_task: asyncio.Task[object] | None = None
    postponed: tuple[Event, ...] = ()
    """What is to happen once the present effect has ended."""
    alarm: Alarm | None = None
    holds_hooks: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class CaEntry:
    """One CA and the tasks that gather its data."""

    path: ObjectPath
    ca: Ca
    file_name: str = ""
    stored: Ca | None = None
    save_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    phases: dict[Phase, asyncio.Task[None]] = field(default_factory=dict)
    unsettled: set[Phase] = field(default_factory=set)
    """Phases whose first answer since the last (re)start is still awaited."""
    scep_settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no SCEP data are awaited: what is missing then will not come at once."""
    scep_refetched: datetime | None = None
    """When they were last fetched again for a submission that failed."""
    roots_refetched: datetime | None = None
    """When the CA's certificates were last fetched again because something was issued by none of them."""


_V = TypeVar("_V")


class _View(Mapping[ObjectPath, _V]):
    """The values of a live table, read-only."""

    def __init__(self, paths: Mapping[ObjectPath, object], value: Callable[[ObjectPath], _V]) -> None:
        self._paths = paths
        self._value = value

    def __getitem__(self, path: ObjectPath) -> _V:
        return self._value(path)

    def __iter__(self) -> Iterator[ObjectPath]:
        return iter(list(self._paths))

    def __len__(self) -> int:
        return len(self._paths)


class Registry:
    """Entries by object path, in ascending number order; numbers are never used twice."""

    def __init__(self, files: StateFiles, executor: Executor, clock: Clock) -> None:
        self.files = files
        self.executor = executor
        self.clock = clock
        self.policy = Policy()
        self.requests: dict[ObjectPath, RequestEntry] = {}
        self.cas: dict[ObjectPath, CaEntry] = {}
        self.request_values: Mapping[ObjectPath, Request] = _View(
            self.requests, lambda path: self.requests[path].request
        )
        self.ca_values: Mapping[ObjectPath, Ca] = _View(self.cas, lambda path: self.cas[path].ca)
        self.index = RequestIndex()
        self._saving = LocationLocks()
        self._listeners: list[ChangeListener] = []
        self._ca_list: tuple[Ca, ...] | None = None
        """The values of `cas` as `context` hands them out; None after a change."""
        self._unused_marker = new_marker()
        self._last_request = 0
        self._last_ca = 0

    def subscribe(self, listener: ChangeListener) -> None:
        """Report every later change to *listener*."""
        self._listeners.append(listener)

    def tell(self, report: Callable[[ChangeListener], None]) -> None:
        """Report to every listener; one that fails does not keep the others from hearing it."""
        for listener in self._listeners:
            try:
                report(listener)
            except Exception:
                _log.exception("A change could not be announced")

    def enter_request(self, request: Request, file_name: str = "", stored: Request | None = None) -> RequestEntry:
        """Give *request* a number and a place in the table."""
        self._last_request += 1
        path = ObjectPath(f"{REQUEST_PATH_PREFIX}{self._last_request}")
        entry = RequestEntry(path=path, request=request, file_name=file_name, stored=stored)
        self.requests[path] = entry
        self.index.add(path, request)
        self.tell(lambda listener: listener.request_added(path, request))
        return entry

    def enter_ca(self, ca: Ca, file_name: str = "", stored: Ca | None = None) -> CaEntry:
        """Give *ca* a number and a place in the table."""
        self._last_ca += 1
        path = ObjectPath(f"{CA_PATH_PREFIX}{self._last_ca}")
        entry = CaEntry(path=path, ca=ca, file_name=file_name, stored=stored)
        self.cas[path] = entry
        self._ca_list = None
        self.tell(lambda listener: listener.ca_added(path, ca))
        return entry

    def leave_request(self, entry: RequestEntry) -> None:
        """Take an entry out of the table."""
        if self.requests.pop(entry.path, None) is not None:
            self.index.discard(entry.path, entry.request)
            self.tell(lambda listener: listener.request_removed(entry.path))

    def leave_ca(self, entry: CaEntry) -> None:
        """Take an entry out of the table."""
        if self.cas.pop(entry.path, None) is not None:
            self._ca_list = None
            self.tell(lambda listener: listener.ca_removed(entry.path))

    def set_request(self, entry: RequestEntry, request: Request) -> None:
        """Give an entry its next value and announce the change."""
        old, entry.request = entry.request, request
        if request.key_next_marker == self._unused_marker:
            self._unused_marker = new_marker()
        if entry.path in self.requests:
            self.index.change(entry.path, old, request)
        if request != old:
            if request.state is not old.state:
                about = {"request": request.id, "ca": request.ca_name, "state": request.state.value}
                _log.info('Request "%s" is in state %s', request.id, request.state.value, extra={"about": about})
            self.tell(lambda listener: listener.request_changed(entry.path, old, request))

    def set_ca(self, entry: CaEntry, ca: Ca) -> None:
        """Give an entry its next value and announce the change."""
        old, entry.ca = entry.ca, ca
        self._ca_list = None
        if ca != old:
            self.tell(lambda listener: listener.ca_changed(entry.path, old, ca))

    def ca_entry(self, name: CaName) -> CaEntry | None:
        """The CA called *name*, compared exactly."""
        return next((entry for entry in self.cas.values() if entry.ca.id == name), None)

    def context(self, request: Request) -> Context:
        """The surroundings in which *request* is stepped now."""
        if self._ca_list is None:
            self._ca_list = tuple(entry.ca for entry in self.cas.values())
        return Context(
            now=self.clock.now(),
            policy=self.policy,
            ca=find_ca(self._ca_list, request.ca_name) if request.ca_name else None,
            cas=self._ca_list,
            new_marker=self._unused_marker,
        )

    def unused_nickname(self) -> Nickname:
        """A time stamp as nickname; several in one second get a suffix."""
        stamp = self.clock.now().strftime("%Y%m%d%H%M%S")
        name, suffix = stamp, 0
        while self.index.named(name):
            suffix += 1
            name = f"{stamp}-{suffix}"
        return Nickname(name)

    def saving(self, entry: RequestEntry) -> AbstractAsyncContextManager[None]:
        """Inside, nobody else writes or removes the file of *entry*."""
        return self._saving.holding([entry.path])

    async def persist_request(self, entry: RequestEntry, carry_out: CarryOut | None = None) -> None:
        """Bring the disk up to date with *entry*, if it is not; *carry_out* may do more along with it.

        Raises StateStoreError.
        """
        if not self._saving.is_taken(entry.path) and entry.stored == durable_image(entry.request):
            return  # with the lock taken, something else may be on its way to the disk
        async with self.saving(entry):
            image = durable_image(entry.request)
            if entry.stored == image or entry.path not in self.requests:
                # Removed while this waited: a file written now would bring the request back.
                return
            carry_out = carry_out or self._write
            entry.stored = None  # nobody knows, should this be cancelled
            if entry.file_name:
                await carry_out(self.files.saving_request(entry.file_name, image))
            else:
                creating = self.files.creating_request
                entry.file_name = await self._create(self.files.next_request_name, creating, image, carry_out)
            entry.stored = image

    async def _write(self, work: FileWork) -> None:
        await self.executor.file_work(work)

    async def _create(
        self,
        next_name: Callable[[datetime], str],
        creating: Callable[[str, _V], FileWork],
        image: _V,
        carry_out: CarryOut,
    ) -> str:
        """Write a new state file; its name."""
        while True:
            name = next_name(self.clock.now())
            with suppress(NameTaken):  # by a file of the same second, from before the daemon was started
                await carry_out(creating(name, image))
                return name

    async def persist_ca(self, entry: CaEntry) -> None:
        """Bring the disk up to date with *entry*. Raises StateStoreError."""
        async with entry.save_lock:
            image = replace(entry.ca, error="", deployment_error="")
            if entry.stored == image or entry.path not in self.cas:
                return
            if entry.file_name:
                await self._write(self.files.saving_ca(entry.file_name, image))
            else:
                entry.file_name = await self._create(
                    self.files.next_ca_name, self.files.creating_ca, image, self._write
                )
            entry.stored = image
