"""A real SCEP server to enrol with: scepserver of the Debian package scep, with a CA of its own.

It certifies a name again at any time, as it has to for a request of which it wrote the certificate and refused it then.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rig import MeasurementFailed

CHALLENGE: Final = "secret"
START_TIMEOUT_S: Final = 20.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def scepserver(root: Path) -> Iterator[str]:
    """Run the server below the folder *root*; the URL. It ends with the context."""
    program = shutil.which("scepserver")
    if program is None:
        raise MeasurementFailed("scepserver is not installed: apt-get install scep")
    depot, port = root / "depot", _free_port()
    subprocess.run([program, "ca", "-init", "-depot", str(depot)], check=True, capture_output=True, timeout=60)
    with (root / "scepserver.log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"-challenge={CHALLENGE}", "-allowrenew=0", "-depot", str(depot), "-port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise MeasurementFailed(f"scepserver did not start:\n{(root / 'scepserver.log').read_text()}")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/scep"
    finally:
        process.terminate()
        process.wait(timeout=10)
