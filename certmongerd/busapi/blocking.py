"""A D-Bus client connection that blocks: for command-line programs, which have to start fast and do one thing."""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from certmongerd.api import DBUS_NAME, DBUS_PATH, ERROR_NO_REPLY
from certmongerd.busapi.address import InvalidAddress, parse_addresses
from certmongerd.busapi.faults import BusError, BusUnavailable, error_of
from certmongerd.busapi.sasl import AuthenticationRejected, ClientAuthentication
from certmongerd.busapi.transport import Decoder, MessageKind, UndecodableMessage, WireMessage, encode
from certmongerd.core.errors import RemoteProtocolError

__all__ = ["DEFAULT_TIMEOUT_S", "BlockingConnection", "BusError", "BusUnavailable", "Call"]

DEFAULT_TIMEOUT_S: Final = 25.0
_READ_BYTES: Final = 65536
_MAX_QUEUED_SIGNALS: Final = 10000
_CALLS_AT_ONCE: Final = 32
"""Calls sent before their answers are read: few enough for the socket buffers, and for what a daemon lets wait."""


@dataclass(frozen=True, slots=True)
class Call:
    """One of many method calls."""

    path: str
    interface: str | None
    member: str
    signature: str = ""
    body: tuple[object, ...] = ()


class BlockingConnection:
    """One connection, to a bus or directly to a daemon. Use as a context manager or call `close`."""

    def __init__(self, connected: socket.socket, address: str, *, timeout_s: float) -> None:
        self._socket = connected
        self._address = address
        self._decoder = Decoder(is_from_bus=True)
        self._serial = 0
        self._signals: deque[WireMessage] = deque(maxlen=_MAX_QUEUED_SIGNALS)
        self.unique_name: str | None = None
        """Set by `hello`."""
        self._authenticate(time.monotonic() + timeout_s)

    @classmethod
    def connect(cls, address: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> "BlockingConnection":
        """Connect to the first reachable entry of *address* and authenticate. Raises BusUnavailable."""
        try:
            entries = parse_addresses(address)
        except InvalidAddress as exc:
            raise BusUnavailable(address, exc.reason) from exc
        failure = BusUnavailable(address, "no entry")
        for entry in entries:
            unconnected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                unconnected.settimeout(timeout_s)
                unconnected.connect(entry.socket_name())
            except InvalidAddress as exc:
                unconnected.close()
                failure = BusUnavailable(address, exc.reason)
                continue
            except OSError as exc:
                unconnected.close()
                failure = BusUnavailable(address, exc.strerror or str(exc) or "timed out")
                continue
            return cls(unconnected, address, timeout_s=timeout_s)
        raise failure

    def __enter__(self) -> "BlockingConnection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; harmless when it is closed already."""
        self._socket.close()

    def _authenticate(self, deadline: float) -> None:
        client = ClientAuthentication(os.geteuid())
        try:
            self._send(client.start(), deadline)
            while not client.finished:
                answer = client.receive(self._receive(deadline))
                if answer:
                    self._send(answer, deadline)
        except (AuthenticationRejected, RemoteProtocolError) as exc:
            self.close()
            raise BusUnavailable(self._address, str(exc)) from exc
        except TimeoutError as exc:
            self.close()
            raise BusUnavailable(self._address, "no answer to authentication in time") from exc
        except BaseException:
            self.close()
            raise
        self._decoder.append(client.leftover())

    def _send(self, data: bytes, deadline: float) -> None:
        self._limit(deadline)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError as exc:
            raise BusUnavailable(self._address, exc.strerror or str(exc)) from exc

    def _receive(self, deadline: float) -> bytes:
        self._limit(deadline)
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            raise
        except OSError as exc:
            raise BusUnavailable(self._address, exc.strerror or str(exc)) from exc
        if not data:
            raise BusUnavailable(self._address, "the other side closed the connection")
        return data

    def _limit(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)

    def _await(self, wanted: Callable[[WireMessage], bool], deadline: float) -> WireMessage:
        """Read until a message is *wanted*; signals are queued, the rest is answered or dropped."""
        while True:
            try:
                message = self._decoder.next_message()
            except UndecodableMessage:
                continue
            except RemoteProtocolError as exc:
                raise BusUnavailable(self._address, str(exc)) from exc
            if message is None:
                self._decoder.append(self._receive(deadline))
            elif wanted(message):
                return message
            elif message.kind is MessageKind.SIGNAL:
                self._signals.append(message)

    def call(
        self,
        destination: str | None,
        path: str,
        interface: str | None,
        member: str,
        signature: str = "",
        body: Sequence[object] = (),
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> tuple[object, ...]:
        """Call a method and wait for its answer's arguments.

        Raises BusError (the callee's error, or NoReply after *timeout_s*) and BusUnavailable.
        """
        call = Call(path, interface, member, signature, tuple(body))
        deadline = time.monotonic() + timeout_s
        try:
            serial = self._begin(destination, call, deadline)
            answer = self._await(lambda incoming: incoming.reply_serial == serial, deadline)
        except TimeoutError as exc:
            raise BusError(ERROR_NO_REPLY, f"No answer to {member} within {timeout_s:g} seconds.") from exc
        if answer.kind is MessageKind.ERROR:
            raise error_of(answer)
        return answer.body

    def call_all(
        self, destination: str | None, calls: Sequence[Call], *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> list[tuple[object, ...] | BusError]:
        """Make many calls without waiting for each answer; the answers in the order of the calls.

        *timeout_s* is how long each answer may take after the one before it. Raises BusError for NoReply, and
        BusUnavailable.
        """
        answers: list[tuple[object, ...] | BusError] = [()] * len(calls)
        positions: dict[int, int] = {}
        sent = 0
        while sent < len(calls) or positions:
            deadline = time.monotonic() + timeout_s
            try:
                while sent < len(calls) and len(positions) < _CALLS_AT_ONCE:
                    positions[self._begin(destination, calls[sent], deadline)] = sent
                    sent += 1
                answer = self._await(lambda incoming: incoming.reply_serial in positions, deadline)
            except TimeoutError as exc:
                member = calls[min(positions.values(), default=0)].member
                raise BusError(ERROR_NO_REPLY, f"No answer to {member} within {timeout_s:g} seconds.") from exc
            position = positions.pop(answer.reply_serial or 0)
            answers[position] = error_of(answer) if answer.kind is MessageKind.ERROR else answer.body
        return answers

    def _begin(self, destination: str | None, call: Call, deadline: float) -> int:
        """Send a call; its serial."""
        self._serial += 1
        message = WireMessage(
            kind=MessageKind.CALL,
            serial=self._serial,
            destination=destination,
            path=call.path,
            interface=call.interface,
            member=call.member,
            signature=call.signature,
            body=call.body,
        )
        self._send(encode(message), deadline)
        return self._serial

    def hello(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> str:
        """Register with a bus (not on a private socket); returns and keeps the unique name."""
        (name,) = self.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, "Hello", timeout_s=timeout_s)
        self.unique_name = str(name)
        return self.unique_name

    def add_match(self, rule: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Ask for signals; on certmongerd's private socket any rule turns all of them on."""
        self.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, "AddMatch", "s", (rule,), timeout_s=timeout_s)

    def next_signal(self, timeout_s: float) -> WireMessage | None:
        """The oldest signal not seen yet, None when none came within *timeout_s*. Raises BusUnavailable."""
        if self._signals:
            return self._signals.popleft()
        try:
            return self._await(lambda incoming: incoming.kind is MessageKind.SIGNAL, time.monotonic() + timeout_s)
        except TimeoutError:
            return None
