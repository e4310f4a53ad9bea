"""The daemon's side of the fork server: starts it, asks it for children, notices when it is gone."""

import asyncio
import contextlib
import itertools
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certmongerd.core.errors import LaunchError
from certmongerd.runner.forkserver import MESSAGE, Command, Job, Report, encode_load, encode_run
from certmongerd.runner.program import memory_file

_log = logging.getLogger(__name__)

_HELPER_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_GONE: Final = "The process that runs bundled helpers ended unexpectedly"
_ATTEMPTS: Final = 2
"""A server that died unnoticed is only found out when it is asked."""
_EXIT_GRACE_S: Final = 0.2
_PREPARE_AFTER_S: Final = 5.0
"""What a start has to do comes first."""

Spawn = Callable[[Sequence[str], int], Awaitable[asyncio.subprocess.Process]]
"""Starts a program that inherits one descriptor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledHelper:
    """A helper that is a module of this installation."""

    module: str
    site: str
    """The directory that its package is in."""

    @classmethod
    def own(cls, module: str) -> "BundledHelper":
        """A module of the daemon's own package that runs as helpers do."""
        return cls(module=module, site=str(Path(__file__).parents[2]))


def bundled_helper(program: str, helper_dir: str) -> BundledHelper | None:
    """The module behind *program*, when that is PACKAGE/bin/NAME in *helper_dir* and PACKAGE has the module NAME."""
    directory, name = os.path.split(os.path.realpath(program))
    package, last = os.path.split(directory)
    if last != "bin" or directory != os.path.realpath(helper_dir) or not _HELPER_NAME.fullmatch(name):
        return None
    module = name.replace("-", "_")
    if not all(os.path.isfile(os.path.join(package, file)) for file in ("__init__.py", f"{module}.py")):
        return None
    site, package_name = os.path.split(package)
    return BundledHelper(module=f"{package_name}.{module}", site=site)


class WarmStart:
    """Starts bundled helpers; their server is started when first needed, and again when it died.

    It loads *prepared* a little later, so that the first run of that one need not wait for it.
    """

    def __init__(self, spawn: Spawn, prepared: BundledHelper) -> None:
        self._spawn = spawn
        self._prepared = prepared
        self._server: _Server | None = None
        self._lock = asyncio.Lock()

    async def start(
        self,
        helper: BundledHelper,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        streams: tuple[int, int, int],
        recurs: bool = False,
        needs: BundledHelper | None = None,
    ) -> "WarmChild":
        """Start *helper* as a child of the server; *recurs*: such runs come often. Raises LaunchError.

        *streams* become standard input, output and error. The child finds *needs* loaded, too.
        """
        payload = memory_file("job", Job(argv, env, cwd).encode())
        try:
            for _ in range(_ATTEMPTS):
                server = await self._running_server()
                if needs is not None:
                    server.load(needs)
                started = server.start(argv[0], helper, (payload, *streams), recurs=recurs)
                if started is not None:
                    return await started
            raise LaunchError(argv[0], _GONE)
        finally:
            os.close(payload)

    async def close(self) -> None:
        """End the server and with it every child."""
        async with self._lock:
            server, self._server = self._server, None
            if server is not None:
                await server.close()

    async def _running_server(self) -> "_Server":
        """The server, started if necessary."""
        async with self._lock:
            if self._server is not None and self._server.is_lost:
                _log.warning("%s; it is started again", _GONE)
                lost, self._server = self._server, None
                await lost.close()
            if self._server is None:
                self._server = await self._start_server()
            return self._server

    async def _start_server(self) -> "_Server":
        """Start a server and connect to it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = (sys.executable, "-I", "-m", "certmongerd.runner.forkserver", str(theirs.fileno()))
            try:
                process = await self._spawn(argv, theirs.fileno())
            except BaseException:
                ours.close()
                raise
        server = _Server(process, ours)
        asyncio.get_running_loop().call_later(_PREPARE_AFTER_S, server.load, self._prepared)
        return server


class WarmChild:
    """A child of the server."""

    def __init__(self, server: "_Server", run: int, pid: int) -> None:
        self._server = server
        self._run = run
        self.pid = pid
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def signal_group(self, number: signal.Signals) -> None:
        """Send *number* to the group: through the server, which knows whether it still exists."""
        if not self.exited.done():
            self._server.signal(self._run, number)


class _Server:
    """One fork server process and the socket to it."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._numbers = itertools.count(1)
        self._starting: dict[int, tuple[str, asyncio.Future[WarmChild]]] = {}
        self._children: dict[int, tuple[str, WarmChild]] = {}
        self.is_lost = False
        channel.settimeout(0)
        asyncio.get_running_loop().add_reader(channel, self._receive)

    def start(
        self, program: str, helper: BundledHelper, descriptors: Sequence[int], *, recurs: bool
    ) -> "asyncio.Future[WarmChild] | None":
        """Ask for a child with *descriptors*: job, standard input, output and error. None: nobody is there to ask.

        The future, and this call when too much was asked already, raise LaunchError.
        """
        run = next(self._numbers)
        try:
            socket.send_fds(self._channel, [encode_run(run, helper.module, helper.site, recurs=recurs)], descriptors)
        except BlockingIOError as exc:
            raise LaunchError(program, "Too many helpers are being started") from exc
        except OSError:
            self.lose()
            return None
        started: asyncio.Future[WarmChild] = asyncio.get_running_loop().create_future()
        self._starting[run] = (program, started)
        return started

    def load(self, helper: BundledHelper) -> None:
        """Have *helper* loaded, for runs to come."""
        if not self.is_lost:
            with contextlib.suppress(OSError):  # it is loaded when it is run
                self._channel.send(encode_load(helper.module, helper.site))

    def signal(self, run: int, number: signal.Signals) -> None:
        """Signal the group of a run."""
        try:
            self._channel.send(MESSAGE.pack(Command.SIGNAL, run, number))
        except OSError:
            self.lose()

    async def close(self) -> None:
        """End the process: it goes when the socket is closed."""
        self.lose()
        try:
            async with asyncio.timeout(_EXIT_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _receive(self) -> None:
        """Take the reports that are there."""
        while not self.is_lost:
            try:
                message = self._channel.recv(MESSAGE.size)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                message = b""
            if not message:
                self.lose()
                return
            self._handle(*MESSAGE.unpack(message))

    def _handle(self, kind: int, run: int, value: int) -> None:
        """Pass one report on."""
        if kind == Report.EXITED:
            _, child = self._children.pop(run)
            child.exited.set_result(value)
            return
        program, started = self._starting.pop(run)
        if kind == Report.STARTED:
            child = WarmChild(self, run, value)
            self._children[run] = (program, child)
            started.set_result(child)
        else:
            started.set_exception(LaunchError(program, os.strerror(value)))

    def lose(self) -> None:
        """The connection is over: nothing that runs can be followed any more."""
        if self.is_lost:
            return
        self.is_lost = True
        asyncio.get_running_loop().remove_reader(self._channel)
        self._channel.close()
        for program, started in self._starting.values():
            started.set_exception(LaunchError(program, _GONE))
        for program, child in self._children.values():
            _kill_orphans(child.pid)
            child.exited.set_exception(LaunchError(program, _GONE))
        self._starting.clear()
        self._children.clear()


def _kill_orphans(pid: int) -> None:
    """End the group of a child whose parent is gone."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
