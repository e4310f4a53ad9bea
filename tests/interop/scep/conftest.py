"""A real SCEP server: micromdm's scepserver, package `scep` in Debian, on its defaults."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def scepserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScepServerProcess]:
    program = shutil.which("scepserver")
    if program is None:
        pytest.fail("scepserver is not installed; install it with: apt-get install scep")
    folder = tmp_path_factory.mktemp("scepserver")
    subprocess.run([program, "ca", "-init"], cwd=folder, check=True, capture_output=True, timeout=60)
    port = _free_port()
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, f"-challenge={CHALLENGE}", "-port", str(port), "-allowrenew", "0"],
            cwd=folder,
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
