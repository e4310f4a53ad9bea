"""A client that speaks D-Bus over a raw socket, in a thread of its own, so that it can misbehave."""

import asyncio
import os
import socket
from collections.abc import Callable

from certmongerd.busapi.address import parse_addresses
from certmongerd.busapi.sasl import ClientAuthentication
from certmongerd.busapi.transport import Decoder, MessageKind, Variant, WireMessage, encode


class RawClient:
    """Blocking: use through asyncio.to_thread."""

    def __init__(self, address: str, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(parse_addresses(address)[0].socket_name())
        self.decoder = Decoder()
        self.serial = 0
        self.backlog: list[WireMessage] = []

    def authenticate(self) -> "RawClient":
        """SASL EXTERNAL as the present user."""
        side = ClientAuthentication(os.geteuid())
        self.socket.sendall(side.start())
        while not side.finished:
            self.socket.sendall(side.receive(self.socket.recv(4096)))
        self.decoder.append(side.leftover())
        return self

    def send(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: tuple[object, ...] = (),
        *,
        destination: str | None = None,
    ) -> int:
        """Send a call without waiting; its serial."""
        self.serial += 1
        call = WireMessage(
            kind=MessageKind.CALL,
            serial=self.serial,
            path=path,
            interface=interface,
            member=member,
            destination=destination,
            signature=signature,
            body=body,
        )
        self.socket.sendall(encode(call))
        return self.serial

    def receive(self) -> WireMessage:
        """The next message; ConnectionError at the end of the stream."""
        while not self.backlog:
            data = self.socket.recv(1000)
            if not data:
                raise ConnectionError("closed")
            self.backlog += self.decoder.feed(data)
        return self.backlog.pop(0)

    def is_closed(self) -> bool:
        """Whether the other side closes the connection (waits for it)."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            return True
        return True

    def close(self) -> None:
        """Close."""
        self.socket.close()


def file_request(location: str) -> dict[str, Variant]:
    """The smallest dictionary for add_request."""
    return {"CERT_STORAGE": Variant("s", "FILE"), "CERT_LOCATION": Variant("s", location)}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something no event tells of."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 – there is nothing to wait on
            await asyncio.sleep(0.005)
