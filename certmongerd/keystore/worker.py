"""Runs one operation on a database or token in a process of its own.

Libraries for tokens keep state and locks for the whole process, load other people's code, and some
of that hangs or crashes. So the daemon never loads them: a worker process does, for one operation,
within a time limit. Job and answer are JSON on its standard input and output, since secrets are
among them: a process's arguments can be read by everybody.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.keystore.worker_process import GRACE_S, Value
from certmongerd.store.place_lock import PlaceLocks


class _Killed(KeyStoreError):
    """Somebody ended the worker process: the kernel when memory is short, or an operator."""


class _Places:
    """Where workers, also those that a daemon left behind when it was killed, exclude one another."""

    locks: PlaceLocks | None = None


def lock_places_in(path: Path) -> None:
    """From now on let no two workers change the same place, not even those of different daemons; *path* is a file."""
    _Places.locks = PlaceLocks(path)


@dataclass(frozen=True, slots=True)
class Worker:
    """How to run operations of one kind of store."""

    module: str
    """Has a `main` that calls `worker_process.serve`."""
    time_limit_s: float

    def ask(self, operation: str, location: str, user: str = "", **arguments: Value) -> Mapping[str, Value]:
        """The answer of *operation*, which only looks, on the store at *location*. Blocks; raises `KeyStoreError`.

        The operation is done as *user*, or as the daemon's user when that is empty. Where somebody kills its process,
        which says nothing about the store, it is done once more.
        """
        try:
            return self._ask((), operation, location, user, arguments)
        except _Killed:
            return self._ask((), operation, location, user, arguments)

    def change(self, operation: str, location: str, user: str = "", **arguments: Value) -> Mapping[str, Value]:
        """As `ask`, of an operation that changes something: after any other one, of an earlier daemon's, there."""
        with self._held(location) as inherited:
            return self._ask(inherited, operation, location, user, arguments)

    @contextlib.contextmanager
    def _held(self, location: str) -> Iterator[tuple[int, ...]]:
        """Have the place's lock; gives what the worker inherits."""
        with contextlib.ExitStack() as stack:
            try:
                locks = _Places.locks
                held = (stack.enter_context(locks.held(location, self.time_limit_s + GRACE_S)),) if locks else ()
            except TimeoutError:
                reason = "A process of an earlier daemon is still working on it."
                raise KeyStoreError(FailureKind.OTHER, location, reason) from None
            except OSError as exc:
                reason = f"The file with the locks, {exc.filename}, cannot be used: {exc.strerror}"
                raise KeyStoreError(FailureKind.OTHER, location, reason) from exc
            yield held

    def _ask(
        self, inherited: tuple[int, ...], operation: str, location: str, user: str, arguments: Mapping[str, Value]
    ) -> Mapping[str, Value]:
        job = {"operation": operation, "limit_s": self.time_limit_s, "user": user, "location": location, **arguments}
        answer = self._run(json.dumps(job).encode(), location, inherited)
        failed = answer.get("failed")
        if failed is not None:
            raise KeyStoreError(FailureKind(failed), location, str(answer["reason"]))
        return answer

    def _run(self, job: bytes, location: str, inherited: tuple[int, ...]) -> Mapping[str, Value]:
        with _started(self.module, location, inherited) as process:
            try:
                output, _ = process.communicate(job, timeout=self.time_limit_s)
            except subprocess.TimeoutExpired:
                reason = f"The token did not answer within {self.time_limit_s:.0f} seconds."
                raise KeyStoreError(FailureKind.OTHER, location, reason) from None
            finally:
                _end(process)
        try:
            answer = json.loads(output)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
        if process.returncode == -signal.SIGKILL:
            raise _Killed(FailureKind.OTHER, location, "The process that works with the token was killed.")
        raise KeyStoreError(FailureKind.OTHER, location, f"The token's library {_end_of(process.returncode)}.")


def _started(module: str, location: str, inherited: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """The worker process, waiting for its job. Raises `KeyStoreError`."""
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            pass_fds=inherited,
            umask=0o077,
        )
    except OSError as exc:
        reason = f"The token's process cannot be started: {exc.strerror}"
        raise KeyStoreError(FailureKind.OTHER, location, reason) from exc


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever still runs of the session; the caller reaps."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _end_of(status: int) -> str:
    """What became of a process that gave no answer."""
    if status >= 0:
        return f"gave no answer; its process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"crashed; its process was ended by {name}"
