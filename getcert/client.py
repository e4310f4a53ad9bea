"""The daemon's D-Bus interface as methods; errors become what the user reads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from certmongerd.api import (
    BUS_NAME,
    CA_INTERFACE,
    DBUS_NAME,
    ERROR_ACCESS_DENIED,
    ERROR_DUPLICATE,
    ERROR_NAME_HAS_NO_OWNER,
    ERROR_NO_REPLY,
    ERROR_SERVICE_UNKNOWN,
    ERROR_UNKNOWN_METHOD,
    EXTENDED_CA_INTERFACE,
    EXTENDED_MANAGER_INTERFACE,
    EXTENDED_REQUEST_INTERFACE,
    MOST_LISTED,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    REQUEST_PATH_PREFIX,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.blocking import BlockingConnection, BusError, BusUnavailable, Call
from certmongerd.busapi.transport import Variant, WireMessage
from getcert.entries import CaEntry, HistoryEntry, Properties, RequestEntry, object_number, properties_of
from getcert.errors import EXIT_DUPLICATE, EXIT_FAILURE, CommandFailed

_HINTS: Final[Mapping[str, str]] = {
    ERROR_SERVICE_UNKNOWN: "Please verify that the certmonger service has been started.",
    ERROR_NAME_HAS_NO_OWNER: "Please verify that the certmonger service has been started.",
    ERROR_ACCESS_DENIED: "Insufficient access.  Please retry operation as root.",
    ERROR_NO_REPLY: "Please verify that the certmonger service is still running.",
}
SIMULATION_TIMEOUT_S: Final = 600.0
_AHEAD: Final = 4
"""Pages that are asked for at once."""
CALL_TIMEOUT_S: Final = 60.0
"""Adding and changing may wait for a key being generated, in certmonger at least."""


def _mapping(answer: Sequence[object]) -> Mapping[str, Any]:
    """The dictionary that is the only value of an answer. Raises CommandFailed."""
    values = answer[0] if answer else {}
    if not isinstance(values, Mapping):
        raise CommandFailed("Error parsing server response.")
    return values


_ManagedObjects = Mapping[str, Mapping[str, Mapping[str, object]]]
"""Path, interface, property."""


class Client:
    """Calls to one daemon. Every method raises CommandFailed when the call fails."""

    def __init__(self, connection: BlockingConnection, *, verbose: bool) -> None:
        self._connection = connection
        self._verbose = verbose
        self._has_pages = True
        self._managed: _ManagedObjects | None = None
        self._asked: frozenset[str] | None = None

    def ask_only(self, names: frozenset[str]) -> None:
        """From now on, of all objects at once ask for the properties called *names*: half the work for both sides."""
        self._asked, self._managed = names, None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _failure(self, error: BusError) -> CommandFailed:
        message = error.message.strip()
        lines = [_HINTS.get(error.name) or message or "Unknown DBus error."]
        if self._verbose:
            lines.append(f"Error {error.name}: {message}" if message else f"Error {error.name}")
        return CommandFailed(*lines, status=EXIT_DUPLICATE if error.name == ERROR_DUPLICATE else EXIT_FAILURE)

    def _raw_call(
        self, path: str, interface: str, member: str, signature: str = "", body: Sequence[object] = ()
    ) -> tuple[object, ...]:
        with self._reported():
            return self._connection.call(BUS_NAME, path, interface, member, signature, body, timeout_s=CALL_TIMEOUT_S)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn the loss of the connection into what the user reads."""
        try:
            yield
        except BusUnavailable as exc:
            lines = [f"No response received from {BUS_NAME} service."]
            if self._verbose:
                lines.append(f"Error: {exc.reason}")
            raise CommandFailed(*lines) from exc

    def _call(
        self, path: str, interface: str, member: str, signature: str = "", body: Sequence[object] = ()
    ) -> tuple[object, ...]:
        try:
            return self._raw_call(path, interface, member, signature, body)
        except BusError as exc:
            raise self._failure(exc) from exc

    def _text(self, path: str, interface: str, member: str) -> str:
        """The answer of a getter; unset values are answered with nothing."""
        answer = self._call(path, interface, member)
        return str(answer[0]) if answer else ""

    # Objects.

    def _properties(self, path: str, interface: str) -> Properties:
        return properties_of(_mapping(self._call(path, PROPERTIES_INTERFACE, "GetAll", "s", (interface,))))

    def _managed_objects(self) -> _ManagedObjects | None:
        """All objects, page by page; None when the daemon cannot do that.

        The answer is kept: a command looks at the objects before it changes anything.
        """
        if self._managed is not None or not self._has_pages:
            return self._managed
        managed: dict[str, Mapping[str, Mapping[str, object]]] = {}
        calls = [self._page(ROOT_PATH, ROOT_PATH)]
        while calls:
            with self._reported():
                answers = self._connection.call_all(BUS_NAME, calls, timeout_s=CALL_TIMEOUT_S)
            after = ""
            for answer in answers:
                if isinstance(answer, BusError):
                    if answer.name in _HINTS and answer.name != ERROR_ACCESS_DENIED:
                        raise self._failure(answer)
                    # certmonger does not know the interface, and its bus policy refuses it.
                    self._has_pages = False
                    return None
                page = _mapping(answer)
                if not page:
                    raise CommandFailed("Error parsing server response.")
                managed.update(page)
                if ROOT_PATH not in page:
                    after = list(page)[-1]
                    break  # what comes behind it follows it
            calls = self._pages(after) if after else []
        self._managed = managed
        return self._managed

    def _pages(self, after: str) -> list[Call]:
        """Calls for what follows the object at *after*.

        Of properties that were chosen several pages at once: while one is read here, the daemon puts together the next.
        """
        ends = [after]
        if self._asked is not None and after.startswith(REQUEST_PATH_PREFIX):
            ends += [f"{REQUEST_PATH_PREFIX}{object_number(after) + MOST_LISTED * page}" for page in range(1, _AHEAD)]
        return [self._page(begin, end) for begin, end in zip(ends, [*ends[1:], ROOT_PATH], strict=True)]

    def _page(self, after: str, until: str) -> Call:
        if self._asked is None:
            return Call(ROOT_PATH, EXTENDED_MANAGER_INTERFACE, "list_objects", "o", (after,))
        asked = (after, until, tuple(self._asked))
        return Call(ROOT_PATH, EXTENDED_MANAGER_INTERFACE, "list_properties", "ooas", asked)

    def _objects(self, member: str, interface: str) -> list[tuple[str, Properties]]:
        managed = self._managed_objects()
        if managed is None:
            return self._objects_one_by_one(self._paths(member), interface)
        found = [
            (path, properties_of(interfaces[interface], self._asked))
            for path, interfaces in managed.items()
            if interface in interfaces
        ]
        return sorted(found, key=lambda item: object_number(item[0]))

    def _objects_one_by_one(self, paths: Sequence[str], interface: str) -> list[tuple[str, Properties]]:
        """What is at *paths*, without objects that were removed in the meantime."""
        calls = [Call(path, PROPERTIES_INTERFACE, "GetAll", "s", (interface,)) for path in paths]
        with self._reported():
            answers = self._connection.call_all(BUS_NAME, calls, timeout_s=CALL_TIMEOUT_S)
        found = []
        for path, answer in zip(paths, answers, strict=True):
            if isinstance(answer, BusError):
                if answer.name == ERROR_UNKNOWN_METHOD:
                    continue
                raise self._failure(answer)
            found.append((path, properties_of(_mapping(answer))))
        return found

    def _paths(self, member: str) -> list[str]:
        answer = self._call(ROOT_PATH, ROOT_INTERFACE, member)
        paths = answer[0] if answer else ()
        return [str(path) for path in paths] if isinstance(paths, Iterable) else []

    def _path_of(self, member: str, nickname: str) -> str:
        """The path of the object called exactly *nickname*, empty when there is none."""
        answer = self._call(ROOT_PATH, ROOT_INTERFACE, member, "s", (nickname,))
        return str(answer[0]) if answer else ""

    def requests(self, *, named: str | None = None) -> list[RequestEntry]:
        """All requests in the daemon's order; only the one called *named*, if there is one spelled exactly so."""
        path = self._path_of("find_request_by_nickname", named) if named and self._managed is None else ""
        if path:
            return [RequestEntry(path, self._properties(path, REQUEST_INTERFACE), self._extended(path))]
        entries = self._objects("get_requests", REQUEST_INTERFACE)
        interface = EXTENDED_REQUEST_INTERFACE
        return [RequestEntry(path, known, self._managed_properties(path, interface)) for path, known in entries]

    def _managed_properties(self, path: str, interface: str) -> Properties:
        """What came with all objects in a single call, if they came that way."""
        return properties_of((self._managed or {}).get(path, {}).get(interface, {}), self._asked)

    def _extended(self, path: str) -> Properties:
        """What certmonger does not know of a request: nothing from certmonger."""
        try:
            answer = self._raw_call(path, PROPERTIES_INTERFACE, "GetAll", "s", (EXTENDED_REQUEST_INTERFACE,))
        except BusError:
            return Properties({})
        return properties_of(_mapping(answer))

    def request_count(self) -> int:
        """How many requests there are."""
        if self._managed is None:
            return len(self._paths("get_requests"))
        return sum(REQUEST_INTERFACE in interfaces for interfaces in self._managed.values())

    def request(self, path: str) -> RequestEntry:
        """One request as it is now."""
        return RequestEntry(path, self._properties(path, REQUEST_INTERFACE))

    def cas(self) -> list[CaEntry]:
        """All CAs in the daemon's order."""
        entries = self._objects("get_known_cas", CA_INTERFACE)
        return [CaEntry(path, known, self._managed_properties(path, EXTENDED_CA_INTERFACE)) for path, known in entries]

    def ca(self, path: str) -> CaEntry:
        """One CA."""
        if self._managed is not None and path in self._managed:
            return CaEntry(path, properties_of(self._managed[path][CA_INTERFACE], self._asked))
        return CaEntry(path, self._properties(path, CA_INTERFACE))

    def find_ca(self, name: str) -> CaEntry:
        """The CA called *name*, exactly or else without regard to case. Raises CommandFailed."""
        path = self._path_of("find_ca_by_nickname", name) if name else ""
        if path:
            return self.ca(path)
        for ca in self.cas():
            if ca.nickname.lower() == name.lower():
                return ca
        raise CommandFailed(f'No CA with name "{name}" found.')

    # Requests.

    def add_request(self, values: Mapping[str, Variant]) -> str | None:
        """Add a request; its path, None when the daemon did not take it."""
        added, *path = self._call(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (dict(values),))
        return str(path[0]) if added and path else None

    def modify_request(self, path: str, values: Mapping[str, Variant]) -> bool:
        """Change a request. Nothing to change is a success (certmonger does not answer an empty call)."""
        if not values:
            return True
        answer = self._call(path, REQUEST_INTERFACE, "modify", "a{sv}", (dict(values),))
        return bool(answer and answer[0])

    def command_request(self, path: str, member: str) -> bool:
        """`resubmit`, `rekey` or `refresh`."""
        answer = self._call(path, REQUEST_INTERFACE, member)
        return bool(answer and answer[0])

    def remove_request(self, path: str) -> bool:
        """Stop tracking."""
        answer = self._call(ROOT_PATH, ROOT_INTERFACE, "remove_request", "o", (path,))
        return bool(answer and answer[0])

    def request_nickname(self, path: str) -> str:
        """The name of a request, for one that was just added."""
        return self._text(path, REQUEST_INTERFACE, "get_nickname")

    def request_status(self, path: str) -> tuple[str, bool]:
        """State and whether the request is stuck."""
        state, stuck = self._call(path, REQUEST_INTERFACE, "get_status")
        return str(state), bool(stuck)

    def request_ca_name(self, path: str) -> str:
        """The name of a request's CA, empty without one."""
        ca_path = self._text(path, REQUEST_INTERFACE, "get_ca")
        return self._text(ca_path, CA_INTERFACE, "get_nickname") if ca_path else ""

    def explain_request(self, path: str) -> list[tuple[str, str]]:
        """Labels and texts about how a request stands."""
        (facts,) = self._call(path, EXTENDED_REQUEST_INTERFACE, "explain")
        return [(str(label), str(text)) for label, text in facts] if isinstance(facts, Iterable) else []

    def request_history(self, path: str) -> list[HistoryEntry]:
        """What happened to a request, oldest first."""
        (entries,) = self._call(path, EXTENDED_REQUEST_INTERFACE, "history")
        return [HistoryEntry(*entry) for entry in entries] if isinstance(entries, Iterable) else []

    def simulate(self, until: int, outages: Sequence[tuple[str, int, int]], delay_s: int, life_s: int) -> str:
        """A JSON document about what is to come until a Unix time; 0 means no delay, and the lives there are."""
        with self._reported():
            (document,) = self._connection.call(
                BUS_NAME,
                ROOT_PATH,
                EXTENDED_MANAGER_INTERFACE,
                "simulate",
                "xa(sxx)xx",
                (until, list(outages), delay_s, life_s),
                timeout_s=SIMULATION_TIMEOUT_S,
            )
        return str(document)

    def scep_crl(self, path: str) -> str:
        """PEM of the revocation list that the request's SCEP server gives."""
        return self._text(path, EXTENDED_REQUEST_INTERFACE, "get_crl")

    def scep_certificate(self, path: str, serial: str) -> str:
        """PEM of the certificate with a serial number, hexadecimal; empty means the one held."""
        (pem,) = self._call(path, EXTENDED_REQUEST_INTERFACE, "get_cert", "s", (serial,))
        return str(pem)

    def apply(self, name: str, document: str, *, dry_run: bool, prune: bool) -> list[tuple[str, str]]:
        """Have a document applied; effects and texts, one pair for each thing that was looked at."""
        body = (name, document, dry_run, prune)
        (outcomes,) = self._call(ROOT_PATH, EXTENDED_MANAGER_INTERFACE, "apply", "ssbb", body)
        return [(str(effect), str(text)) for effect, text in outcomes] if isinstance(outcomes, Iterable) else []

    def supported_key_types(self) -> list[str]:
        """Types of keys the daemon can make."""
        return self._paths("get_supported_key_types")

    # CAs.

    def add_ca(self, name: str, command: str) -> str | None:
        """Add a CA with a helper; its path, None when the daemon did not take it."""
        added, *path = self._call(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", (name, command, []))
        return str(path[0]) if added and path else None

    def set_ca_text(self, path: str, name: str, value: str) -> None:
        """Change a string property of a CA."""
        self._call(path, PROPERTIES_INTERFACE, "Set", "ssv", (CA_INTERFACE, name, Variant("s", value)))

    def remove_ca(self, path: str) -> bool:
        """Forget a CA."""
        answer = self._call(ROOT_PATH, ROOT_INTERFACE, "remove_known_ca", "o", (path,))
        return bool(answer and answer[0])

    def refresh_ca(self, path: str) -> bool:
        """Ask a CA for all its data again."""
        answer = self._call(path, CA_INTERFACE, "refresh")
        return bool(answer and answer[0])

    def ca_type(self, ca: CaEntry) -> str:
        """`EXTERNAL` or `INTERNAL:SELF`. Asks the daemon when the entry does not tell; so do the following."""
        return self._told(ca, "type", "get_type")

    def ca_next_serial(self, ca: CaEntry) -> str:
        """Hexadecimal; empty for a CA that has none."""
        return self._told(ca, "next-serial", "get_serial")

    def ca_file(self, ca: CaEntry) -> str:
        """The daemon's file about the CA; empty without one."""
        return self._told(ca, "file", "get_config_file_path")

    def _told(self, ca: CaEntry, name: str, member: str) -> str:
        return ca.extended.text(name) if ca.extended.values else self._text(ca.path, CA_INTERFACE, member)

    # Signals.

    def subscribe(self, path: str) -> bool:
        """Ask for the signals of one object; False where there are none (certmonger's private socket)."""
        rule = f"type='signal',interface='{PROPERTIES_INTERFACE}',path='{path}'"
        return self._has_matches(rule)

    def subscribe_to_all(self) -> bool:
        """Ask for all signals of the daemon, and for news of the daemon itself; False as for `subscribe`."""
        changes = f"type='signal',sender='{BUS_NAME}',path_namespace='{ROOT_PATH}'"
        owner = f"type='signal',sender='{DBUS_NAME}',member='NameOwnerChanged',arg0='{BUS_NAME}'"
        return self._has_matches(changes, owner)

    def _has_matches(self, *rules: str) -> bool:
        try:
            for rule in rules:
                self._connection.add_match(rule)
        except BusError:
            return False
        except BusUnavailable as exc:
            raise self._lost() from exc
        return True

    def next_signal(self, timeout_s: float) -> WireMessage | None:
        """The next signal, None when none comes within *timeout_s* seconds."""
        try:
            return self._connection.next_signal(timeout_s)
        except BusUnavailable as exc:
            raise self._lost() from exc

    @staticmethod
    def daemon_came_or_went(signal: WireMessage) -> bool | None:
        """Whether a daemon is there now, None when *signal* is about something else."""
        if signal.interface != DBUS_NAME or signal.member != "NameOwnerChanged" or signal.body[:1] != (BUS_NAME,):
            return None
        return bool(signal.body[2])

    def forget(self) -> None:
        """Read all objects again when they are asked for next."""
        self._managed = None

    @staticmethod
    def _lost() -> CommandFailed:
        return CommandFailed(f"No response received from {BUS_NAME} service.")

    def pause(self, timeout_s: float) -> None:
        """Sleep until a signal comes, at most *timeout_s* seconds; a burst of signals counts as one."""
        if self.next_signal(timeout_s) is not None:
            while self.next_signal(0) is not None:
                pass
