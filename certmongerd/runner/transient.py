"""Programs as transient units of systemd, outside the sandbox of the daemon's own unit.

Commands that administrators attach, and other people's helpers, have to be able to do what root can do: restart
services, write anywhere, become other users. The daemon does not. systemd-run(1) starts them as services of their own,
with what root has, and waits for their end.
"""

import asyncio
import logging
import os
import re
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from certmongerd.core.errors import LaunchError
from certmongerd.runner.program import ProgramRun, Streams, memory_file
from certmongerd.runner.supervision import TERMINATION_GRACE_S

_log = logging.getLogger(__name__)

SYSTEMD_RUN: Final = "/usr/bin/systemd-run"
SYSTEMCTL: Final = "/usr/bin/systemctl"
_CONTROL_GROUPS: Final = Path("/proc/self/cgroup")
_SPARE_S: Final = 30.0
"""Past the daemon's own limit; systemd's is for the case that the daemon is no more."""
_NO_MANAGER_VARIABLES: Final = (
    *("HOME", "LANG", "LOGNAME", "SHELL", "TERM", "USER"),
    *("INVOCATION_ID", "JOURNAL_STREAM", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "SYSTEMD_EXEC_PID"),
)
"""What systemd sets by itself (systemd.exec(5)); programs get exactly the environment that was made for them."""
_UNPASSABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Control characters, and what is not UTF-8."""
_SIGNAL_LIMIT_S: Final = 5.0

Spawn = Callable[[Sequence[str], tuple[int, int, int]], Awaitable[asyncio.subprocess.Process]]
"""Starts a program on descriptors for standard input, output and error. Raises LaunchError."""


def own_unit(environ: Mapping[str, str], pid: int, control_groups: str) -> str | None:
    """The system's unit whose main process *pid* is; None when a user's systemd, or none, started it.

    *environ* is its environment, *control_groups* the text of its `/proc/PID/cgroup`.
    """
    if environ.get("SYSTEMD_EXEC_PID") != str(pid):
        return None
    for line in control_groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "name=systemd") or not path.endswith(".service"):
            continue
        *slices, unit = path.strip("/").split("/")
        if not any(part.startswith("user") for part in slices):
            return unit
    return None


def find_own_unit() -> str | None:
    """As `own_unit`, for this process; None also when it is not root's."""
    if os.geteuid() != 0:
        return None
    try:
        groups = _CONTROL_GROUPS.read_text()
    except OSError as exc:
        _log.warning("%s cannot be read, so commands are started without systemd: %s", _CONTROL_GROUPS, exc.strerror)
        return None
    return own_unit(os.environ, os.getpid(), groups)


def environment_file(program: str, env: Mapping[str, str]) -> bytes:
    """*env* in the syntax of `EnvironmentFile=`. Raises LaunchError for what systemd would drop from it."""
    lines = []
    for name, value in env.items():
        if _UNPASSABLE.search(value):
            raise LaunchError(program, f"Variable {name} has characters in it that systemd does not pass on")
        quoted = "".join(f"\\{character}" if character in '"\\`$' else character for character in value)
        lines.append(f'{name}="{quoted}"\n')
    return "".join(lines).encode()


class UnitStart:
    """Starts programs in units of their own, which end when *bound_to*, the daemon's unit, is stopped."""

    def __init__(
        self, spawn: Spawn, bound_to: str | None, *, systemd_run: str = SYSTEMD_RUN, systemctl: str = SYSTEMCTL
    ) -> None:
        self._spawn = spawn
        self._bound_to = bound_to
        self._systemd_run = systemd_run
        self._systemctl = systemctl

    async def start(self, run: ProgramRun, streams: Streams) -> "UnitChild":
        """Start *run* on *streams*: standard input, output and error. Raises LaunchError."""
        unit = f"certmonger-run-{secrets.token_hex(8)}.service"
        # Others may read a unit's properties, and what stands in an argument vector: there is only a place in them.
        environment = memory_file("environment", environment_file(run.program, run.env))
        try:
            argv = self._command(unit, run, f"/proc/{os.getpid()}/fd/{environment}")
            process = await self._spawn(argv, streams)
        except BaseException:
            os.close(environment)
            raise
        return UnitChild(process, environment, lambda number: self._signal(unit, number))

    def _command(self, unit: str, run: ProgramRun, environment: str) -> list[str]:
        """The argument vector of systemd-run."""
        properties = {
            "EnvironmentFile": environment,
            "UnsetEnvironment": " ".join(name for name in _NO_MANAGER_VARIABLES if name not in run.env),
            "UMask": "0077",
            "LimitCORE": "0",
            "IgnoreSIGPIPE": "no",
            "KillMode": "process" if run.keep_background else "control-group",
            "RuntimeMaxSec": f"{run.timeout_s + TERMINATION_GRACE_S + _SPARE_S:.0f}s",
            "TimeoutStopSec": f"{TERMINATION_GRACE_S:.0f}s",
        }
        if self._bound_to is not None:
            # Stopped with the daemon, after it: whatever is ended so will be done again after the next start.
            properties |= {"StopPropagatedFrom": self._bound_to, "Before": self._bound_to}
        user = [f"--uid={run.user.uid}", f"--gid={run.user.gid}"] if run.user else []
        return [
            self._systemd_run,
            *("--quiet", "--pipe", "--wait", "--collect", "--no-ask-password", f"--unit={unit}"),
            f"--description=Started by certmongerd: {os.path.basename(run.program)}",
            f"--working-directory={run.cwd}",
            *user,
            *(f"--property={name}={value}" for name, value in properties.items() if value),
            "--",
            run.program,
            # systemd replaces $NAME and ${NAME} in arguments; nobody else does in a command of ours.
            *(word.replace("$", "$$") for word in run.argv[1:]),
        ]

    async def _signal(self, unit: str, number: signal.Signals) -> None:
        """Send *number* to every process of *unit*."""
        argv = (self._systemctl, "--quiet", "kill", f"--signal={number.name}", unit)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            process = await self._spawn(argv, (null, null, null))
        except LaunchError as exc:
            _log.error("%s cannot be ended: %s", unit, exc)
            return
        finally:
            os.close(null)
        try:
            async with asyncio.timeout(_SIGNAL_LIMIT_S):
                await process.wait()
        except TimeoutError:
            _log.error("systemd does not answer, so %s cannot be ended", unit)
            process.kill()
            await process.wait()


class UnitChild:
    """A program in a unit, seen through the systemd-run that waits for it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        environment: int,
        send: Callable[[signal.Signals], Awaitable[None]],
    ) -> None:
        self._process = process
        self._environment = environment
        self._send = send
        self._signals: set[asyncio.Task[None]] = set()
        self.exited: asyncio.Future[int] = asyncio.ensure_future(self._wait())

    def signal_group(self, number: signal.Signals) -> None:
        """Have systemd send *number* to the unit's processes; those of a unit that has ended are its own matter."""
        if not self.exited.done():
            self._signals.add(asyncio.ensure_future(self._deliver(number)))

    async def _deliver(self, number: signal.Signals) -> None:
        await self._send(number)
        if number is signal.SIGKILL and self._process.returncode is None:
            self._process.kill()  # its unit is gone, or nobody can tell it to go

    async def _wait(self) -> int:
        """Until the unit has ended and nothing is being sent to it any more."""
        try:
            status = await self._process.wait()
            if self._signals:
                await asyncio.wait(self._signals)
            return status
        finally:
            os.close(self._environment)
