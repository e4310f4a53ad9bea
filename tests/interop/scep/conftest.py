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


def _program() -> str:
    program = shutil.which("scepserver")
    if program is None:
        pytest.fail("scepserver is not installed; install it with: apt-get install scep")
    return program


@contextmanager
def _running(depot: Path, *options: str) -> Iterator[ScepServerProcess]:
    port = _free_port()
    log = depot.parent / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [_program(), f"-challenge={CHALLENGE}", "-depot", str(depot), "-port", str(port), *options],
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


@pytest.fixture(scope="session")
def new_depot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA as the server makes it, which has not issued anything; to be copied."""
    depot = tmp_path_factory.mktemp("scepserver") / "depot"
    subprocess.run([_program(), "ca", "-init", "-depot", str(depot)], check=True, capture_output=True, timeout=60)
    return depot


@pytest.fixture(scope="session")
def scepserver(new_depot: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScepServerProcess]:
    """The server on its defaults; it issues one certificate per subject until that is about to expire."""
    depot = tmp_path_factory.mktemp("default") / "depot"
    shutil.copytree(new_depot, depot)
    with _running(depot) as server:
        yield server


@pytest.fixture(scope="session")
def renewing_scepserver(new_depot: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScepServerProcess]:
    """The server with its policy about early renewals lifted."""
    depot = tmp_path_factory.mktemp("renewing") / "depot"
    shutil.copytree(new_depot, depot)
    with _running(depot, "-allowrenew", "0") as server:
        yield server
