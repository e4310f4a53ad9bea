"""A real daemon in directories of its own, and a getcert that talks to it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BIN: Final = Path(sys.executable).parent
START_LIMIT_S: Final = 20.0


@dataclass
class DaemonUnderTest:
    """Starts `certmongerd -n -L` below *root*; every directory is its own."""

    root: Path
    config: str = ""
    options: Sequence[str] = ()
    bus_address: str = ""
    """Of a session bus to serve as well as the private socket."""
    system_bus_address: str = ""
    """Of a system bus to serve as well as the private socket."""
    program: str = str(BIN / "certmongerd")
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.root / "log"
        for name in ("config", "requests", "cas", "local", "tmp", "certs"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.configure(self.config)

    def configure(self, text: str) -> None:
        """Write certmonger.conf."""
        (self.root / "config" / "certmonger.conf").write_text(text)

    def hang_up(self) -> None:
        """Have the configuration read again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    @property
    def socket(self) -> Path:
        return self.root / "socket"

    @property
    def certs(self) -> Path:
        return self.root / "certs"

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "CERTMONGER_CONFIG_DIR": str(self.root / "config"),
            "CERTMONGER_REQUESTS_DIR": str(self.root / "requests"),
            "CERTMONGER_CAS_DIR": str(self.root / "cas"),
            "CERTMONGER_LOCAL_CA_DIR": str(self.root / "local"),
            "CERTMONGER_TMPDIR": str(self.root / "tmp"),
            "CERTMONGER_SYSTEM_LOCK_FILE": str(self.root / "lock"),
            **({"DBUS_SESSION_BUS_ADDRESS": self.bus_address} if self.bus_address else {}),
            **({"DBUS_SYSTEM_BUS_ADDRESS": self.system_bus_address} if self.system_bus_address else {}),
        }

    def _transport(self) -> list[str]:
        if self.system_bus_address:
            return ["-S", "-l"]
        return ["-s", "-l"] if self.bus_address else ["-L"]

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start and wait until the socket answers."""
        command = [self.program, "-n", *self._transport(), "-P", str(self.socket), "-d", "3", *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=self.environment() | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not self.socket.exists() or self.getcert("list").returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the daemon did not start:\n{self.log.read_text()}")
            time.sleep(0.02)

    def start_elsewhere(self, socket: Path) -> None:
        """Start on another socket, in the same directories."""
        command = [str(BIN / "certmongerd"), "-n", "-L", "-P", str(socket)]
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=START_LIMIT_S, check=False
        )
        raise AssertionError(f"status {done.returncode}: {done.stderr}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        try:
            return process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the daemon did not end:\n{self.log.read_text()}") from None

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def close(self) -> None:
        if self.process is not None:
            self.kill()

    def getcert(self, *arguments: str | Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run getcert against this daemon."""
        environment = self.environment() | {"CERTMONGER_PVT_ADDRESS": f"unix:path={self.socket}"}
        return subprocess.run(
            [str(BIN / "getcert"), *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def wait_for(self, name: str, state: str = "MONITORING") -> None:
        """Until a request is in *state*."""
        wait_until(lambda: self.listing(name).get("status") == state, self.log)

    def reload(self) -> None:
        """SIGHUP, and wait until it had its effect."""
        before = self.log.read_text().count("read again")
        self.hang_up()
        wait_until(lambda: self.log.read_text().count("read again") > before, self.log)

    def request(self, name: str, *arguments: str, ca: str = "local") -> subprocess.CompletedProcess[str]:
        """`getcert request -w -v` for key and certificate files called *name*."""
        files = ("-f", str(self.certs / f"{name}.crt"), "-k", str(self.certs / f"{name}.key"))
        return self.getcert(
            "request", "-I", name, "-c", ca, *files, "-N", f"CN={name}.example.org", "-w", "-v", *arguments
        )

    def listing(self, name: str) -> dict[str, str]:
        """The fields that `getcert list` shows of one request."""
        return self.shown("list", name)

    def shown(self, command: str, name: str) -> dict[str, str]:
        """The fields that a command shows of one request."""
        output = self.getcert(command, "-i", name).stdout
        fields = (line.strip().partition(":") for line in output.splitlines() if line.startswith("\t"))
        return {key: value.strip() for key, _, value in fields}

    def state_file(self, kind: str, name: str) -> Path:
        """The file of a request ("requests") or a CA ("cas") that the daemon may be replacing just now."""
        for path in (self.root / kind).iterdir():
            if path.suffix != ".tmp" and f"\nid={name}\n" in "\n" + path.read_text():
                return path
        raise AssertionError(f"none of the {kind} is {name}")

    def add_helper(self, name: str, script: str) -> None:
        """A CA whose helper is a shell script; it answers data operations with 6."""
        path = self.root / f"{name}.sh"
        path.write_text(
            '#!/bin/sh\ncase "$CERTMONGER_OPERATION" in SUBMIT|POLL) ;; *) exit 6 ;; esac\n' + script + "\n"
        )
        path.chmod(0o755)
        added = self.getcert("add-ca", "-c", name, "-e", str(path))
        assert added.returncode == 0, added.stdout + added.stderr


def open_folders(path: Path) -> None:
    """Let other users pass through the test's folders."""
    for folder in (path, *path.parents):
        if folder.stat().st_uid == os.geteuid() and str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o711)


def wait_until(condition: Callable[[], bool], log: Path | None = None, limit_s: float = 60) -> None:
    """Until *condition* is met; fails, with the *log*, when that takes too long."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not happen in time\n{log.read_text() if log is not None else ''}")
        time.sleep(0.05)


def openssl(*arguments: str | Path) -> str:
    """Run openssl, which must succeed; its standard output."""
    program = shutil.which("openssl")
    assert program is not None, "openssl is not installed: apt-get install openssl"
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_pair(certificate: Path, key: Path) -> None:
    """The certificate's public key is the key's."""
    of_certificate = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    assert of_certificate == openssl("pkey", "-in", key, "-pubout")
