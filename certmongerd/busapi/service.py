"""What the bus needs from the daemon: the seam between D-Bus and the engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from certmongerd.core.history import HistoryEntry
from certmongerd.core.ids import CaName, ObjectPath
from certmongerd.core.model import Ca, KeyAlgorithm, Request
from certmongerd.core.simulation import Assumptions


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a call."""

    uid: int | None
    """User id; None when the bus could not tell."""
    pid: int | None = None


class RequestCommand(Enum):
    """Operations on one request that its state machine decides about."""

    RESUBMIT = "resubmit"
    REKEY = "rekey"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScepQuery:
    """A question to a SCEP server that changes nothing (RFC 8894 sections 3.3.4 and 3.3.5)."""

    wants_crl: bool
    """GetCRL for the CA of the certificate held; otherwise GetCert."""
    serial: int | None = None
    """Of the certificate wanted; None for the one held."""


class ChangeListener(Protocol):
    """Told of every change, synchronously, in the order in which they happen."""

    def request_added(self, path: ObjectPath, request: Request) -> None:
        """A request was added."""

    def request_changed(self, path: ObjectPath, old: Request, new: Request) -> None:
        """A request changed; *old* and *new* differ."""

    def request_removed(self, path: ObjectPath) -> None:
        """A request was removed."""

    def certificate_saved(self, path: ObjectPath) -> None:
        """A certificate was stored and read back."""

    def ca_added(self, path: ObjectPath, ca: Ca) -> None:
        """A CA was added."""

    def ca_changed(self, path: ObjectPath, old: Ca, new: Ca) -> None:
        """A CA changed; *old* and *new* differ."""

    def ca_removed(self, path: ObjectPath) -> None:
        """A CA was removed."""


class Service(Protocol):
    """The daemon as the bus sees it. Coroutines return once the change is on disk."""

    def requests(self) -> Mapping[ObjectPath, Request]:
        """All requests in ascending number order; the mapping is live and read-only."""

    def requests_named(self, nickname: str) -> tuple[ObjectPath, ...]:
        """Requests with *nickname*, without regard to case."""

    def requests_at(self, location: str) -> tuple[ObjectPath, ...]:
        """Requests that keep their key or their certificate in the file or database *location*."""

    def cas(self) -> Mapping[ObjectPath, Ca]:
        """All CAs in ascending number order; the mapping is live and read-only."""

    def ca_path(self, name: CaName) -> ObjectPath | None:
        """The path of the CA called *name* (exact), None when there is none."""

    def ca_file(self, path: ObjectPath) -> str:
        """The state file of a CA."""

    def new_request(self) -> Request:
        """A request with a fresh generated nickname and the configuration's defaults; nothing is registered."""

    def key_size(self, asked: KeyAlgorithm) -> int:
        """Bits of new keys for a request that asks for the algorithm *asked*, but not for a size."""

    def forgets_challenges(self) -> bool:
        """Whether a challenge password is taken out of a request once it has its first certificate."""

    def notification(self) -> tuple[str, str]:
        """Method and destination of notifications as configured."""

    async def add_request(self, request: Request) -> ObjectPath:
        """Register, store and start *request*. Raises StateStoreError; then nothing was added."""

    async def change_request(self, path: ObjectPath, change: Callable[[Request], Request], *, restart: bool) -> None:
        """Apply *change* to the request's current value and store it; *restart* steps it as after a modification."""

    async def command_request(self, path: ObjectPath, command: RequestCommand) -> bool:
        """Carry out *command*; False when the present state refuses it."""

    async def explain_request(self, path: ObjectPath) -> tuple[tuple[str, str], ...]:
        """Why the request stands where it stands: labels and texts."""

    async def request_history(self, path: ObjectPath) -> tuple[HistoryEntry, ...]:
        """What happened to the request, oldest first. Raises StateStoreError."""

    async def simulate(self, assumptions: Assumptions) -> str:
        """What will become of everything that is tracked: a JSON document."""

    async def query_scep(self, path: ObjectPath, query: ScepQuery) -> str:
        """Ask the request's SCEP server for what *query* names; PEM. Raises QueryRefused."""

    async def remove_request(self, path: ObjectPath) -> None:
        """Stop tracking; key and certificate stay."""

    async def add_ca(self, ca: Ca) -> ObjectPath:
        """Register, store and start *ca*. Raises StateStoreError; then nothing was added."""

    async def change_ca(self, path: ObjectPath, change: Callable[[Ca], Ca], *, refetch: bool) -> None:
        """Apply *change* and store it; *refetch* asks the CA for all its data again."""

    async def refresh_ca(self, path: ObjectPath) -> bool:
        """Ask the CA for all its data again."""

    async def remove_ca(self, path: ObjectPath) -> None:
        """Forget the CA; requests keep its nickname."""

    def subscribe(self, listener: ChangeListener) -> None:
        """Report every later change to *listener*."""
