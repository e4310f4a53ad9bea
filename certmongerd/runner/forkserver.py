"""A small process that has the bundled helpers loaded and forks a child per run.

Starting an interpreter and loading its libraries takes longer than most runs of a helper; a fork takes a
millisecond. The daemon itself is not forked: it has threads, secrets and an event loop.

Started as `python -I -m certmongerd.runner.forkserver DESCRIPTOR`, where DESCRIPTOR is a connected SEQPACKET socket.
A helper is loaded when it is first asked for. What is to be run, environment included, arrives in an anonymous file
that only the child reads: nothing of it stays where other runs could find it. The process ends, and ends its children,
when the other side closes the socket. No threads, no event loop.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from types import ModuleType
from typing import Final, NoReturn

from certmongerd.coredumps import forbid_core_dumps
from certmongerd.descriptors import close_descriptors
from certmongerd.runner.program import exit_status_of

MESSAGE: Final = struct.Struct("!BQi")
"""Kind, number of the run, value."""

_MAX_COMMAND_BYTES: Final = 16384
_DESCRIPTORS: Final = 4
_ALL_SIGNALS: Final = signal.valid_signals()
_UNCAUGHT: Final = 70
"""Status of a helper that raised: not one of the protocol, so that it counts as broken."""


class Command(IntEnum):
    """What the daemon sends."""

    RUN = 1
    """With four descriptors: the job as JSON (see `Job`), standard input, output and error.

    The helper follows the message, see `encode_run`. The value is 1 when more runs like this one are likely.
    """
    SIGNAL = 2
    """The value is the signal for the run's process group."""
    LOAD = 3
    """Load a helper, as before a run; the run has no meaning."""


class Report(IntEnum):
    """What the daemon is told."""

    STARTED = 1
    """The value is the process id."""
    FAILED = 2
    """The value is the system's error number."""
    EXITED = 3
    """The value is the exit status, or the negative number of a signal."""


def main() -> int:
    """Serve the socket that the command line names until it is closed."""
    forbid_core_dumps()
    gc.disable()  # what is loaded stays, and runs of helpers are short; looking through it would also copy it
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of the socket is what ends this process
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    Server(channel).serve()
    return 0


def encode_run(run: int, module: str, site: str, *, recurs: bool) -> bytes:
    """The command to run *module*, whose package is in the directory *site*."""
    return MESSAGE.pack(Command.RUN, run, int(recurs)) + os.fsencode(f"{module}\0{site}")


def encode_load(module: str, site: str) -> bytes:
    """The command to load *module*, with all that runs of it need."""
    return MESSAGE.pack(Command.LOAD, 0, 1) + os.fsencode(f"{module}\0{site}")


class Modules:
    """The helpers that are loaded, for every child to come."""

    def __init__(self) -> None:
        self._loaded: set[str] = set()
        self._warm: set[str] = set()

    def prepare(self, name: str, site: str, *, recurs: bool) -> None:
        """Load a helper and, when it *recurs*, let it do once what takes long the first time.

        A broken one says so again when it is run.
        """
        if name in self._loaded and (name in self._warm or not recurs):
            return
        if site not in sys.path:
            sys.path.append(site)
        self._loaded.add(name)
        try:
            module = importlib.import_module(name)
            if recurs:
                self._warm.add(name)
                warm_up: Callable[[], None] | None = getattr(module, "warm_up", None)
                if warm_up is not None:
                    warm_up()
        except Exception as exc:  # whatever it is, other helpers are not to suffer from it
            print(f"Helper {name} cannot be loaded: {exc}", file=sys.stderr, flush=True)


class Server:
    """The children, and the socket on which the daemon asks for them."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._modules = Modules()
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._pids: dict[int, int] = {}
        """Process id by run."""
        self._runs: dict[int, int] = {}
        """Run by process descriptor."""

    def serve(self) -> None:
        """Answer until the socket is closed."""
        try:
            while True:
                for descriptor, _ in self._poll.poll():
                    if descriptor in self._runs:
                        self._reap(descriptor)
                    elif not self._receive():
                        return
        except (BrokenPipeError, ConnectionResetError):
            return  # the daemon is gone
        finally:
            for run in self._pids:
                self._signal(run, signal.SIGKILL)

    def _receive(self) -> bool:
        """Carry out one command; False at the end of the socket."""
        message, descriptors, _, _ = socket.recv_fds(self._channel, _MAX_COMMAND_BYTES, _DESCRIPTORS)
        if not message:
            return False
        kind, run, value = MESSAGE.unpack_from(message)
        if kind == Command.SIGNAL:
            if run in self._pids:
                self._signal(run, value)
            return True
        module, site = os.fsdecode(message[MESSAGE.size :]).split("\0")
        try:
            self._modules.prepare(module, site, recurs=bool(value))
            if kind == Command.RUN:
                self._start(run, module, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _start(self, run: int, module: str, descriptors: Sequence[int]) -> None:
        """Fork the child of a run."""
        old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                _be_helper(module, descriptors, old_mask)
        except OSError as exc:
            self._report(Report.FAILED, run, exc.errno or 0)
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
        process = os.pidfd_open(pid)
        self._pids[run] = pid
        self._runs[process] = run
        self._poll.register(process, select.POLLIN)
        self._report(Report.STARTED, run, pid)

    def _reap(self, process: int) -> None:
        """Take the status of an ended child; what it left in its group ends with it."""
        run = self._runs.pop(process)
        self._poll.unregister(process)
        os.close(process)
        pid = self._pids[run]
        self._signal(run, signal.SIGKILL)  # before it is reaped: until then nobody else can have its number
        del self._pids[run]
        _, status = os.waitpid(pid, 0)
        self._report(Report.EXITED, run, os.waitstatus_to_exitcode(status))

    def _signal(self, run: int, number: int) -> None:
        """Signal the process group of a run that was not reaped yet."""
        pid = self._pids[run]
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)  # just forked, no group of its own yet

    def _report(self, kind: Report, run: int, value: int) -> None:
        """Tell the daemon."""
        self._channel.send(MESSAGE.pack(kind, run, value))


class Job:
    """What a child is to run: argument vector, environment, working directory."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> None:
        self.argv = list(argv)
        self.env = dict(env)
        self.cwd = cwd

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps([self.argv, self.env, self.cwd]).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> "Job":
        """From JSON."""
        return cls(*json.loads(data))


def _be_helper(module: str, descriptors: Sequence[int], mask: Collection[int]) -> NoReturn:
    """In the child: run the job and end the process, whatever happens."""
    status = _UNCAUGHT
    try:
        status = _run_job(module, descriptors, mask)
    except SystemExit as exc:
        status = exit_status_of(exc)
    except BaseException as exc:
        print(f"Internal error: {type(exc).__name__}: {exc}", file=sys.stderr)
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status & 0xFF)


def _run_job(module: str, descriptors: Sequence[int], mask: Collection[int]) -> int:
    """Become an ordinary program of its own and call the helper."""
    os.setsid()
    payload, *standard = descriptors
    with open(payload, "rb", closefd=False) as stream:
        job = Job.decode(stream.read())
    for target, descriptor in enumerate(standard):
        os.dup2(descriptor, target)
    close_descriptors()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.umask(0o077)
    os.chdir(job.cwd)
    os.environ.clear()
    os.environ.update(job.env)
    sys.argv = job.argv
    helper: ModuleType = importlib.import_module(module)
    return int(helper.main(job.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
