"""A D-Bus client that costs little: calls are sent without waiting for the answers of earlier ones."""

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from certmongerd.api import BUS_NAME, DBUS_NAME, DBUS_PATH
from certmongerd.busapi.address import parse_addresses
from certmongerd.busapi.sasl import ClientAuthentication
from certmongerd.busapi.transport import Decoder, MessageKind, WireMessage, encode

WINDOW = 64
"""Calls on their way at once; bounds what has to fit into socket buffers."""


@dataclass(frozen=True, slots=True)
class Call:
    """One method call to the daemon."""

    path: str
    interface: str
    member: str
    signature: str = ""
    body: tuple[object, ...] = ()
    destination: str = BUS_NAME


class CallFailed(Exception):
    """The daemon answered with an error."""


class Pipeline:
    """A connection to a bus or directly to a daemon. Use as a context manager."""

    def __init__(self, address: str, *, is_bus: bool, timeout_s: float = 60) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        self._socket.connect(parse_addresses(address)[0].socket_name())
        self._decoder = Decoder()
        self._serial = 0
        authentication = ClientAuthentication(os.geteuid())
        self._socket.sendall(authentication.start())
        while not authentication.finished:
            self._socket.sendall(authentication.receive(self._socket.recv(4096)))
        self._decoder.append(authentication.leftover())
        if is_bus:
            self.call(Call(DBUS_PATH, DBUS_NAME, "Hello", destination=DBUS_NAME))

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, call: Call) -> tuple[object, ...]:
        """Make one call and wait for its answer. Raises CallFailed."""
        return self.call_all([call])[0]

    def call_all(self, calls: Iterable[Call]) -> list[tuple[object, ...]]:
        """Make calls, up to WINDOW at once; the answers are in the order of the calls. Raises CallFailed."""
        waiting: dict[int, int] = {}
        answers: dict[int, tuple[object, ...]] = {}
        for position, call in enumerate(calls):
            waiting[self._send(call)] = position
            while len(waiting) >= WINDOW:
                self._take(waiting, answers)
        while waiting:
            self._take(waiting, answers)
        return [answers[position] for position in sorted(answers)]

    def _send(self, call: Call) -> int:
        self._serial += 1
        message = WireMessage(
            kind=MessageKind.CALL,
            serial=self._serial,
            destination=call.destination,
            path=call.path,
            interface=call.interface,
            member=call.member,
            signature=call.signature,
            body=call.body,
        )
        self._socket.sendall(encode(message))
        return self._serial

    def _take(self, waiting: dict[int, int], answers: dict[int, tuple[object, ...]]) -> None:
        message = self._next()
        position = waiting.pop(message.reply_serial or 0, None)
        if position is None:
            return
        if message.kind is MessageKind.ERROR:
            raise CallFailed(f"{message.error_name}: {_text(message.body)}")
        answers[position] = message.body

    def _next(self) -> WireMessage:
        while (message := self._decoder.next_message()) is None:
            data = self._socket.recv(65536)
            if not data:
                raise CallFailed("the connection was closed")
            self._decoder.append(data)
        return message


def _text(body: Sequence[object]) -> str:
    return str(body[0]) if body else ""
