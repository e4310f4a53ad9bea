"""A first look: starts the daemon in a folder of its own, gets a certificate from two CAs, checks them, cleans up.

Needs nothing of the host but Python and openssl; the SCEP part also wants the `scep` package of Debian, which is
installed when root runs this. Nothing outside the temporary folder is written otherwise.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

CHALLENGE = "demo-challenge"
START_LIMIT_S = 30.0
COMMAND_LIMIT_S = 120.0
BIN = Path(sys.executable).parent


class DemoFailed(Exception):
    """The demo cannot go on; the text is for the person who runs it."""


def step(title: str) -> None:
    """Announce what comes next."""
    print(f"\n== {title}", flush=True)


class Shell:
    """Runs commands in the demo's folder and shows them as a person would type them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment

    def run(self, *argv: str, quiet: bool = False) -> str:
        """Show and run a command; returns its output, and shows it indented unless *quiet*. Raises DemoFailed."""
        print("$ " + shlex.join(argv), flush=True)
        done = subprocess.run(
            argv,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        if done.returncode != 0 or not quiet:
            for line in (done.stdout + done.stderr).splitlines():
                print(f"    {line}")
        if done.returncode != 0:
            raise DemoFailed(f"{shlex.join(argv)} ended with status {done.returncode}")
        return done.stdout

    @contextmanager
    def in_background(self, *argv: str, log: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a command until the context ends; its output goes to the file *log*."""
        print("$ " + shlex.join(argv) + " &", flush=True)
        with (self._folder / log).open("wb") as output:
            process = subprocess.Popen(
                argv, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            yield process
        except Exception:
            print(f"\n-- the end of {log}:")
            print("\n".join((self._folder / log).read_text(errors="replace").splitlines()[-12:]))
            raise
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(is_ready: Callable[[], bool], process: "subprocess.Popen[bytes]", what: str) -> None:
    """Wait for a background process to become useful. Raises DemoFailed when it ends or takes too long."""
    deadline = time.monotonic() + START_LIMIT_S
    while not is_ready():
        if process.poll() is not None:
            raise DemoFailed(f"{what} ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise DemoFailed(f"{what} was not ready after {START_LIMIT_S:g} seconds")
        time.sleep(0.05)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2) as reply:
            return bool(reply.read())
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_scepserver() -> str | None:
    """The program of Debian's package `scep`, installed if that is possible; None where it cannot be had."""
    if shutil.which("scepserver") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        script = Path(__file__).with_name("debian-packages.sh")
        print(f"$ {script.name} scep", flush=True)
        if subprocess.run([str(script), "scep"], check=False).returncode != 0:
            print("    the package scep could not be installed")
    return shutil.which("scepserver")


def environment_below(folder: Path) -> dict[str, str]:
    """An environment in which daemon and tools touch nothing but *folder*."""
    environment = {
        "PATH": f"{BIN}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "CERTMONGER_SYSTEM_LOCK_FILE": str(folder / "lock"),
        "CERTMONGER_PVT_ADDRESS": f"unix:path={folder}/socket",
    }
    for name in ("config", "requests", "cas", "local", "tmp"):
        (folder / name).mkdir()
        variable = "CERTMONGER_TMPDIR" if name == "tmp" else f"CERTMONGER_{name.upper()}_DIR"
        environment[variable.replace("LOCAL_DIR", "LOCAL_CA_DIR")] = str(folder / name)
    return environment


def verify(shell: Shell, name: str, ca_file: str) -> None:
    """Check a certificate against its CA and its key, with openssl. Raises DemoFailed."""
    shell.run("openssl", "verify", "-CAfile", ca_file, f"{name}.crt")
    of_certificate = shell.run("openssl", "x509", "-in", f"{name}.crt", "-noout", "-pubkey", quiet=True)
    of_key = shell.run("openssl", "pkey", "-in", f"{name}.key", "-pubout", quiet=True)
    if of_certificate != of_key:
        raise DemoFailed(f"{name}.crt does not belong to {name}.key")
    print(f"    => {name}.crt was issued by its CA and belongs to {name}.key")


def request(shell: Shell, folder: Path, name: str, *options: str) -> None:
    """Ask for a certificate called *name* and wait for it."""
    files = ["-f", f"{folder}/{name}.crt", "-k", f"{folder}/{name}.key"]
    shell.run("getcert", "request", *options, "-I", name, "-N", f"CN={name}.example.com", *files, "-w", "-v")


def enrol_with_scep(shell: Shell, folder: Path, scepserver: str, stack: ExitStack) -> None:
    """Start a SCEP server with a new CA, make it known to the daemon, and get a certificate from it."""
    step("A SCEP server of somebody else (Debian's package scep), with a new CA of its own")
    shell.run(scepserver, "ca", "-init", "-depot", "depot", "-keySize", "2048", "-organization", "Demo SCEP CA")
    port = _free_port()
    url = f"http://127.0.0.1:{port}/scep"
    options = ["-depot", "depot", "-port", str(port), "-challenge", CHALLENGE, "-allowrenew", "0"]
    server = stack.enter_context(shell.in_background(scepserver, *options, log="scepserver.log"))
    wait_until(lambda: _answers(f"{url}?operation=GetCACaps"), server, "scepserver")
    step("The daemon is told about it, and a second certificate is requested with the challenge password")
    shell.run("getcert", "add-scep-ca", "-c", "demo-scep", "-u", url)
    request(shell, folder, "scep", "-c", "demo-scep", "-L", CHALLENGE)
    verify(shell, "scep", "depot/ca.pem")


def run_demo(folder: Path, stack: ExitStack) -> None:
    """All of the demo, below the empty *folder*."""
    shell = Shell(folder, environment_below(folder))
    step(f"The daemon, on a private socket, with everything it knows below {folder}")
    options = ["-n", "-L", "-P", f"{folder}/socket"]
    daemon = stack.enter_context(shell.in_background("certmongerd", *options, log="daemon.log"))
    wait_until(lambda: _accepts(folder / "socket"), daemon, "certmongerd")
    print(f"$ export CERTMONGER_PVT_ADDRESS=unix:path={folder}/socket")
    shell.run("getcert", "list-cas")

    step("A certificate from the CA that is built in, called local")
    request(shell, folder, "web", "-c", "local", "-D", "web.example.com", "-F", f"{folder}/ca.pem")
    verify(shell, "web", "ca.pem")

    scepserver = find_scepserver()
    if scepserver is None:
        step("No SCEP part: there is no scepserver here (Debian: apt-get install scep)")
    else:
        enrol_with_scep(shell, folder, scepserver, stack)

    step("What the daemon watches from now on")
    shell.run("getcert", "list")


def main() -> int:
    """Run the demo; the exit status."""
    if shutil.which("openssl") is None:
        print("The demo needs the program openssl (Debian: apt-get install openssl).", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="demo-") as name, ExitStack() as stack:
            run_demo(Path(name), stack)
            step("Cleaning up: daemon and server are stopped, the folder is removed")
    except (DemoFailed, subprocess.TimeoutExpired) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything was cleaned up.", file=sys.stderr)
        return 130
    print("\nDone: everything worked.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
