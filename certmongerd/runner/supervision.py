"""Following one child process to its end, whatever happens to the one who waits for it."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from certmongerd.runner.program import Finished

_log = logging.getLogger(__name__)

TERMINATION_GRACE_S: Final = 10.0
"""Between SIGTERM and SIGKILL."""
SHUTDOWN_GRACE_S: Final = 0.7
"""The same while the daemon stops."""
OUTPUT_GRACE_S: Final = 2.0
"""How long a background process may keep standard output open after the program itself ended."""


class Child(Protocol):
    """A running child process that leads its own process group."""

    @property
    def exited(self) -> asyncio.Future[int]:
        """Return code once the process was reaped: a status, or the negative number of a signal."""

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; does nothing when nobody is left."""


class Output(Protocol):
    """What a child prints."""

    @property
    def has_ended(self) -> bool:
        """Whether standard output reached its end."""

    @property
    def has_overflowed(self) -> bool:
        """Whether the child printed more than allowed."""

    @property
    def stdout(self) -> bytes:
        """What was printed so far, at most what is allowed."""

    @property
    def stderr_tail(self) -> str:
        """The last lines of standard error."""

    def close(self) -> None:
        """Read what is there and stop."""


Starter = Callable[[], Awaitable[Child]]
"""Starts a child; raises LaunchError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may take."""

    timeout_s: float
    max_output_bytes: int
    keep_background: bool = False
    """Leave processes alone that outlive the program: commands may start services."""
    termination_grace_s: float = TERMINATION_GRACE_S
    output_grace_s: float = OUTPUT_GRACE_S


class Supervision:
    """One run. `conduct` is never cancelled: it is asked to `stop`, and then still reaps its child."""

    def __init__(self, program: str, limits: Limits) -> None:
        self._program = program
        self._limits = limits
        self._is_stopping = False
        self._is_hurrying = False
        self._changed = asyncio.Event()

    def stop(self, *, hurry: bool = False) -> None:
        """End the child soon; *hurry* shortens the time it has for that."""
        self._is_stopping = True
        self._is_hurrying = self._is_hurrying or hurry
        self._changed.set()

    def look_again(self) -> None:
        """Note that something happened to the output."""
        self._changed.set()

    async def conduct(self, start: Starter, output: Output) -> Finished:
        """Start a child, which prints to *output*, and return when it is gone. Raises LaunchError."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        child: Child | None = None
        try:
            child = await start()
            child.exited.add_done_callback(lambda _: self._changed.set())
            timed_out = not await self._follow(child, output, begin + self._limits.timeout_s)
        finally:
            if child is not None and not child.exited.done():  # only when the loop itself is torn down
                child.signal_group(signal.SIGKILL)
            output.close()
        code = child.exited.result()
        return Finished(
            exit_status=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            stdout=output.stdout,
            stderr_tail=output.stderr_tail,
            timed_out=timed_out,
            truncated=output.has_overflowed,
            duration_s=loop.time() - begin,
        )

    async def _follow(self, child: Child, output: Output, deadline: float) -> bool:
        """Wait until the child and its output ended, or end them; False when the time was up."""
        timeout_s = max(0.0, deadline - asyncio.get_running_loop().time())
        in_time = await self._until(
            lambda: child.exited.done() or output.has_overflowed or self._is_stopping, timeout_s
        )
        if not child.exited.done():
            await self._terminate(child, at_once=output.has_overflowed)
            return in_time
        has_ended = await self._until(
            lambda: output.has_ended or output.has_overflowed or self._is_stopping, self._limits.output_grace_s
        )
        if not has_ended:
            _log.warning("%s ended, but a process that it left behind keeps its output open", self._program)
        if not self._limits.keep_background or self._is_stopping:
            child.signal_group(signal.SIGKILL)
        return True

    async def _terminate(self, child: Child, *, at_once: bool) -> None:
        """SIGTERM to the group, some time, SIGKILL; returns when the child was reaped."""
        if not at_once:
            child.signal_group(signal.SIGTERM)
            await self._until(lambda: child.exited.done() or self._is_hurrying, self._limits.termination_grace_s)
            if self._is_hurrying:
                await self._until(child.exited.done, SHUTDOWN_GRACE_S)
        child.signal_group(signal.SIGKILL)
        await self._until(child.exited.done, None)

    async def _until(self, is_so: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until *is_so* or the time is up; whether it is so."""
        try:
            async with asyncio.timeout(timeout_s):
                while not is_so():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return is_so()
        return True
