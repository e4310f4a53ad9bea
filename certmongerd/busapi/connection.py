"""A D-Bus connection in asyncio: reads messages, pairs replies with own calls, writes with flow control."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from certmongerd.busapi.faults import BusUnavailable, error_of
from certmongerd.busapi.transport import (
    Decoder,
    MessageKind,
    UndecodableMessage,
    UnencodableMessage,
    WireMessage,
    encode,
    error_to,
    with_serial,
)
from certmongerd.busapi.writer import OutgoingQueue
from certmongerd.core.errors import RemoteProtocolError

_log = logging.getLogger(__name__)

_READ_BYTES: Final = 65536
_SERIAL_LIMIT: Final = 2**32
DEFAULT_TIMEOUT_S: Final = 25.0
_FLUSH_TIMEOUT_S: Final = 1.0
_FINISH_TIMEOUT_S: Final = 30.0
"""Calls that run when their client leaves get this long to end."""
_ERROR_FAILED: Final = "org.freedesktop.DBus.Error.Failed"

CallHandler = Callable[[WireMessage, asyncio.TaskGroup], Awaitable[None]]
"""Takes a method call; work that takes long goes into the group."""


class _CallsUnfinished(Exception):
    """Ends the task group of a connection together with the calls that do not end by themselves."""


class Connection:
    """An authenticated connection. `run` does all the work; the other methods need it running."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        label: str,
        decoder: Decoder,
    ) -> None:
        self.label = label
        """For log records and errors: the address, or who the peer is."""
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self.outgoing = OutgoingQueue(writer)
        self._serial = 0
        self._replies: dict[int, asyncio.Future[WireMessage]] = {}
        self.lost = asyncio.Event()
        """Set when the other side is gone or talks nonsense."""

    def _next_serial(self) -> int:
        self._serial = self._serial % (_SERIAL_LIMIT - 1) + 1
        return self._serial

    @property
    def pending_replies(self) -> int:
        """Own calls that wait for an answer."""
        return len(self._replies)

    def send(self, message: WireMessage) -> None:
        """Queue a reply or error; one that cannot be encoded turns into an error for the caller."""
        message = replace(message, serial=self._next_serial())
        try:
            encoded = encode(message)
        except UnencodableMessage:
            _log.exception("A reply on %s cannot be sent", self.label)
            text = "The answer cannot be expressed in D-Bus; see the daemon's log."
            call = WireMessage(kind=MessageKind.CALL, serial=message.reply_serial or 0, sender=message.destination)
            encoded = encode(replace(error_to(call, _ERROR_FAILED, "s", (text,)), serial=message.serial))
        self.outgoing.put(encoded)

    def send_signal(self, encoded: bytes) -> bool:
        """Queue an encoded signal; False when the other side is too far behind."""
        return self.outgoing.offer(with_serial(encoded, self._next_serial()))

    def abort(self) -> None:
        """Close at once, dropping what is queued."""
        self._writer.transport.abort()

    async def call(
        self,
        destination: str | None,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: tuple[object, ...] = (),
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> tuple[object, ...]:
        """Call a method of the other side. Raises BusError, BusUnavailable, TimeoutError."""
        if self.lost.is_set():
            raise BusUnavailable(self.label, "the connection is closed")
        message = WireMessage(
            kind=MessageKind.CALL,
            serial=self._next_serial(),
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body,
        )
        answer: asyncio.Future[WireMessage] = asyncio.get_running_loop().create_future()
        self._replies[message.serial] = answer
        try:
            self.outgoing.put(encode(message))
            async with asyncio.timeout(timeout_s):
                reply = await answer
        finally:
            self._replies.pop(message.serial, None)  # whatever happened: nobody waits any more
        if reply.kind is MessageKind.ERROR:
            raise error_of(reply)
        return reply.body

    async def run(self, on_call: CallHandler, finish: Callable[[], Awaitable[None]]) -> None:
        """Read and write until the other side is gone, then await *finish* and return.

        Cancelling it closes the connection after what is queued was written, within a second.
        """
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write())
                try:
                    await self._read(on_call, group)
                    self._give_up()
                    async with asyncio.timeout(_FINISH_TIMEOUT_S):
                        await finish()
                    await self._flush()
                except TimeoutError:
                    _log.warning("Connection %s: calls that are still running are cancelled", self.label)
                    raise _CallsUnfinished from None
                except asyncio.CancelledError:
                    await self._flush()
                    raise
                finally:
                    writing.cancel()
        except* _CallsUnfinished:
            pass  # said above; the group has cancelled the calls
        finally:
            self._give_up()
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _flush(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_TIMEOUT_S):
                await self.outgoing.flushed()

    async def _write(self) -> None:
        try:
            await self.outgoing.run()
        except ConnectionError as exc:
            _log.debug("Connection %s broke while writing: %s", self.label, exc)
            self.outgoing.abandon()
            self._reader.feed_eof()

    async def _read(self, on_call: CallHandler, group: asyncio.TaskGroup) -> None:
        while True:
            try:
                message = self._decoder.next_message()
            except UndecodableMessage as exc:
                _log.warning("Connection %s: %s; it is ignored", self.label, exc)
                continue
            except RemoteProtocolError as exc:
                _log.warning("Connection %s is closed: %s", self.label, exc)
                return
            if message is None:
                try:
                    data = await self._reader.read(_READ_BYTES)
                except ConnectionError as exc:
                    _log.debug("Connection %s broke while reading: %s", self.label, exc)
                    return
                if not data:
                    return
                self._decoder.append(data)
            elif message.kind is MessageKind.CALL:
                await on_call(message, group)
            elif message.reply_serial is not None:
                answer = self._replies.get(message.reply_serial)
                if answer is not None and not answer.done():
                    answer.set_result(message)

    def _give_up(self) -> None:
        self.lost.set()
        for answer in self._replies.values():
            if not answer.done():
                answer.set_exception(BusUnavailable(self.label, "the connection was closed"))


def log_failure(task: asyncio.Task[None]) -> None:
    """Done callback: a task that ended by an exception says so in the log."""
    if not task.cancelled() and task.exception() is not None:
        _log.error("%s failed", task.get_name(), exc_info=task.exception())
