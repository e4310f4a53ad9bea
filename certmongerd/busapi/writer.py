"""Flow-controlled writing: one bounded queue in front of each connection."""

import asyncio
from collections import deque
from typing import Final

ROOM_BYTES: Final = 1024 * 1024
"""Replies wait while more than this is queued."""
MAX_SIGNAL_BACKLOG_BYTES: Final = 16 * 1024 * 1024
"""Signals are refused while more than this is queued."""
SIGNALS_WITHIN_S: Final = 0.002
"""Signals wait so long for others, or for a reply: each write wakes the bus."""
_BATCH_BYTES: Final = 256 * 1024


class OutgoingQueue:
    """Bytes on their way to a stream. `run` writes them; a full socket only makes it wait."""

    def __init__(self, stream: asyncio.StreamWriter) -> None:
        self._stream = stream
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._is_abandoned = False
        self._offered: asyncio.TimerHandle | None = None

    def put(self, data: bytes) -> None:
        """Queue *data* whatever the queue's length; whoever sends replies awaits `room` first."""
        if self._is_abandoned:
            return
        self._append(data)
        self._filled.set()

    def offer(self, data: bytes) -> bool:
        """Queue *data*, which has a little time, unless too much is waiting already; says whether it was queued."""
        if self._queued_bytes > MAX_SIGNAL_BACKLOG_BYTES:
            return False
        if not self._is_abandoned:
            self._append(data)
            if self._offered is None:
                self._offered = asyncio.get_running_loop().call_later(SIGNALS_WITHIN_S, self._write_offered)
        return True

    def _write_offered(self) -> None:
        self._offered = None
        if self._queue:
            self._filled.set()

    def _append(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued_bytes += len(data)
        self._empty.clear()
        if self._queued_bytes > ROOM_BYTES:
            self._has_room.clear()

    async def room(self) -> None:
        """Wait until the queue is short enough for another reply."""
        await self._has_room.wait()

    async def flushed(self) -> None:
        """Wait until everything was handed to the socket."""
        await self._empty.wait()

    def abandon(self) -> None:
        """The stream is gone: drop everything, let nobody wait for room any more."""
        self._is_abandoned = True
        self._queue.clear()
        self._queued_bytes = 0
        self._has_room.set()
        self._empty.set()

    async def run(self) -> None:
        """Write for ever. Raises ConnectionError when the stream breaks."""
        while True:
            await self._filled.wait()
            batch, size = [], 0
            while self._queue and size < _BATCH_BYTES:
                batch.append(self._queue.popleft())
                size += len(batch[-1])
            self._stream.write(b"".join(batch))
            await self._stream.drain()
            self._queued_bytes -= size
            if self._queued_bytes <= ROOM_BYTES:
                self._has_room.set()
            if not self._queue:
                self._filled.clear()
                self._empty.set()
