"""The engine: what the bus asks for, carried out on the table of requests and CAs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from certmongerd.busapi.service import ChangeListener, RequestCommand, ScepQuery
from certmongerd.config.settings import Settings
from certmongerd.core.errors import CertmongerError, StateStoreError
from certmongerd.core.events import Begin, CaChanged, Event, Refresh, Rekey, Resubmit
from certmongerd.core.evolve import replace
from certmongerd.core.explain import Fact
from certmongerd.core.history import HistoryEntry
from certmongerd.core.ids import CaName, ObjectPath
from certmongerd.core.machine import adopt_certificate, adopt_key, with_ca_certs_to_save
from certmongerd.core.model import Ca, CaCertLocations, KeyAlgorithm, KeyRecord, Request, StorageType
from certmongerd.core.simulation import Assumptions
from certmongerd.core.states import State
from certmongerd.runner.ca_worker import CaWorkers
from certmongerd.runner.disk import LoadedState, look_at_disk, way_in
from certmongerd.runner.history import HistoryKeeper
from certmongerd.runner.registry import CaEntry, Registry, RequestEntry
from certmongerd.runner.request_worker import RequestWorkers
from certmongerd.runner.simulation import Simulations
from certmongerd.runner.submission import Submissions
from certmongerd.store.repository import FileWork

_log = logging.getLogger(__name__)

_RESUMED_AT_ONCE: Final = 16
"""Requests whose files are looked at at once after the start: as many as keep the threads busy."""
_COMMANDS: Final[Mapping[RequestCommand, Event]] = {
    RequestCommand.RESUBMIT: Resubmit(),
    RequestCommand.REKEY: Rekey(),
    RequestCommand.REFRESH: Refresh(),
}


@dataclass(slots=True, kw_only=True)
class Engine:
    """Implements `certmongerd.busapi.service.Service`."""

    registry: Registry
    request_workers: RequestWorkers
    ca_workers: CaWorkers
    submissions: Submissions
    discard_candidate: Callable[[Request], Awaitable[None]]
    """Removes the candidate key of a request that nothing is being done for, if there is one."""
    store_new: Callable[[Request, FileWork], Awaitable[None]]
    """Stores a new request, along with what else is begun for it. Raises StateStoreError."""
    histories: HistoryKeeper
    simulations: Simulations
    tasks: asyncio.TaskGroup
    settings: Callable[[], Settings]
    cas_dir: str
    loaded: list[RequestEntry] = field(default_factory=list)
    """Requests that were on disk at the start and are not worked on yet."""

    # Reading

    def requests(self) -> Mapping[ObjectPath, Request]:
        """All requests in ascending number order."""
        return self.registry.request_values

    def requests_named(self, nickname: str) -> tuple[ObjectPath, ...]:
        """Requests with *nickname*, without regard to case."""
        return self.registry.index.named(nickname)

    def requests_at(self, location: str) -> tuple[ObjectPath, ...]:
        """Requests that keep their key or their certificate in the file or database *location*."""
        return self.registry.index.at(location)

    def cas(self) -> Mapping[ObjectPath, Ca]:
        """All CAs in ascending number order."""
        return self.registry.ca_values

    def ca_path(self, name: CaName) -> ObjectPath | None:
        """The path of the CA called *name*."""
        entry = self.registry.ca_entry(name)
        return entry.path if entry is not None else None

    def ca_file(self, path: ObjectPath) -> str:
        """The state file of a CA."""
        return f"{self.cas_dir}/{self.registry.cas[path].file_name}"

    def new_request(self) -> Request:
        """A request with a fresh nickname and the configuration's defaults; nothing is registered."""
        settings = self.settings()
        return Request(
            id=self.registry.unused_nickname(),
            key=KeyRecord(gen_type=settings.key_type, gen_size=settings.key_size(None)),
        )

    def key_size(self, asked: KeyAlgorithm) -> int:
        """Bits of new keys for a request that asks for an algorithm, but not for a size."""
        return self.settings().key_size(asked)

    def forgets_challenges(self) -> bool:
        """Whether a challenge password is taken out of a request once it has its first certificate."""
        return self.settings().challenge_password_otp

    def notification(self) -> tuple[str, str]:
        """Method and destination of notifications as configured."""
        settings = self.settings()
        return str(settings.notification_method), settings.notification_destination

    def subscribe(self, listener: ChangeListener) -> None:
        """Report every later change to *listener*."""
        self.registry.subscribe(listener)

    def reconsider(self) -> None:
        """Let what is being watched be looked at again, after settings changed that say when it is due."""
        for entry in list(self.registry.requests.values()):
            if entry.request.state is State.MONITORING and entry.is_started:
                self.request_workers.deliver(entry, Begin())

    # Requests

    async def add_request(self, request: Request) -> ObjectPath:
        """Register, store and start *request*. Raises StateStoreError; then nothing was added."""
        entry = self.registry.enter_request(request)
        try:
            await self.registry.persist_request(entry, partial(self.store_new, request))
        except BaseException:
            self.registry.leave_request(entry)
            raise
        if entry.path in self.registry.requests:
            self.request_workers.start(entry, self.tasks)
        else:  # a quick client has removed it while it was being stored
            await self.discard_candidate(request)
        return entry.path

    async def change_request(self, path: ObjectPath, change: Callable[[Request], Request], *, restart: bool) -> None:
        """Apply *change* and store it; *restart* steps the request as after a modification.

        Raises StateStoreError; then the change is undone.
        """
        entry = self.registry.requests[path]
        before = entry.request
        changed = change(before)
        if restart:
            changed = with_ca_certs_to_save(before, changed)
        self.registry.set_request(entry, changed)
        try:
            await self.registry.persist_request(entry)
        except CertmongerError:
            if entry.request is changed:
                self.registry.set_request(entry, before)
            raise
        if restart:
            self.request_workers.deliver(entry, Begin())

    async def command_request(self, path: ObjectPath, command: RequestCommand) -> bool:
        """Carry out *command*; False when the present state refuses it."""
        entry = self.registry.requests[path]
        accepted = self.request_workers.deliver(entry, _COMMANDS[command])
        await self.registry.persist_request(entry)
        return accepted

    async def explain_request(self, path: ObjectPath) -> tuple[Fact, ...]:
        """Why the request stands where it stands: labels and texts."""
        from certmongerd.runner.explanation import explain_request  # brings a library for SCEP messages

        entry = self.registry.requests[path]
        context = self.registry.context(entry.request)
        return await self.registry.executor.io(explain_request, entry.request, context)

    async def request_history(self, path: ObjectPath) -> tuple[HistoryEntry, ...]:
        """What happened to the request, oldest first. Raises StateStoreError."""
        return await self.histories.read(self.registry.requests[path])

    async def simulate(self, assumptions: Assumptions) -> str:
        """What will become of everything that is tracked: a JSON document."""
        return await self.simulations.run(assumptions)

    async def query_scep(self, path: ObjectPath, query: ScepQuery) -> str:
        """Ask the request's SCEP server for what *query* names; PEM. Raises QueryRefused."""
        return await self.submissions.query_scep(self.registry.requests[path].request, query)

    async def remove_request(self, path: ObjectPath) -> None:
        """Stop tracking; key and certificate stay. Raises StateStoreError; then it is still tracked."""
        entry = self.registry.requests[path]
        _log.info('Request "%s" is being removed', entry.request.id)
        entry.is_leaving = True  # a daemon that answers already may not have begun to work on it
        await self.request_workers.stop(entry)
        # A candidate key, of which nobody would know any more, goes first.
        await self.discard_candidate(entry.request)
        try:
            async with self.registry.saving(entry):
                await self.registry.executor.io(self.registry.files.delete_request, entry.file_name)
                self.registry.leave_request(entry)
        except StateStoreError:
            if entry.path in self.registry.requests:
                entry.is_leaving = False
                self.request_workers.start(entry, self.tasks)
            raise

    # CAs

    async def add_ca(self, ca: Ca) -> ObjectPath:
        """Register, store and start *ca*. Raises StateStoreError; then nothing was added."""
        entry = self.registry.enter_ca(ca)
        try:
            await self.registry.persist_ca(entry)
        except BaseException:
            self.registry.leave_ca(entry)
            raise
        if entry.path in self.registry.cas:
            self.ca_workers.start(entry, self.tasks)
            self.wake_requests(ca)
        return entry.path

    async def change_ca(self, path: ObjectPath, change: Callable[[Ca], Ca], *, refetch: bool) -> None:
        """Apply *change* and store it; *refetch* asks the CA for all its data again."""
        entry = self.registry.cas[path]
        before = entry.ca
        self.registry.set_ca(entry, change(before))
        if entry.ca.is_default and not before.is_default:
            await self._only_default(entry)
        await self.registry.persist_ca(entry)
        if refetch:
            self.ca_workers.start(entry, self.tasks)
            self.wake_requests(entry.ca)
        if entry.ca.ca_certs != before.ca_certs:
            self.ca_workers.restore_certificates(entry, self.tasks)

    async def _only_default(self, entry: CaEntry) -> None:
        for other in list(self.registry.cas.values()):
            if other is not entry and other.ca.is_default:
                self.registry.set_ca(other, replace(other.ca, is_default=False))
                await self.registry.persist_ca(other)

    async def refresh_ca(self, path: ObjectPath) -> bool:
        """Ask the CA for all its data again; what is known is put back where it is missing meanwhile."""
        entry = self.registry.cas[path]
        self.ca_workers.start(entry, self.tasks)
        self.ca_workers.restore_certificates(entry, self.tasks)
        return True

    async def remove_ca(self, path: ObjectPath) -> None:
        """Forget the CA; requests keep its nickname. Raises StateStoreError; then it is still there."""
        entry = self.registry.cas[path]
        async with entry.save_lock:
            await self.registry.executor.io(self.registry.files.delete_ca, entry.file_name)
            self.registry.leave_ca(entry)
        await self.ca_workers.stop(entry)

    def wake_requests(self, ca: Ca) -> None:
        """Tell the requests of *ca*, and those that wait for a CA of its name, that there is news."""
        for entry in list(self.registry.requests.values()):
            if entry.request.ca_name == ca.id and entry.is_started:
                self.request_workers.deliver(entry, CaChanged())

    def ca_locations(self, ca: Ca) -> tuple[CaCertLocations, ...]:
        """Everywhere the certificates of *ca* are wanted: by itself and by its requests."""
        requests = (entry.request for entry in self.registry.requests.values())
        return (ca.ca_certs, *(request.ca_certs for request in requests if request.ca_name == ca.id))

    # Start and end

    def load(self, loaded: LoadedState) -> None:
        """Enter what was on disk into the table; nothing is started."""
        for name, ca in loaded.cas:
            self.registry.enter_ca(ca, name, ca if name else None)
        for name, request in loaded.requests:
            self.loaded.append(self.registry.enter_request(request, name, request))

    async def begin(self) -> None:
        """Work on everything that was loaded. Raises StateStoreError."""
        self.tasks.create_task(self.histories.keep(), name="histories")
        for ca_entry in list(self.registry.cas.values()):
            await self.registry.persist_ca(ca_entry)
            self.ca_workers.start(ca_entry, self.tasks)
        # What clients have added since is at work already; a second worker would make a second key.
        in_files = []
        for group in self._loaded_groups():
            if self.registry.executor.is_quick(_kept_in(group[0].request)):
                in_files.append(group)
            else:  # tokens may hang; nobody waits for that with the start
                self.tasks.create_task(self._resume(group), name=f"look for {group[0].request.id}")
        self.loaded.clear()
        waiting = iter(in_files)
        await asyncio.gather(*(self._resume_all(waiting) for _ in range(_RESUMED_AT_ONCE)))

    async def _resume_all(self, waiting: Iterator[list[RequestEntry]]) -> None:
        """Take one group after the other out of what several of these share."""
        for group in waiting:
            await self._resume(group)

    def _loaded_groups(self) -> list[list[RequestEntry]]:
        """What was loaded; together what can be looked for together."""
        groups: dict[Hashable, list[RequestEntry]] = {}
        for entry in self.loaded:
            together = way_in(entry.request)
            groups.setdefault(entry.path if together is None else together, []).append(entry)
        return list(groups.values())

    async def _resume(self, entries: Sequence[RequestEntry]) -> None:
        """Adopt what key and certificate locations hold now, then go on where the requests stood."""
        kept_in = _kept_in(entries[0].request)
        found = await self.registry.executor.store(kept_in, look_at_disk, [entry.request for entry in entries])
        for entry, seen in zip(entries, found, strict=True):
            if entry.path not in self.registry.requests:
                continue  # a client was faster, and removed it
            request = entry.request
            if seen.key is not None:
                request = adopt_key(request, seen.key)
            if seen.cert is not None:
                request = adopt_certificate(request, seen.cert)
            self.registry.set_request(entry, request)
            self.request_workers.start(entry, self.tasks, with_daemon=True)

    def stop(self) -> None:
        """Begin to end all work. What it comes to from now on, a helper's end by signal say, is nobody's outcome."""
        for entry in self.registry.requests.values():
            self.request_workers.begin_to_stop(entry)
        for ca_entry in self.registry.cas.values():
            for phase in ca_entry.phases.values():
                phase.cancel()


def _kept_in(request: Request) -> set[StorageType]:
    return {request.key_storage.type, request.cert_storage.type}
