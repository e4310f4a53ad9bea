"""A private bus, a daemon on it with its own directories, and a place to run the client in."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.certificates import write_certificates
from cli.transcripts import FOLDER

from certmongerd.api import BUS_NAME, DBUS_NAME, DBUS_PATH
from certmongerd.busapi.blocking import BlockingConnection, BusUnavailable

REALM = "EXAMPLE.ORG"
START_TIMEOUT_S = 30.0

_BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow receive_sender="*"/>
    {everybody}
  </policy>
  <policy user="root">
    <allow send_destination="*"/>
  </policy>
</busconfig>
"""
_EVERYBODY = '<allow send_destination="*"/>'


def installed(program: str) -> str:
    """One of the programs under test."""
    return os.path.join(os.path.dirname(sys.executable), program)


@dataclass(frozen=True)
class Daemon:
    """A program under test."""

    name: str
    command: tuple[str, ...]
    """Runs it in the foreground on the session bus."""


ORIGINAL = Daemon("certmonger", ("/usr/sbin/certmonger", "-s", "-n"))
OWN = Daemon("certmongerd", (installed("certmongerd"), "-s", "-n"))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until(is_up: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_up():
        if time.monotonic() > deadline or process.poll() is not None:
            raise AssertionError(f"{process.args!r} did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


@dataclass(frozen=True)
class Rig:
    """Directories, environment and the running processes' addresses."""

    directory: Path
    """What the transcripts call <DIR>."""
    state: Path
    """What the transcripts call <STATE>."""
    environment: Mapping[str, str]

    def run(
        self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=cwd or self.state,
            env={**self.environment, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def _has_owner(address: str) -> bool:
    try:
        with BlockingConnection.connect(address) as bus:
            bus.hello()
            return bool(bus.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, "NameHasOwner", "s", (BUS_NAME,))[0])
    except BusUnavailable:
        return False


def _can_connect(address: str) -> bool:
    try:
        BlockingConnection.connect(address).close()
    except BusUnavailable:
        return False
    return True


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/"
        )
    try:
        yield process
    finally:
        _end(process)


def _environment(state: Path, address: str) -> dict[str, str]:
    krb5 = state / "krb5.conf"
    krb5.write_text(f"[libdefaults]\n default_realm = {REALM}\n")
    directories = {name: state / name for name in ("config", "requests", "cas", "local", "tmp", "home")}
    for directory in directories.values():
        directory.mkdir()
    return {
        "CERTMONGER_CONFIG_DIR": str(directories["config"]),
        "CERTMONGER_REQUESTS_DIR": str(directories["requests"]),
        "CERTMONGER_CAS_DIR": str(directories["cas"]),
        "CERTMONGER_LOCAL_CA_DIR": str(directories["local"]),
        "CERTMONGER_TMPDIR": str(directories["tmp"]),
        "CERTMONGER_SYSTEM_LOCK_FILE": str(state / "lock"),
        "HOME": str(directories["home"]),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "DBUS_SESSION_BUS_ADDRESS": address,
        "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={state}/nobus",
        "KRB5_CONFIG": str(krb5),
        "TZ": "UTC",
        "LANG": "C.UTF-8",
    }


def _fill_directory(directory: Path) -> None:
    for name in ("nss", "nss-pin", "cadb"):
        (directory / name).mkdir()
    (directory / "pin").write_text("pin123\n")
    shutil.copy(FOLDER / "fake-helper", directory / "fake-helper")
    write_certificates(directory)


@contextmanager
def running(daemon: Daemon | None, *, everybody_may_call: bool = True) -> Iterator[Rig]:
    """A bus with *daemon* on it, or with nobody."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="getcert-")))
        state.chmod(0o755)
        directory = state / "d"
        directory.mkdir()
        _fill_directory(directory)
        address = f"unix:path={state}/bus"
        environment = _environment(state, address)
        configuration = state / "bus.conf"
        configuration.write_text(
            _BUS_CONFIG.format(socket=state / "bus", everybody=_EVERYBODY if everybody_may_call else "")
        )
        bus_log, daemon_log = state / "bus.log", state / "daemon.log"
        bus_command = ("dbus-daemon", f"--config-file={configuration}", "--nofork")
        bus = stack.enter_context(_process(bus_command, environment, bus_log))
        _wait_until(lambda: _can_connect(address), bus, bus_log)
        if daemon is not None:
            process = stack.enter_context(_process(daemon.command, environment, daemon_log))
            _wait_until(lambda: _has_owner(address), process, daemon_log)
        yield Rig(directory=directory, state=state, environment=environment)
