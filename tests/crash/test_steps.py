"""A daemon is killed at each step that an operation leaves on disk; the next one brings everything to a good end."""

import json
import os
import subprocess
import sys
from pathlib import Path

from crash.steps import OPERATIONS

TESTS = Path(__file__).parents[1]


def walk(directory: Path, *options: str) -> dict[str, dict[str, int]]:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    command = [sys.executable, "-m", "crash.steps", str(directory), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts: dict[str, dict[str, int]] = json.loads(done.stdout)["operations"]
    for name, count in counts.items():
        # Two threads may come in another order than in the undisturbed run, or two savings of a state become one.
        assert count["kills"] > 9 * count.get("steps that did not come again", 0), (name, count)
    return counts


def test_nothing_is_lost_at_any_step_of_any_operation(tmp_path: Path) -> None:
    counts = walk(tmp_path)
    assert set(counts) == {operation.name for operation in OPERATIONS}
    assert sum(count["kills"] for count in counts.values()) > 150


def test_nothing_is_lost_when_the_next_daemon_is_killed_too(tmp_path: Path) -> None:
    counts = walk(tmp_path, "--operation", "rekey", "--operation", "resubmit", "--twice", "some")
    assert counts["rekey"]["kills"] > 60
