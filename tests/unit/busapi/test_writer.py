"""What waits in front of a connection: signals a little, for one another; replies not at all."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from certmongerd.busapi import writer
from certmongerd.busapi.writer import OutgoingQueue


@asynccontextmanager
async def queue() -> AsyncIterator[tuple[OutgoingQueue, socket.socket]]:
    """A queue that is being written, and the other end of its stream, at which a message is what one write brings."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    theirs.setblocking(False)
    _, stream = await asyncio.open_unix_connection(sock=ours)
    outgoing = OutgoingQueue(stream)
    writing = asyncio.create_task(outgoing.run())
    try:
        yield outgoing, theirs
    finally:
        writing.cancel()
        await asyncio.wait([writing])
        stream.close()
        await stream.wait_closed()
        theirs.close()


async def arrived(end: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(end, 1000)


async def test_signals_of_a_moment_are_written_together() -> None:
    async with queue() as (outgoing, end):
        for text in (b"one ", b"two ", b"three"):
            assert outgoing.offer(text)
            await asyncio.sleep(0)

        assert await arrived(end) == b"one two three"


async def test_a_reply_takes_along_the_signals_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SIGNALS_WITHIN_S", 3600)
    async with queue() as (outgoing, end):
        outgoing.offer(b"signal ")
        outgoing.put(b"reply")

        assert await arrived(end) == b"signal reply"


async def test_signals_alone_are_flushed() -> None:
    async with queue() as (outgoing, end):
        outgoing.offer(b"signal")
        await outgoing.flushed()

        assert await arrived(end) == b"signal"


async def test_signals_are_refused_when_there_are_too_many_and_replies_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_SIGNAL_BACKLOG_BYTES", 3)
    async with queue() as (outgoing, end):
        assert outgoing.offer(b"four")
        assert not outgoing.offer(b"more")
        outgoing.put(b" reply")

        assert await arrived(end) == b"four reply"


async def test_nothing_waits_for_a_stream_that_is_gone() -> None:
    async with queue() as (outgoing, _):
        outgoing.abandon()
        assert outgoing.offer(b"signal")
        await outgoing.flushed()
        await outgoing.room()
