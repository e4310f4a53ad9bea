"""Calls in, replies out: the D-Bus interface as one object that any number of connections share."""

import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from certmongerd.api import (
    CA_PATH_PREFIX,
    ERROR_BAD_ARG,
    ERROR_CA_INTERNAL,
    ERROR_INTERNAL,
    ERROR_REQUEST_INTERNAL,
    ERROR_UNKNOWN_METHOD,
    INTROSPECTABLE_INTERFACE,
    PEER_INTERFACE,
    REQUEST_PATH_PREFIX,
)
from certmongerd.busapi.access import Access, AccessControl
from certmongerd.busapi.introspect import EMPTY_DOCUMENT
from certmongerd.busapi.objects import ObjectTree
from certmongerd.busapi.refusal import CallRefused, access_denied, unknown_method
from certmongerd.busapi.service import Caller, Service
from certmongerd.busapi.signals import ChangeSignals, SignalSink
from certmongerd.busapi.table import Answer, Arguments, Context
from certmongerd.busapi.transport import WireMessage, error_to, reply_to
from certmongerd.core.errors import CertmongerError, InvalidValue

_log = logging.getLogger(__name__)

_MACHINE_ID_FILES: Final = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_INTERNAL_ERROR: Final = "An internal error has occurred."


class CertmongerApi:
    """certmonger's D-Bus interface on top of a Service. Subscribes itself to the service's changes."""

    def __init__(
        self, service: Service, *, activity: Callable[[], None] | None = None, access: AccessControl | None = None
    ) -> None:
        """*activity* is called for each dispatched call, `Peer.Ping` excepted; without *access* nobody only reads."""
        self.signals = ChangeSignals(service)
        service.subscribe(self.signals)
        self._service = service
        self.context: Final = Context(service, self.signals)
        self._tree = ObjectTree(self.context)
        self._activity = activity
        self._access = access if access is not None else AccessControl()
        self._correlation = itertools.count(1)

    def attach(self, sink: SignalSink) -> None:
        """Send all signals to *sink* as well."""
        self.signals.attach(sink)

    def detach(self, sink: SignalSink) -> None:
        """Send no more signals to *sink*."""
        self.signals.detach(sink)

    async def handle(
        self, call: WireMessage, caller: Caller, *, pass_on: Callable[[], None] = lambda: None
    ) -> WireMessage | None:
        """Answer *call*; None when its sender wants no answer. Raises nothing but CancelledError.

        *pass_on* is called as soon as the caller's next call may begin, should that be before the answer.
        """
        if self._activity is not None and not _is_ping(call):
            self._activity()
        try:
            answer = await self._answer(call, caller, pass_on)
            reply = reply_to(call, answer.signature, answer.body)
        except CallRefused as refusal:
            reply = error_to(call, refusal.error_name, refusal.signature, refusal.body)
        except InvalidValue as exc:
            reply = error_to(call, ERROR_BAD_ARG, "ss", (exc.reason, exc.what))
        except CertmongerError as exc:
            _log.error("%s.%s on %s failed: %s", call.interface, call.member, call.path, exc)
            reply = error_to(call, _internal_name(call.path), "s", (str(exc),))
        except Exception:
            reply = self._unexpected(call)
        return None if call.no_reply_expected else reply

    async def _answer(self, call: WireMessage, caller: Caller, pass_on: Callable[[], None]) -> Answer:
        access = await self._access.of(caller)
        if access is Access.NOTHING:
            raise access_denied(self._access.refusal(caller))
        path, member = call.path or "", call.member or ""
        if call.interface == PEER_INTERFACE or (call.interface is None and member in ("Ping", "GetMachineId")):
            return _peer(member)
        node = self._tree.find(path)
        method = node.method(call.interface, member) if node is not None else None
        if method is None:
            if node is None and member == "Introspect" and call.interface in (None, INTROSPECTABLE_INTERFACE):
                return Answer("s", (EMPTY_DOCUMENT,))
            raise unknown_method(call)
        method.require_signature(call.signature)
        if access is not Access.EVERYTHING and not method.only_reads:
            raise access_denied(self._access.refusal(caller))
        try:
            return await method.invoke(Arguments(call.body, caller, pass_on, access is Access.EVERYTHING))
        except KeyError:
            if self._tree.find(path) is None:  # removed while the call waited
                raise unknown_method(call) from None
            raise

    def _unexpected(self, call: WireMessage) -> WireMessage:
        number = next(self._correlation)
        _log.exception("Internal error %d: %s.%s on %s", number, call.interface, call.member, call.path)
        return error_to(call, _internal_name(call.path), "s", (f"{_INTERNAL_ERROR} (number {number} in the log)",))


def _is_ping(call: WireMessage) -> bool:
    return call.member == "Ping" and call.interface in (None, PEER_INTERFACE)


def _internal_name(path: str | None) -> str:
    if path and path.startswith(REQUEST_PATH_PREFIX):
        return ERROR_REQUEST_INTERNAL
    return ERROR_CA_INTERNAL if path and path.startswith(CA_PATH_PREFIX) else ERROR_INTERNAL


def _peer(member: str) -> Answer:
    """org.freedesktop.DBus.Peer, which exists on every path."""
    if member == "Ping":
        return Answer()
    if member == "GetMachineId":
        return Answer("s", (_machine_id(),))
    text = f"Unknown method invoked on {PEER_INTERFACE} interface"
    raise CallRefused(ERROR_UNKNOWN_METHOD, "s", (text,))


def _machine_id() -> str:
    for name in _MACHINE_ID_FILES:
        try:
            return Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
    raise CertmongerError(f"This machine has no identity: neither of {', '.join(_MACHINE_ID_FILES)} can be read.")
