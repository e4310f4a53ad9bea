"""Running helpers, hooks and notification commands: the only place that starts other programs."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from certmongerd.core.errors import LaunchError
from certmongerd.core.mask import NOTHING_HIDDEN, Mask
from certmongerd.coredumps import forbid_core_dumps
from certmongerd.runner.environment import SEARCH_PATH
from certmongerd.runner.output import Capture
from certmongerd.runner.program import (
    Finished,
    ProgramRun,
    RunAs,
    Streams,
    check_directory,
    check_strings,
    find_program,
    memory_file,
)
from certmongerd.runner.slots import Slots
from certmongerd.runner.standing import STANDING, STANDING_IDLE_S, StandingHelpers, StandingRun
from certmongerd.runner.supervision import (
    OUTPUT_GRACE_S,
    TERMINATION_GRACE_S,
    Child,
    Limits,
    Output,
    Starter,
    Supervision,
)
from certmongerd.runner.temporary import make_temporary_directory, remove_temporary_directory
from certmongerd.runner.transient import UnitStart
from certmongerd.runner.warm import BundledHelper, WarmStart, bundled_helper
from certmongerd.store.secret_file import DIRECTORY_VARIABLE

MAX_OUTPUT_BYTES: Final = 4 * 1024 * 1024
MAX_EXTERNAL: Final = 64
"""Programs that run at the same time."""
MAX_BUNDLED: Final = max(16, 4 * (os.cpu_count() or 1))
"""Bundled helpers that run at the same time; most of their time is waiting for a CA."""
_WORKERS: Final = BundledHelper.own("certmongerd.runner.work_process")


class Launcher:
    """Runs programs. Bundled helpers, those in *helper_dir*, start from a warm interpreter.

    Runs of those among them that are modules in *standing* share processes when they recur. With *unit*, the system's
    unit that the daemon is, everything else can be started outside it, see `uses_units`.
    Creating one forbids core dumps of this process and its children: they hold keys.
    """

    def __init__(
        self,
        helper_dir: str,
        *,
        unit: str | None = None,
        standing: Collection[str] = STANDING,
        standing_idle_s: float = STANDING_IDLE_S,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
        max_external: int = MAX_EXTERNAL,
        max_bundled: int = MAX_BUNDLED,
        termination_grace_s: float = TERMINATION_GRACE_S,
        output_grace_s: float = OUTPUT_GRACE_S,
    ) -> None:
        forbid_core_dumps()
        self._helper_dir = helper_dir
        self._may_stand = standing
        self._max_output_bytes = max_output_bytes
        self._termination_grace_s = termination_grace_s
        self._output_grace_s = output_grace_s
        self._warm = WarmStart(_spawn_server, _WORKERS)
        self._standing = StandingHelpers(self._warm, standing_idle_s)
        self.units = UnitStart(_spawn_for_unit, unit)
        self.uses_units = False
        """Whether programs that are no bundled helpers are started as units of their own, by systemd."""
        self._bundled_slots = Slots(max_bundled)
        self._external_slots = Slots(max_external)
        self._runs: dict[asyncio.Task[Finished], Supervision] = {}
        self._is_closing = False

    def allow(self, max_external: int) -> None:
        """From now on so many programs run at the same time; what runs already is not ended."""
        self._external_slots.resize(max_external)

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        timeout_s: float,
        cwd: str = "/",
        user: RunAs | None = None,
        stdin: bytes | None = None,
        keep_background: bool = False,
        merge_output: bool = False,
        mask: Mask = NOTHING_HIDDEN,
        recurs: bool = False,
    ) -> Finished:
        """Run *argv* with exactly *env* and wait for its end.

        The program is searched in the `PATH` of *env*. It gets a session of its own, umask 077, standard input
        from *stdin* or the null device, and no other descriptor. When the time is up or the caller is cancelled,
        its process group gets SIGTERM, then SIGKILL, and is reaped before this returns. *keep_background*
        spares processes that the program left behind when it ended by itself. *merge_output* treats standard
        output as standard error: it is logged, its last lines are kept, and no amount of it is too much. *mask* hides
        words in what is logged and kept. *recurs*: a bundled helper is loaded with all that such a run needs, for those
        to come, and may stay for them. Raises LaunchError when the program cannot be started.
        """
        program = find_program(argv[0] if argv else "", env.get("PATH", ""))
        check_strings(argv, env)
        check_directory(program, cwd)
        wanted = ProgramRun(
            program=program,
            argv=argv,
            env=env,
            timeout_s=timeout_s,
            cwd=cwd,
            user=user,
            stdin=stdin,
            keep_background=keep_background,
            merge_output=merge_output,
            mask=mask,
        )
        bundled = bundled_helper(program, self._helper_dir) if user is None and not merge_output else None
        async with self._external_slots if bundled is None else self._bundled_slots:
            if self._is_closing:
                raise LaunchError(program, "The daemon is shutting down")
            if bundled is None:
                return await self._run_external(wanted)
            if recurs and stdin is None and bundled.module in self._may_stand:
                return await self._run_standing(wanted, bundled)
            return await self._run_forked(wanted, bundled, recurs=recurs)

    async def _run_external(self, wanted: ProgramRun) -> Finished:
        """Execute a program, here or as a unit of its own."""

        async def start(streams: Streams) -> Child:
            if not self.uses_units:
                return await _execute(wanted, streams)
            return await self.units.start(wanted, streams)

        return await self._capture(wanted, self._limits(wanted, keep_background=wanted.keep_background), start)

    async def _run_forked(self, wanted: ProgramRun, helper: BundledHelper, *, recurs: bool) -> Finished:
        """Run a bundled helper, with a directory for its temporary files, once."""
        parent = wanted.env.get("TMPDIR")
        temporary = make_temporary_directory(wanted.program, parent) if parent else ""
        env = {**wanted.env, **_with_credentials(), **({"TMPDIR": temporary} if temporary else {})}

        async def start(streams: Streams) -> Child:
            return await self._warm.start(helper, wanted.argv, env=env, cwd=wanted.cwd, streams=streams, recurs=recurs)

        try:
            return await self._capture(wanted, self._limits(wanted), start)
        finally:
            if temporary:
                await remove_temporary_directory(temporary)

    async def _run_standing(self, wanted: ProgramRun, helper: BundledHelper) -> Finished:
        """Have a bundled helper's process that stays do one run."""
        supervision = Supervision(wanted.program, self._limits(wanted))
        run = StandingRun(wanted.program, max_output_bytes=self._max_output_bytes, mask=wanted.mask)
        env = {**wanted.env, **_with_credentials()}
        return await self._supervise(
            supervision, lambda: self._standing.start(helper, wanted.argv, run, env=env, cwd=wanted.cwd), run
        )

    async def _capture(
        self, wanted: ProgramRun, limits: Limits, start: Callable[[Streams], Awaitable[Child]]
    ) -> Finished:
        """Run a process that *start* starts with its standard streams."""
        supervision = Supervision(wanted.program, limits)
        capture = Capture(
            wanted.program,
            max_output_bytes=self._max_output_bytes,
            mask=wanted.mask,
            on_change=supervision.look_again,
        )

        async def begin() -> Child:
            source = _standard_input(wanted.stdin)
            try:
                output = capture.stderr_fd if wanted.merge_output else capture.stdout_fd
                return await start((source, output, capture.stderr_fd))
            finally:
                os.close(source)
                capture.close_writers()

        return await self._supervise(supervision, begin, capture)

    def _limits(self, wanted: ProgramRun, *, keep_background: bool = False) -> Limits:
        return Limits(
            timeout_s=wanted.timeout_s,
            max_output_bytes=self._max_output_bytes,
            keep_background=keep_background,
            termination_grace_s=self._termination_grace_s,
            output_grace_s=self._output_grace_s,
        )

    async def run_helper(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        timeout_s: float,
        mask: Mask = NOTHING_HIDDEN,
        recurs: bool = False,
    ) -> Finished:
        """`run` for an enrolment helper, which works in the directory of the configuration, as certmonger's do.

        In the root directory where there is none.
        """
        cwd = _directory_of_configuration(env)
        return await self.run(argv, env=env, timeout_s=timeout_s, cwd=cwd, mask=mask, recurs=recurs)

    async def fork_workers(self, channel: int) -> None:
        """Start the processes that work for the daemon (see `work_process`), with *channel* as standard input.

        They end when it is closed. Raises LaunchError.
        """
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            streams = (channel, null, sys.stderr.fileno())
            child = await self._warm.start(
                _WORKERS, (_WORKERS.module,), env=dict(os.environ), cwd="/", streams=streams, recurs=True
            )
            child.exited.add_done_callback(lambda exited: exited.exception())  # the socket says so
        finally:
            os.close(null)

    async def close(self) -> None:
        """End everything that runs, within a second, and start nothing more."""
        self._is_closing = True
        for supervision in self._runs.values():
            supervision.stop(hurry=True)
        if self._runs:
            await asyncio.wait(set(self._runs))
        self._standing.close()
        await self._warm.close()

    async def _supervise(self, supervision: Supervision, start: Starter, output: Output) -> Finished:
        """Let a task of its own follow the child, so that a cancelled caller leaves nothing behind."""
        task = asyncio.get_running_loop().create_task(supervision.conduct(start, output))
        self._runs[task] = supervision
        task.add_done_callback(self._forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            supervision.stop()
            if not task.done():
                await asyncio.wait({task})  # cancelled again: `close` still waits for it
            raise

    def _forget(self, task: asyncio.Task[Finished]) -> None:
        """Note that a run is over; its outcome was for a caller that may be gone."""
        self._runs.pop(task, None)
        if not task.cancelled():
            task.exception()


def _directory_of_configuration(env: Mapping[str, str]) -> str:
    """The directory that helpers work in."""
    directory = env.get("CERTMONGER_CONFIG_DIR", "")
    return directory if os.path.isdir(directory) else "/"


def _with_credentials() -> dict[str, str]:
    """Where the service's credentials are: for this project's helpers, not for other programs."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    return {DIRECTORY_VARIABLE: directory} if directory else {}


def _standard_input(data: bytes | None) -> int:
    """A descriptor to read *data* from; the null device when there is none."""
    if data is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    return memory_file("stdin", data)


class _ExecutedChild:
    """A child started by this process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._pid = process.pid
        self.exited: asyncio.Future[int] = asyncio.ensure_future(process.wait())

    def signal_group(self, number: signal.Signals) -> None:
        """Send *number* to the group."""
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:
            return  # nobody is left


async def _execute(wanted: ProgramRun, streams: Streams) -> Child:
    """Start a program by executing it."""
    try:
        process = await _create(
            wanted.argv, executable=wanted.program, env=wanted.env, cwd=wanted.cwd, user=wanted.user, streams=streams
        )
    except OSError as exc:
        raise LaunchError(wanted.argv[0], _execution_failure(exc, wanted.program)) from exc
    return _ExecutedChild(process)


async def _spawn_server(argv: Sequence[str], descriptor: int) -> asyncio.subprocess.Process:
    """Start a server of ours, which inherits *descriptor* and shares only standard error with the daemon."""
    null = asyncio.subprocess.DEVNULL
    try:
        return await _create(
            argv, executable=argv[0], env={"PATH": SEARCH_PATH}, streams=(null, null, None), inherited=(descriptor,)
        )
    except OSError as exc:
        raise LaunchError(argv[0], _execution_failure(exc, argv[0])) from exc


async def _spawn_for_unit(argv: Sequence[str], streams: tuple[int, int, int]) -> asyncio.subprocess.Process:
    """Start one of systemd's own programs, which finds the system's systemd by itself."""
    try:
        return await _create(argv, executable=argv[0], env={"PATH": SEARCH_PATH}, streams=streams)
    except OSError as exc:
        raise LaunchError(argv[0], _execution_failure(exc, argv[0])) from exc


async def _create(
    argv: Sequence[str],
    *,
    executable: str,
    env: Mapping[str, str],
    streams: tuple[int, int, int | None],
    cwd: str = "/",
    user: RunAs | None = None,
    inherited: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """Start a process with a session of its own and the descriptors *streams* and *inherited*, no others."""
    stdin, stdout, stderr = streams
    return await asyncio.create_subprocess_exec(
        *argv,
        executable=executable,
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        close_fds=True,
        pass_fds=inherited,
        umask=0o077,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=user.groups if user else None,
    )


def _execution_failure(error: OSError, program: str) -> str:
    """What the system said, and what it means for scripts."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError) and os.path.exists(program):
        return f"{reason} (its interpreter is missing)"
    return reason
