"""The daemon's side of the processes that work for it (see `work_process`): when they are there, and who gets what."""

import asyncio
import contextlib
import errno
import itertools
import logging
import pickle
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

from certmongerd.core.errors import LaunchError
from certmongerd.runner.work_process import HEADER, LONGEST_MESSAGE, PICKLE, Logged, Outcome, Start

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_IDLE_S: Final = 10.0
"""How long the processes stay when there is nothing to do for them."""
_RETRY_S: Final = 1.0
"""How long those that ended unexpectedly, or could not be started, are not started again."""
_AHEAD: Final = 2
"""Pieces of work for each process that are in the socket at once, so that none waits for the daemon between two."""

Fork = Callable[[int], Awaitable[object]]
"""Starts the processes, which get a descriptor as standard input. Raises LaunchError."""


class NotDone(Exception):
    """Whoever wants it done has to do it."""


class Interrupted(Exception):
    """The process ended, or what it had to say was too long: nobody knows how much was done."""


class WorkPool:
    """Processes that are started when there is much to do, and ended when there is nothing."""

    def __init__(
        self,
        fork: Fork,
        count: int,
        lock: int,
        *,
        modules: Callable[[], tuple[str, ...]] = tuple,
        idle_s: float = _IDLE_S,
    ) -> None:
        """*count* processes, which inherit the descriptor *lock*; *modules* are loaded once for all of them."""
        self._fork = fork
        self._count = count
        self._lock = lock
        self._modules = modules
        self._idle_s = idle_s
        self._processes: _Processes | None = None
        self._starting: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._wanted = 0
        self._ending: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def is_ready(self) -> bool:
        """Whether the processes are there, for more work."""
        return self._processes is not None and not self._processes.is_lost and not self._is_closed

    def start(self) -> None:
        """Have the processes started, unless they are there; returns at once."""
        loop = asyncio.get_running_loop()
        if not (self._is_closed or self.is_ready or self._starting is not None or loop.time() < self._not_before):
            self._not_before = loop.time() + _RETRY_S
            self._starting = loop.create_task(self._start(), name="work processes")

    async def started(self) -> bool:
        """Wait for the processes, which are started when they are not there; False when they cannot be."""
        self.start()
        if self._starting is not None:
            await asyncio.wait([self._starting])
        return self.is_ready

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call *function*, one of a module's, in one of the processes; what it gets and gives is pickled.

        Raises what it raises. Raises NotDone when the processes are not there, and when it is too long for them.
        Raises Interrupted. A cancelled caller waits for the end of what has begun.
        """
        processes = self._processes
        if processes is None or self._is_closed:
            raise NotDone
        self._wanted += 1
        try:
            result: _T = await processes.do(pickle.dumps((function, args, kwargs), PICKLE))
            return result
        finally:
            self._wanted -= 1
            if not self._wanted:
                self._end_later()

    async def close(self) -> None:
        """Let the processes do what they were given, and end; have no new ones."""
        self._is_closed = True
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._ending is not None:
            self._ending.cancel()
        if self._processes is not None:
            await self._processes.close()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_MESSAGE)
        try:
            start = Start(count=self._count, log_level=logging.getLogger().level, modules=self._modules())
            socket.send_fds(ours, [pickle.dumps(start, PICKLE)], [self._lock])
            with theirs:
                await self._fork(theirs.fileno())
        except LaunchError as error:
            ours.close()
            _log.warning("Work is done one by one: %s", error)
        except BaseException:
            ours.close()
            raise
        else:
            self._processes = _Processes(ours, most=_AHEAD * self._count)
            self._end_later()
        finally:
            self._starting = None

    def _end_later(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle)

    def _end_idle(self) -> None:
        self._ending = None
        if not self._wanted and self._processes is not None:
            self._processes.end()
            self._processes = None
            self._not_before = 0.0


@dataclass(slots=True, eq=False)
class _Piece:
    """Work, and who waits for it."""

    work: bytes
    done: asyncio.Future[tuple[Outcome, Any, list[Logged]]]


class _Processes:
    """Some processes behind one socket, and what they have to do."""

    def __init__(self, channel: socket.socket, *, most: int) -> None:
        self._channel = channel
        self._most = most
        self._numbers = itertools.count(1)
        self._waiting: deque[_Piece] = deque()
        self._begun: dict[int, _Piece] = {}
        self._message = bytearray(LONGEST_MESSAGE)
        self.is_lost = False
        """Whether they have ended, all of them: the socket says so when the last one is gone."""
        self._gone = asyncio.Event()
        channel.settimeout(0)
        asyncio.get_running_loop().add_reader(channel, self._receive)

    async def do(self, work: bytes) -> Any:
        """The result of *work*. Raises what it raises, NotDone, and Interrupted."""
        if self.is_lost or len(work) + HEADER.size > LONGEST_MESSAGE:
            raise NotDone
        piece = _Piece(work, asyncio.get_running_loop().create_future())
        self._waiting.append(piece)
        self._hand_out()
        try:
            outcome, result, logged = await piece.done
        except asyncio.CancelledError:
            if piece in self._waiting:
                self._waiting.remove(piece)
            elif piece in self._begun.values():
                # Two must never work on one thing: the caller's successor starts after this one ended.
                piece.done = asyncio.get_running_loop().create_future()
                await wait_for(piece.done)
            raise
        for name, level, text in logged:
            logging.getLogger(name).log(level, "%s", text)
        if outcome is Outcome.FAILED:
            raise result
        return result

    def end(self) -> None:
        """Close the socket, at which they end; nothing is left to do for them."""
        if self.is_lost:
            return
        self.is_lost = True
        asyncio.get_running_loop().remove_reader(self._channel)
        self._channel.close()
        for piece in self._begun.values():
            piece.done.set_exception(Interrupted())
        self._begun.clear()
        self._refuse_waiting()
        self._gone.set()

    async def close(self) -> None:
        """Give them nothing more, and wait until they have done what they were given, and have ended."""
        self._refuse_waiting()
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        if not self.is_lost:
            await self._gone.wait()

    def _refuse_waiting(self) -> None:
        while self._waiting:
            self._waiting.popleft().done.set_exception(NotDone())

    def _hand_out(self) -> None:
        while self._waiting and len(self._begun) < self._most:
            number = next(self._numbers)
            try:
                self._channel.send(HEADER.pack(number, 0) + self._waiting[0].work)
            except OSError as error:
                if isinstance(error, BlockingIOError) and self._begun:
                    return  # there is room again when an answer comes
                if not isinstance(error, BlockingIOError) and error.errno != errno.EMSGSIZE:
                    self._lose()
                    return
                self._waiting.popleft().done.set_exception(NotDone())  # the system's buffers are very small
                continue
            self._begun[number] = self._waiting.popleft()

    def _receive(self) -> None:
        """Take the answers that are there."""
        while not self.is_lost:
            try:
                length = self._channel.recv_into(self._message)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                length = 0
            if not length:
                self._lose()
                return
            self._take(memoryview(self._message)[:length])
        self._hand_out()

    def _take(self, message: memoryview) -> None:
        number, outcome = HEADER.unpack_from(message)
        piece = self._begun.pop(number)
        if outcome == Outcome.TOO_LONG:
            piece.done.set_exception(Interrupted())
            return
        result, logged = pickle.loads(message[HEADER.size :])
        piece.done.set_result((Outcome(outcome), result, logged))

    def _lose(self) -> None:
        if self._begun:
            _log.warning("The processes that work for the daemon ended unexpectedly")
        self.end()


async def wait_for(future: asyncio.Future[_T]) -> None:
    """Wait for the end, however often the waiting itself is cancelled; how it ended is nobody's business any more."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()
