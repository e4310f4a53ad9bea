"""Changes of requests and CAs as D-Bus signals to everybody attached."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, Final, Protocol

from certmongerd.api import OBJECT_MANAGER_INTERFACE, PROPERTIES_INTERFACE, ROOT_PATH
from certmongerd.busapi.ca import CA
from certmongerd.busapi.extended_ca import EXTENDED_CA
from certmongerd.busapi.extended_request import EXTENDED_REQUEST
from certmongerd.busapi.marshal import (
    ADDED_OBJECT,
    CHANGES,
    AppendProperties,
    Marshalled,
    marshal_added_object,
    marshal_changes,
)
from certmongerd.busapi.request import REQUEST
from certmongerd.busapi.service import Service
from certmongerd.busapi.table import Changes, Interface, M
from certmongerd.busapi.transport import MessageKind, WireMessage, encode, encode_signal
from certmongerd.core.evolve import differing
from certmongerd.core.ids import CaName, ObjectPath
from certmongerd.core.model import Ca, Request

_STANDARD_NAMES: Final = ("org.freedesktop.DBus.Introspectable", PROPERTIES_INTERFACE)


_FREQUENT: Final = frozenset({"status", "stuck"})
"""Properties that most changes are about, and that have few values."""
_NOTHING: Final = Marshalled(b"")


def _body(
    interface: Interface[Any], changed: tuple[tuple[str, object], ...], invalidated: tuple[str, ...]
) -> Marshalled:
    append = partial(interface.marshal_values, values=changed)
    return marshal_changes(interface.name, append, invalidated)


_frequent_body: Final = lru_cache(maxsize=256)(_body)


def _no_properties(_: bytearray) -> None:
    """Of an interface that has none."""


class SignalSink(Protocol):
    """A connection that wants signals."""

    def emit(self, encoded: bytes) -> None:
        """Send a signal that was encoded under a placeholder serial. Never waits, never raises."""


class ChangeSignals:
    """Listens to the service and emits signals; also collects which properties callers named."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sinks: list[SignalSink] = []
        self._named: dict[ObjectPath, tuple[str, ...]] = {}

    def attach(self, sink: SignalSink) -> None:
        """Send every signal to *sink* from now on."""
        if sink not in self._sinks:
            self._sinks.append(sink)

    def detach(self, sink: SignalSink) -> None:
        """Send nothing more to *sink*."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    # What callers named (Announcer)

    @contextmanager
    def announcing(self, path: ObjectPath, names: tuple[str, ...]) -> Iterator[None]:
        """Inside, the next change signal of *path* carries *names* too; at the end they are sent if none came."""
        self._named[path] = self._named.get(path, ()) + names
        try:
            yield
        except BaseException:
            self._named.pop(path, None)
            raise
        named = self._named.pop(path, ())
        request, ca = self._service.requests().get(path), self._service.cas().get(path)
        if not named or not self._sinks:
            return
        if request is not None:
            self._changed(path, REQUEST, request, request, (), named)
        elif ca is not None:
            self._changed(path, CA, ca, ca, (), named)

    # Changes (ChangeListener)

    def request_added(self, path: ObjectPath, request: Request) -> None:
        """A request was added."""
        self._added(path, (REQUEST, EXTENDED_REQUEST), request)

    def request_changed(self, path: ObjectPath, old: Request, new: Request) -> None:
        """A request changed: one signal for each interface with changes."""
        named = self._named.pop(path, ()) if self._named else ()
        if self._sinks:
            fields = differing(old, new)
            self._changed(path, REQUEST, old, new, fields, named)
            self._changed(path, EXTENDED_REQUEST, old, new, fields)

    def request_removed(self, path: ObjectPath) -> None:
        """A request was removed."""
        self._removed(path, (REQUEST.name, EXTENDED_REQUEST.name))

    def certificate_saved(self, path: ObjectPath) -> None:
        """A certificate was stored and read back."""
        if self._sinks:
            self._send(encode_signal(path, REQUEST.name, "SavedCertificate", "", _NOTHING))

    def ca_added(self, path: ObjectPath, ca: Ca) -> None:
        """A CA was added; requests that name it have a CA again."""
        self._added(path, (CA, EXTENDED_CA), ca)
        self._reannounce_ca(ca.id)

    def ca_changed(self, path: ObjectPath, old: Ca, new: Ca) -> None:
        """A CA changed: one signal for each interface with changes."""
        named = self._named.pop(path, ()) if self._named else ()
        if self._sinks:
            fields = differing(old, new)
            self._changed(path, CA, old, new, fields, named)
            self._changed(path, EXTENDED_CA, old, new, fields)

    def ca_removed(self, path: ObjectPath) -> None:
        """A CA was removed; requests that name it have none now."""
        self._removed(path, (CA.name, EXTENDED_CA.name))
        self._reannounce_ca(None)

    # Sending

    def _reannounce_ca(self, name: CaName | None) -> None:
        """Announce property `ca` of the requests that name the CA *name*, or any CA that is not there."""
        if not self._sinks:
            return
        for path, request in self._service.requests().items():
            is_hit = request.ca_name == name if name else request.ca_name and not self._service.ca_path(request.ca_name)
            if is_hit:
                self._changed(path, REQUEST, request, request, (), ("ca",))

    def _changed(
        self,
        path: ObjectPath,
        interface: Interface[M],
        old: M,
        new: M,
        fields: tuple[str, ...],
        named: Collection[str] = (),
    ) -> None:
        changes: Changes | None = interface.changes(old, new, fields, self._service, named=named)
        if changes is not None:
            is_frequent = changes.changed.keys() <= _FREQUENT
            body = (_frequent_body if is_frequent else _body)(
                interface, tuple(changes.changed.items()), changes.invalidated
            )
            self._send(encode_signal(path, PROPERTIES_INTERFACE, "PropertiesChanged", CHANGES, body))

    def _added(self, path: ObjectPath, own: tuple[Interface[M], ...], value: M) -> None:
        if not self._sinks:
            return
        interfaces: dict[str, AppendProperties] = dict.fromkeys(_STANDARD_NAMES, _no_properties)
        for each in own:
            interfaces[each.name] = partial(each.marshal_properties, value=value, service=self._service)
        body = marshal_added_object(path, interfaces)
        self._send(encode_signal(ROOT_PATH, OBJECT_MANAGER_INTERFACE, "InterfacesAdded", ADDED_OBJECT, body))

    def _removed(self, path: ObjectPath, names: tuple[str, ...]) -> None:
        self._named.pop(path, None)
        if not self._sinks:
            return
        self._send(
            encode(
                WireMessage(
                    kind=MessageKind.SIGNAL,
                    serial=1,
                    path=ROOT_PATH,
                    interface=OBJECT_MANAGER_INTERFACE,
                    member="InterfacesRemoved",
                    signature="oas",
                    body=(path, (*_STANDARD_NAMES, *names)),
                    no_reply_expected=True,
                )
            )
        )

    def _send(self, encoded: bytes) -> None:
        for sink in tuple(self._sinks):
            sink.emit(encoded)
