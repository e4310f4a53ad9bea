"""A daemon of one's own for measurements: private bus or socket, own directories, nothing of the host is touched."""

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from certmongerd.installation import helper_directory

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
DIRECTORIES = {
    "CERTMONGER_CONFIG_DIR": "config",
    "CERTMONGER_REQUESTS_DIR": "requests",
    "CERTMONGER_CAS_DIR": "cas",
    "CERTMONGER_LOCAL_CA_DIR": "local",
    "CERTMONGER_TMPDIR": "tmp",
}
STOP_TIMEOUT_S = 20.0


class MeasurementFailed(Exception):
    """A daemon did not do, or not in time, what was to be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A daemon that was started."""

    daemon: str
    """Its name in `programs`."""
    pid: int
    address: str
    """D-Bus address to connect to."""
    is_bus: bool
    """Whether a bus is behind the address, not the daemon itself."""
    state: Path


def new_folder(prefix: str) -> Path:
    """An empty folder for one run. It is removed when this program ends.

    Not earlier, because the next run would have to pay for it: where ext4 has no journal, making a file means passing
    over all in the same part of the disk that were deleted in the last minutes, one by one. For those that a daemon
    replaces, which are deleted, too, each folder is in a part of its own.
    """
    return Path(tempfile.mkdtemp(prefix=prefix, dir=_folders()))


@cache
def _folders() -> str:
    folder = tempfile.mkdtemp(prefix="bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with suppress(FileNotFoundError):  # neither has each system the program, nor each file system something like that
        subprocess.run(["chattr", "+T", folder], stderr=subprocess.DEVNULL, check=False)
    return folder


def programs() -> dict[str, str]:
    """The daemons that can be measured, with their program files."""
    return {"certmongerd": str(Path(sys.executable).with_name("certmongerd")), "debian": "/usr/sbin/certmonger"}


def helper_directories() -> dict[str, str]:
    """Where the enrolment helpers of each daemon are."""
    return {"certmongerd": helper_directory(), "debian": "/usr/lib/certmonger"}


def daemon_environment(root: Path, bus_address: str | None) -> dict[str, str]:
    """The environment of a daemon, and of its clients, on directories below *root*; they are made where missing."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "CERTMONGER_SYSTEM_LOCK_FILE": str(root / "lock")}
    for variable, name in DIRECTORIES.items():
        (root / name).mkdir(exist_ok=True)
        environment[variable] = str(root / name)
    for variable in ("CERTMONGERD_DBUS_LIBRARY", "LANG"):
        if variable in os.environ:
            environment[variable] = os.environ[variable]
    if bus_address:
        environment["DBUS_SESSION_BUS_ADDRESS"] = bus_address
    return environment


def _wait_until_listening(path: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise MeasurementFailed(f"nobody listens at {path}:\n{log.read_text(errors='replace')}")
        time.sleep(0.01)


@contextmanager
def running(argv: list[str], environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program that writes to *log*; it is told to end with the context."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def own_bus(root: Path) -> Iterator[str]:
    """Run a dbus-daemon without service activation below *root*; its address."""
    path, config, log = root / "socket", root / "bus.conf", root / "bus.log"
    config.write_text(BUS_CONFIG.format(socket=path))
    argv = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"]
    with running(argv, {"PATH": os.environ["PATH"]}, log) as bus:
        _wait_until_listening(path, bus, log)
        yield f"unix:path={path}"


@contextmanager
def started(daemon: str, *, transport: str, root: Path) -> Iterator[Rig]:
    """Start *daemon* (a name from `programs`) below the empty folder *root*; it ends with the context.

    *transport* is "bus" (a dbus-daemon without service activation) or "peer" (the daemon's private socket).
    """
    program = programs()[daemon]
    if shutil.which(program) is None:
        raise MeasurementFailed(f"{program} is not installed")
    path = root / "socket"
    address = f"unix:path={path}"
    with ExitStack() as stack:
        log = root / "daemon.log"
        if transport == "bus":
            stack.enter_context(own_bus(root))
            environment = daemon_environment(root, address)
            process = stack.enter_context(running([program, "-s", "-n"], environment, log))
        else:
            environment = daemon_environment(root, None)
            process = stack.enter_context(running([program, "-n", "-L", "-P", str(path)], environment, log))
            _wait_until_listening(path, process, log)
        yield Rig(daemon=daemon, pid=process.pid, address=address, is_bus=transport == "bus", state=root)
