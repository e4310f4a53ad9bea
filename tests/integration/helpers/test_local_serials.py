"""Serial numbers of the local CA when many programs issue at once, and when some of them are killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from local_ca import CSR, ORIGINAL, LocalCa

WORKERS: Final = 16
EACH: Final = 8
WORKER: Final = """
import os, sys
from certmonger_helpers.local_submit import main, warm_up
warm_up()
children = []
for number in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        output = os.open(os.path.join(sys.argv[3], f"{number}.pem"), os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os._exit(max(main([]) for _ in range(int(sys.argv[2]))))
    children.append(child)
print(*children, file=sys.stderr, flush=True)
os._exit(max(os.waitpid(child, 0)[1] for child in children) and 1)
"""
"""Forks as the daemon does for helpers of this project, so that runs really are at the same time."""


@pytest.fixture
def ca(tmp_path: Path) -> LocalCa:
    return LocalCa.below(tmp_path)


def start(ca: LocalCa, output: Path, workers: int, each: int) -> subprocess.Popen[str]:
    output.mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(workers), str(each), str(output)],
        env={
            "PATH": "/usr/bin:/bin",
            "CERTMONGER_CONFIG_DIR": str(ca.config),
            "CERTMONGER_LOCAL_CA_DIR": str(ca.directory),
            "CERTMONGER_OPERATION": "SUBMIT",
            "CERTMONGER_CSR": CSR,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def serials(output: Path) -> list[int]:
    """Of all certificates that were printed completely."""
    end = "-----END CERTIFICATE-----\n"
    blocks = (block + end for path in output.iterdir() for block in path.read_text().split(end)[:-1])
    return [x509.load_pem_x509_certificate(block.encode()).serial_number for block in blocks]


def test_many_runs_at_once_never_use_a_number_twice(ca: LocalCa, tmp_path: Path) -> None:
    process = start(ca, tmp_path / "output", WORKERS, EACH)
    by_original = [ca.issue((ORIGINAL,)).serial_number for _ in range(4)]
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    ((_, root),) = ca.roots()
    expected = range(root.serial_number + 1, root.serial_number + 1 + WORKERS * EACH + len(by_original))
    assert sorted(serials(tmp_path / "output") + by_original) == list(expected)


def test_runs_that_are_killed_leave_a_ca_that_uses_no_number_twice(ca: LocalCa, tmp_path: Path) -> None:
    first = ca.issue().serial_number
    process = start(ca, tmp_path / "output", 8, 1000)
    assert process.stderr is not None
    children = [int(number) for number in process.stderr.readline().split()]
    deadline = time.monotonic() + 120
    for number, child in enumerate(children):
        while len(serials(tmp_path / "output")) < 3 * (number + 1):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
    process.communicate(timeout=120)
    last = ca.issue().serial_number
    used = [first, *serials(tmp_path / "output"), last]
    assert len(set(used)) == len(used)
    assert max(used) == last
