"""An in-memory Service: what the bus sees of a daemon, without an engine or files."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from certmongerd.api import CA_PATH_PREFIX, REQUEST_PATH_PREFIX
from certmongerd.busapi.service import ChangeListener, RequestCommand, ScepQuery
from certmongerd.core.errors import QueryRefused, StateStoreError
from certmongerd.core.history import HistoryEntry
from certmongerd.core.ids import CaName, Nickname, ObjectPath
from certmongerd.core.model import Ca, KeyAlgorithm, Request
from certmongerd.core.simulation import Assumptions
from certmongerd.core.states import State


class FakeService:
    """Keeps objects in dictionaries; a state only changes when a test says so."""

    def __init__(self) -> None:
        self._requests: dict[ObjectPath, Request] = {}
        self._cas: dict[ObjectPath, Ca] = {}
        self._request_number = 0
        self._ca_number = 0
        self._listeners: list[ChangeListener] = []
        self.commands: list[tuple[ObjectPath, RequestCommand]] = []
        self.restarted: list[ObjectPath] = []
        self.refetched: list[ObjectPath] = []
        self.queries: list[ScepQuery] = []
        self.assumed: list[Assumptions] = []
        self.gate: asyncio.Event | None = None
        """When set, coroutines that change something wait for it."""
        self.failure: Exception | None = None
        self.forgetful = False
        """Whether challenge passwords serve once only."""
        """When set, coroutines that change something raise it."""

    def requests(self) -> Mapping[ObjectPath, Request]:
        return MappingProxyType(self._requests)

    def requests_named(self, nickname: str) -> tuple[ObjectPath, ...]:
        wanted = nickname.casefold()
        return tuple(path for path, request in self._requests.items() if request.id.casefold() == wanted)

    def requests_at(self, location: str) -> tuple[ObjectPath, ...]:
        return tuple(
            path
            for path, request in self._requests.items()
            if location in (request.cert_storage.location, request.key_storage.location)
        )

    def cas(self) -> Mapping[ObjectPath, Ca]:
        return MappingProxyType(self._cas)

    def ca_path(self, name: CaName) -> ObjectPath | None:
        return next((path for path, ca in self._cas.items() if ca.id == name), None)

    def ca_file(self, path: ObjectPath) -> str:
        return "/var/lib/certmonger/cas/" + path.rpartition("/")[2]

    def new_request(self) -> Request:
        return Request(id=Nickname(f"2026112311{self._request_number:04}"))

    def key_size(self, asked: KeyAlgorithm) -> int:
        return 521 if asked is KeyAlgorithm.EC else 2048

    def forgets_challenges(self) -> bool:
        return self.forgetful

    def notification(self) -> tuple[str, str]:
        return "SYSLOG", "daemon.notice"

    async def _trouble(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure

    async def add_request(self, request: Request) -> ObjectPath:
        await self._trouble()
        self._request_number += 1
        path = ObjectPath(f"{REQUEST_PATH_PREFIX}{self._request_number}")
        self._requests[path] = request
        for listener in self._listeners:
            listener.request_added(path, request)
        return path

    async def change_request(self, path: ObjectPath, change: Callable[[Request], Request], *, restart: bool) -> None:
        await self._trouble()
        if restart:
            self.restarted.append(path)
        self.set_request(path, change(self._requests[path]))

    def set_request(self, path: ObjectPath, new: Request) -> None:
        """What the engine does when a request changes."""
        old = self._requests[path]
        self._requests[path] = new
        if new != old:
            for listener in self._listeners:
                listener.request_changed(path, old, new)

    def set_state(self, path: ObjectPath, state: State) -> None:
        """A transition."""
        self.set_request(path, replace(self._requests[path], state=state))

    def save_certificate(self, path: ObjectPath) -> None:
        """Tell that the certificate was saved."""
        for listener in self._listeners:
            listener.certificate_saved(path)

    async def command_request(self, path: ObjectPath, command: RequestCommand) -> bool:
        await self._trouble()
        self.commands.append((path, command))
        return command is not RequestCommand.REFRESH or self._requests[path].state is State.CA_WORKING

    async def explain_request(self, path: ObjectPath) -> tuple[tuple[str, str], ...]:
        return (("state", self._requests[path].state.value),)

    async def request_history(self, path: ObjectPath) -> tuple[HistoryEntry, ...]:
        state = self._requests[path].state.value
        now = datetime(2026, 11, 23, 11, tzinfo=UTC)
        return (
            HistoryEntry(at=now, event="begin", state=state),
            HistoryEntry(
                at=now, event="unreachable", state=state, attempts=2, error="no", due=now + timedelta(minutes=1)
            ),
        )

    async def simulate(self, assumptions: Assumptions) -> str:
        self.assumed.append(assumptions)
        return "{}"

    async def query_scep(self, path: ObjectPath, query: ScepQuery) -> str:
        del path
        self.queries.append(query)
        if query.serial == 0xBAD:
            raise QueryRefused("the server does not know it")
        return "PEM"

    async def remove_request(self, path: ObjectPath) -> None:
        await self._trouble()
        del self._requests[path]
        for listener in self._listeners:
            listener.request_removed(path)

    async def add_ca(self, ca: Ca) -> ObjectPath:
        await self._trouble()
        self._ca_number += 1
        path = ObjectPath(f"{CA_PATH_PREFIX}{self._ca_number}")
        self._cas[path] = ca
        for listener in self._listeners:
            listener.ca_added(path, ca)
        return path

    async def change_ca(self, path: ObjectPath, change: Callable[[Ca], Ca], *, refetch: bool) -> None:
        await self._trouble()
        if refetch:
            self.refetched.append(path)
        old = self._cas[path]
        new = self._cas[path] = change(old)
        if new != old:
            for listener in self._listeners:
                listener.ca_changed(path, old, new)

    async def refresh_ca(self, path: ObjectPath) -> bool:
        await self._trouble()
        self.refetched.append(path)
        return True

    async def remove_ca(self, path: ObjectPath) -> None:
        await self._trouble()
        del self._cas[path]
        for listener in self._listeners:
            listener.ca_removed(path)

    def subscribe(self, listener: ChangeListener) -> None:
        self._listeners.append(listener)


def disk_full(path: str = "/var/lib/certmonger/requests/1") -> StateStoreError:
    """A typical storage failure."""
    return StateStoreError(path, "No space left on device")
