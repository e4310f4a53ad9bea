"""A daemon for one command, where there is no system bus: in installers and containers."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Final

from certmongerd.busapi.blocking import BlockingConnection, BusUnavailable
from getcert.errors import CommandFailed, ConnectionFailed

_PROGRAMS: Final = ("certmongerd", "certmonger")
"""Both take the options used here."""
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 20.0
_LOG_TAIL_LINES: Final = 5


def find_daemon(executable: str, search_path: str) -> str | None:
    """The daemon's program: the one installed beside the Python interpreter, else one of *search_path*."""
    beside = os.path.dirname(executable)
    for directories in (beside, f"{search_path}:/usr/sbin:/sbin"):
        for program in _PROGRAMS:
            found = shutil.which(program, path=directories)
            if found is not None:
                return found
    return None


def _await_socket(process: subprocess.Popen[bytes], address: str) -> None:
    """Return when something listens at *address*. Raises ConnectionFailed."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    reason = "the daemon took too long to start"
    while time.monotonic() < deadline:
        try:
            BlockingConnection.connect(address).close()
        except BusUnavailable as exc:
            reason = exc.reason
        else:
            return
        if process.poll() is not None:
            reason = f"the daemon ended with status {process.returncode}"
            break
        time.sleep(0.02)
    raise ConnectionFailed(address, reason)


def _log_tail(log: IO[bytes]) -> list[str]:
    log.seek(0)
    return log.read().decode("utf-8", "replace").splitlines()[-_LOG_TAIL_LINES:]


@contextmanager
def temporary_daemon(environment: Mapping[str, str], *, verbose: bool) -> Iterator[str]:
    """Run a daemon while the block runs; gives its private address.

    The command stays in this process, so that its exit status and working directory are its own. The daemon's log
    goes to standard error when *verbose*; otherwise only its end, when the daemon does not come up.
    """
    program = find_daemon(sys.executable, environment.get("PATH", os.defpath))
    if program is None:
        raise CommandFailed("Error connecting to D-Bus, and no certmongerd program was found to start.")
    location = f"abstract=/run/certmonger/getcert-{uuid.uuid4().hex}"
    if verbose:
        sys.stderr.write(f"No system bus is running: starting {program} for this command.\n")
        sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [program, "-n", "-L", "-P", location],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if not verbose else sys.stderr,
            stderr=sys.stderr if verbose else log,
            cwd="/",
        )
        try:
            try:
                _await_socket(process, f"unix:{location}")
            except ConnectionFailed as exc:
                raise CommandFailed("Error connecting to D-Bus.", f"{program}: {exc.reason}", *_log_tail(log)) from exc
            yield f"unix:{location}"
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
