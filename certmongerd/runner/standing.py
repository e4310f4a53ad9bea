"""Bundled helpers whose processes stay for a while after a run, for the next one of the same command.

A fork takes a few milliseconds, and its child as many again to copy what it touches; so does giving each run pipes and
a directory of its own. Of a helper that leaves nothing behind, neither in its process nor in files, one process can do
many runs, one after the other (see `standing_process`).
"""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from certmongerd.core.errors import LaunchError
from certmongerd.core.mask import Mask
from certmongerd.runner.output import LineLog
from certmongerd.runner.standing_process import ANSWER, receive, send
from certmongerd.runner.warm import BundledHelper, WarmChild, WarmStart

_PROCESS: Final = BundledHelper.own("certmongerd.runner.standing_process")
STANDING: Final = frozenset({"certmonger_helpers.local_submit", "certmonger_helpers.scep_submit"})
"""Modules of helpers that use no temporary files, print with Python's means, and have `can_run_again`."""
STANDING_IDLE_S: Final = 10.0
"""How long processes stay when none of them has anything to do."""
_CHUNK: Final = 64 * 1024


class StandingRun:
    """One run: the child, as far as it is concerned, and what it prints."""

    def __init__(self, program: str, *, max_output_bytes: int, mask: Mask) -> None:
        """*mask* hides words on standard error."""
        self._max_output_bytes = max_output_bytes
        self._process: _Process | None = None
        self.log_lines = LineLog(program, mask)
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.stdout = b""
        self.has_overflowed = False

    @property
    def has_ended(self) -> bool:
        """Whether all output is there."""
        return self.exited.done()

    @property
    def stderr_tail(self) -> str:
        """The last lines of standard error."""
        return self.log_lines.tail

    def begin(self, process: "_Process") -> None:
        """Note that *process* does it."""
        self._process = process

    def end(self, status: int, printed: bytes) -> None:
        """Take the answer."""
        self.has_overflowed = len(printed) > self._max_output_bytes
        self.stdout = printed[: self._max_output_bytes]
        self.exited.set_result(status)

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the process that does it, and with it the run; the next one is not concerned."""
        if self._process is not None and not self.exited.done():
            self._process.child.signal_group(number)

    def close(self) -> None:
        """Log a last line that has no end."""
        self.log_lines.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """What processes must have in common to do each other's runs."""

    helper: BundledHelper
    argv: tuple[str, ...]
    cwd: str


class StandingHelpers:
    """All processes that stay. Those that had nothing to do for a while end."""

    def __init__(self, warm: WarmStart, idle_s: float) -> None:
        self._warm = warm
        self._idle_s = idle_s
        self._idle: dict[_Command, list[_Process]] = {}
        self._ending: asyncio.TimerHandle | None = None

    async def start(
        self, helper: BundledHelper, argv: Sequence[str], run: StandingRun, *, env: Mapping[str, str], cwd: str
    ) -> StandingRun:
        """Begin *run* in a process that waits, else in a new one. Raises LaunchError."""
        command = _Command(helper=helper, argv=tuple(argv), cwd=cwd)
        message = json.dumps(dict(env)).encode("ascii")
        while waiting := self._idle.get(command):
            process = waiting.pop()
            if process.begin(run, message):
                return run
        process = await self._new_process(command)
        if not process.begin(run, message):
            raise LaunchError(argv[0], "Its process ended before it was used")
        return run

    def close(self) -> None:
        """End those that wait."""
        if self._ending is not None:
            self._ending.cancel()
        self._end_idle()

    async def _new_process(self, command: _Command) -> "_Process":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            child = await self._warm.start(
                _PROCESS,
                (_PROCESS.module, command.helper.module, *command.argv),
                env={},
                cwd=command.cwd,
                streams=(theirs.fileno(), null, writer),
                recurs=True,
                needs=command.helper,
            )
        except BaseException:
            ours.close()
            os.close(reader)
            raise
        finally:
            theirs.close()
            os.close(writer)
            os.close(null)
        return _Process(child, ours, reader, lambda process: self._keep(command, process))

    def _keep(self, command: _Command, process: "_Process") -> None:
        self._idle.setdefault(command, []).append(process)
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle)

    def _end_idle(self) -> None:
        idle, self._idle = self._idle, {}
        for processes in idle.values():
            for process in processes:
                process.end()


class _Process:
    """One process, the socket to it, and its standard error."""

    def __init__(
        self, child: WarmChild, channel: socket.socket, errors: int, on_free: Callable[["_Process"], None]
    ) -> None:
        self.child = child
        self._channel = channel
        self._errors = errors
        self._on_free = on_free
        self._run: StandingRun | None = None
        self._is_closed = False
        channel.settimeout(0)
        os.set_blocking(errors, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(channel, self._receive)
        loop.add_reader(errors, self._read_errors)
        child.exited.add_done_callback(self._note_exit)

    def begin(self, run: StandingRun, message: bytes) -> bool:
        """Have *run* done; False when the process is gone."""
        if self._is_closed:
            return False
        try:
            send(self._channel, message)
        except OSError:
            self.end()
            return False
        self._run = run
        run.begin(self)
        return True

    def end(self) -> None:
        """End the process, which has nothing to do; whether it wants to or not, as a server may have taken it over."""
        if self._is_closed:
            return
        self._is_closed = True
        self.child.signal_group(signal.SIGKILL)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel)
        loop.remove_reader(self._errors)
        self._channel.close()
        os.close(self._errors)

    def _receive(self) -> None:
        """Take the answer."""
        try:
            message = receive(self._channel)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            message = b""
        run = self._run
        if not message or run is None:
            # It is gone; the fork server is about to say how it ended.
            asyncio.get_running_loop().remove_reader(self._channel)
            return
        status, stays = ANSWER.unpack_from(message)
        self._read_errors()
        self._run = None
        if stays:
            self._on_free(self)
        else:
            self.end()
        run.end(status, message[ANSWER.size :])

    def _read_errors(self) -> None:
        """Log what is there on standard error."""
        while not self._is_closed:
            try:
                data = os.read(self._errors, _CHUNK)
            except (BlockingIOError, InterruptedError):
                return
            if not data:
                asyncio.get_running_loop().remove_reader(self._errors)
                return
            if self._run is not None:
                self._run.log_lines.feed(data)

    def _note_exit(self, exited: asyncio.Future[int]) -> None:
        """The process is gone, and with it the run that it did."""
        self._read_errors()
        self.end()
        run, self._run = self._run, None
        error = exited.exception()
        if run is None or run.exited.done():
            return
        if error is not None:
            run.exited.set_exception(error)
        else:
            run.end(exited.result(), b"")
