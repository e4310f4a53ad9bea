"""Makes private keys: a single one in a thread, several at once in processes of their own (see `key_server`)."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
from collections import deque
from typing import Final

from certmongerd.core.errors import LaunchError
from certmongerd.core.model import KeyAlgorithm
from certmongerd.pki.keys import MAXIMUM_RSA_BITS, PrivateKey, generate_private_key, load_plain_key
from certmongerd.runner.executor import Executor
from certmongerd.runner.key_server import ANSWER, JOB, LONGEST_ANSWER
from certmongerd.runner.warm import Spawn

_log = logging.getLogger(__name__)

_IDLE_S: Final = 10.0
"""How long the processes stay when nobody wants a key."""
_AHEAD: Final = 2
"""Jobs for each process that are in the socket at once, so that none waits for the daemon between two."""


class KeyMaker:
    """Makes keys, as many at once as there are processors."""

    def __init__(self, executor: Executor, spawn: Spawn, *, idle_s: float = _IDLE_S) -> None:
        self._executor = executor
        self._spawn = spawn
        self._idle_s = idle_s
        self._wanted = 0
        self._server: _Server | None = None
        self._starting = asyncio.Lock()
        self._ended: set[asyncio.Task[int]] = set()
        """Processes that were killed and are not reaped yet."""
        self._ending: asyncio.TimerHandle | None = None

    async def make(self, algorithm: KeyAlgorithm, bits: int) -> PrivateKey:
        """A new key, as `generate_private_key` makes it. Raises InvalidValue.

        When cancelled, the key that is being made is thrown away.
        """
        if algorithm is not KeyAlgorithm.RSA or bits > MAXIMUM_RSA_BITS:
            return await self._executor.cpu(generate_private_key, algorithm, bits)
        self._wanted += 1
        try:
            if self._wanted == 1 and self._server is None:  # starting processes takes longer than one key
                return await self._executor.cpu(generate_private_key, algorithm, bits)
            try:
                return load_plain_key(await (await self._running_server()).make(bits))
            except _Gone:
                return await self._executor.cpu(generate_private_key, algorithm, bits)
            except LaunchError as error:
                _log.warning("Keys are made one by one: %s", error)
                return await self._executor.cpu(generate_private_key, algorithm, bits)
        finally:
            self._wanted -= 1
            if not self._wanted and self._server is not None:
                self._end_later()

    def _end_later(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle)

    def _end_idle(self) -> None:
        self._ending = None
        if not self._wanted and self._server is not None:
            self._dismiss(self._server)
            self._server = None

    def _dismiss(self, server: "_Server") -> None:
        server.end()
        self._ended.add(server.gone)
        server.gone.add_done_callback(self._ended.discard)

    async def close(self) -> None:
        """End the processes; whoever waits for a key gets none."""
        if self._ending is not None:
            self._ending.cancel()
        async with self._starting:
            if self._server is not None:
                self._dismiss(self._server)
                self._server = None
        if self._ended:
            await asyncio.wait(set(self._ended))

    async def _running_server(self) -> "_Server":
        """The processes, started if necessary. Raises LaunchError."""
        async with self._starting:
            if self._server is not None and self._server.is_lost:
                self._dismiss(self._server)
                self._server = None
            if self._server is None:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                count = os.cpu_count() or 1
                with theirs:
                    own = ("certmongerd.runner.key_server", str(theirs.fileno()), str(count))
                    try:
                        process = await self._spawn((sys.executable, "-I", "-m", *own), theirs.fileno())
                    except BaseException:
                        ours.close()
                        raise
                self._server = _Server(process, ours, most_jobs=_AHEAD * count)
            return self._server


class _Gone(Exception):
    """The processes ended; whoever wants a key has to get it elsewhere."""


class _Server:
    """The processes, and what they were asked for."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket, *, most_jobs: int) -> None:
        self._process = process
        self._channel = channel
        self._most_jobs = most_jobs
        self._numbers = itertools.count(1)
        self._waiting: deque[tuple[int, asyncio.Future[bytes]]] = deque()
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self.gone: asyncio.Task[int] = asyncio.get_running_loop().create_task(process.wait(), name="key processes")
        self.is_lost = False
        channel.setblocking(False)  # noqa: FBT003 – the standard library's
        asyncio.get_running_loop().add_reader(channel, self._receive)

    async def make(self, bits: int) -> bytes:
        """A key. Raises _Gone."""
        wanted: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((bits, wanted))
        self._ask()
        return await wanted

    def end(self) -> None:
        """Kill the processes: what they do is of no use to anybody."""
        self._lose()

    def _ask(self) -> None:
        while self._waiting and len(self._asked) < self._most_jobs and not self.is_lost:
            bits, wanted = self._waiting.popleft()
            if wanted.done():
                continue  # nobody waits for it any more
            number = next(self._numbers)
            self._asked[number] = wanted
            try:
                self._channel.send(JOB.pack(number, bits))
            except OSError:
                self._lose_unexpectedly()
        if self.is_lost:
            self._lose()

    def _receive(self) -> None:
        try:
            answer = self._channel.recv(LONGEST_ANSWER)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            answer = b""
        if not answer:
            self._lose_unexpectedly()
            return
        (number,) = ANSWER.unpack_from(answer)
        wanted = self._asked.pop(number)
        if not wanted.done():
            wanted.set_result(answer[ANSWER.size :])
        self._ask()

    def _lose_unexpectedly(self) -> None:
        _log.warning("The processes that make keys ended unexpectedly")
        self._lose()

    def _lose(self) -> None:
        """Nothing will come any more; also for who asks later."""
        if not self.is_lost:
            self.is_lost = True
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
        for wanted in (*self._asked.values(), *(wanted for _, wanted in self._waiting)):
            if not wanted.done():
                wanted.set_exception(_Gone())
        self._asked.clear()
        self._waiting.clear()
