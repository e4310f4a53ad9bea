"""A real SCEP server: micromdm's scepserver, package `scep` in Debian, on its defaults."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CHALLENGE = "secret"
_START_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScepServerProcess:
    """A running server."""

    url: str
    challenge: str
    log: Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"scepserver did not start:\n{log.read_text()}")


def scepserver_program() -> str:
    program = shutil.which("scepserver")
    if program is None:
        pytest.fail("scepserver is not installed; install it with: apt-get install scep")
    return program


@contextmanager
def running_scepserver(depot: Path, *options: str) -> Iterator[ScepServerProcess]:
    port = _free_port()
    log = depot.parent / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [scepserver_program(), f"-challenge={CHALLENGE}", "-depot", str(depot), "-port", str(port), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_listening(port, process, log)
        yield ScepServerProcess(url=f"http://127.0.0.1:{port}/scep", challenge=CHALLENGE, log=log)
    finally:
        process.terminate()
        process.wait(timeout=10)


def new_depot(directory: Path) -> Path:
    """A CA as the server makes it, which has not issued anything."""
    depot = directory / "depot"
    command = [scepserver_program(), "ca", "-init", "-depot", str(depot)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return depot
