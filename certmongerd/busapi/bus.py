"""The daemon on a message bus: name, calls, callers, signals."""

import asyncio
import logging
import os
from collections import OrderedDict
from typing import Final

from certmongerd.api import BUS_NAME, DBUS_NAME, DBUS_PATH, ERROR_LIMITS_EXCEEDED
from certmongerd.busapi.address import InvalidAddress, parse_addresses
from certmongerd.busapi.calls import CallQueues, Turn
from certmongerd.busapi.connection import Connection, log_failure
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.faults import BusError, BusUnavailable, NameTaken
from certmongerd.busapi.sasl import AuthenticationRejected, ClientAuthentication
from certmongerd.busapi.service import Caller
from certmongerd.busapi.transport import Decoder, Variant, WireMessage, error_to
from certmongerd.core.errors import RemoteProtocolError

_log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S: Final = 30.0
_READ_BYTES: Final = 4096
_MAX_KNOWN_CALLERS: Final = 1000
_PRIMARY_OWNER: Final = (1, 4)
"""Answers of RequestName that mean the name is ours: just now, or already."""


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        entries = parse_addresses(address)
    except InvalidAddress as exc:
        raise BusUnavailable(address, exc.reason) from exc
    failure = BusUnavailable(address, "no entry")
    for entry in entries:
        try:
            return await asyncio.open_unix_connection(entry.socket_name())
        except InvalidAddress as exc:
            failure = BusUnavailable(address, exc.reason)
        except OSError as exc:
            failure = BusUnavailable(address, exc.strerror or str(exc))
    raise failure


async def _authenticate(address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Decoder:
    client = ClientAuthentication(os.geteuid())
    try:
        writer.write(client.start())
        while not client.finished:
            data = await reader.read(_READ_BYTES)
            if not data:
                raise BusUnavailable(address, "the bus closed the connection during authentication")
            writer.write(client.receive(data))
            await writer.drain()
    except (AuthenticationRejected, RemoteProtocolError) as exc:
        raise BusUnavailable(address, str(exc)) from exc
    except ConnectionError as exc:
        raise BusUnavailable(address, exc.strerror or str(exc)) from exc
    decoder = Decoder(is_from_bus=True)
    decoder.append(client.leftover())
    return decoder


class BusConnection:
    """The daemon's connection to one bus. Made by `connect`; the owner awaits `lost` and calls `close`."""

    def __init__(self, connection: Connection, api: CertmongerApi) -> None:
        self._connection = connection
        self._api = api
        self._calls = CallQueues(self._handle)
        self._callers: OrderedDict[str, Caller] = OrderedDict()
        self._is_behind = False
        self._task = asyncio.create_task(
            connection.run(self._on_call, self._calls.idle), name=f"bus connection {connection.label}"
        )
        self._task.add_done_callback(log_failure)
        self.unique_name = ""

    @property
    def lost(self) -> asyncio.Event:
        """Set when the bus is gone."""
        return self._connection.lost

    @classmethod
    async def connect(cls, address: str, api: CertmongerApi, *, name: str = BUS_NAME) -> "BusConnection":
        """Connect, register and take *name*; calls are answered from then on.

        Raises BusUnavailable, NameTaken; then nothing is left open.
        """
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                reader, writer = await _open(address)
                try:
                    decoder = await _authenticate(address, reader, writer)
                except BaseException:
                    writer.close()
                    raise
                bus = cls(Connection(reader, writer, label=address, decoder=decoder), api)
                try:
                    await bus._register(address, name)
                except BaseException:
                    await bus.close()
                    raise
        except TimeoutError as exc:
            raise BusUnavailable(address, "the bus does not answer") from exc
        return bus

    async def _register(self, address: str, name: str) -> None:
        """Hello, then the name, without queueing for it (certmonger does not ask others to give it up either)."""
        try:
            (unique_name,) = await self._connection.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, "Hello")
            self.unique_name = str(unique_name)
            self._api.attach(self)
            (result,) = await self._connection.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, "RequestName", "su", (name, 0))
        except BusError as exc:
            raise BusUnavailable(address, f'name "{name}" was refused: {exc.message or exc.name}') from exc
        if result not in _PRIMARY_OWNER:
            raise NameTaken(name, address)

    async def close(self) -> None:
        """Send what is queued, then close. The name is free afterwards."""
        self._api.detach(self)
        self._task.cancel()
        await asyncio.wait({self._task})  # its failure, if any, is in the log

    def emit(self, encoded: bytes) -> None:
        """Broadcast a signal (SignalSink); while the bus is far behind, signals are dropped, replies are not."""
        if self._connection.lost.is_set():
            return
        was_behind, self._is_behind = self._is_behind, not self._connection.send_signal(encoded)
        if self._is_behind and not was_behind:
            _log.warning("The bus at %s does not keep up, signals are dropped.", self._connection.label)

    async def _on_call(self, call: WireMessage, group: asyncio.TaskGroup) -> None:
        sender = call.sender or ""
        if self._calls.is_full(sender):
            text = "Too many calls of this client are waiting."
            self._connection.send(error_to(call, ERROR_LIMITS_EXCEEDED, "s", (text,)))
            return
        self._calls.put(sender, call, group)

    async def _handle(self, call: WireMessage, turn: Turn) -> None:
        caller = await self._caller(call.sender)
        if caller is None:
            return
        reply = await self._api.handle(call, caller, pass_on=turn.pass_on)
        await turn.to_reply()
        if reply is not None:
            await self._connection.outgoing.room()
            self._connection.send(reply)

    async def _caller(self, sender: str | None) -> Caller | None:
        """Who *sender* is; None when the client is gone. Unique names are never used twice, so answers are kept."""
        if sender is None:
            return None
        known = self._callers.get(sender)
        if known is not None:
            self._callers.move_to_end(sender)
            return known
        try:
            (credentials,) = await self._connection.call(
                DBUS_NAME, DBUS_PATH, DBUS_NAME, "GetConnectionCredentials", "s", (sender,)
            )
        except BusError as exc:
            _log.debug("Call of %s is dropped, the client is gone: %s", sender, exc)
            return None
        except (BusUnavailable, TimeoutError) as exc:
            _log.warning("Call of %s is dropped, the bus does not say who it is: %s", sender, exc)
            return None
        caller = Caller(uid=_number(credentials, "UnixUserID"), pid=_number(credentials, "ProcessID"))
        self._callers[sender] = caller
        if len(self._callers) > _MAX_KNOWN_CALLERS:
            self._callers.popitem(last=False)
        return caller


def _number(credentials: object, key: str) -> int | None:
    variant = credentials.get(key) if isinstance(credentials, dict) else None
    return variant.value if isinstance(variant, Variant) and isinstance(variant.value, int) else None
