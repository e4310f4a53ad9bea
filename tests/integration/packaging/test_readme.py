"""The tour in README.md is run, and what it shows is what comes out."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN_FOLDER = "/tmp/tour"
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r"CN=(?:[0-9a-f]{8}-){3}[0-9a-f]{8}"), "CN=SERIAL"),
    (re.compile(r"(?:State (?!MONITORING)\w+, stuck: no\.\n)+"), ""),
)
"""What is different each time: times, the local CA's name, and which states the client sees in passing."""


def steps_of(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with the output shown for it."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def without_what_varies(output: str, folder: Path) -> str:
    output = output.replace(str(folder), SHOWN_FOLDER)
    for pattern, replacement in VARYING:
        output = pattern.sub(replacement, output)
    return output


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """For commands that talk to a daemon started by `scripts/run.sh`, as `make run` does."""
    state = tmp_path / "state"
    venv = Path(sys.executable).parents[1]
    path = {"PATH": f"{venv}/bin:{os.environ['PATH']}"}
    process = subprocess.Popen(
        [str(PROJECT / "scripts" / "run.sh"), str(venv)],
        env=path | {"CERTMONGERD_RUN_DIR": str(state)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = iter(process.stdout)
    address = next(line.strip().partition("=")[2] for line in lines if "export CERTMONGER_PVT_ADDRESS" in line)
    yield path | {"CERTMONGER_PVT_ADDRESS": address, "HOME": str(tmp_path)}
    process.terminate()
    process.stdout.close()
    process.wait(timeout=20)


def wait_for_the_daemon(environment: dict[str, str]) -> None:
    waiting = "for try in $(seq 200); do getcert list-cas -c local >/dev/null 2>&1 && exit; sleep 0.05; done; exit 1"
    subprocess.run(["bash", "-c", waiting], env=environment, check=True)


def test_the_tour_shows_what_happens(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "tour"
    folder.mkdir()
    wait_for_the_daemon(environment)
    steps = [step for block in BLOCK.findall((PROJECT / "README.md").read_text()) for step in steps_of(block)]
    assert len(steps) >= 5
    for command, shown in steps:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert without_what_varies(done.stdout, folder) == without_what_varies(shown, folder), command
