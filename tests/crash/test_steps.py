"""What a daemon leaves on disk when it is killed at any step, or the power goes, is continued by the next one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from crash.disk import Disk
from crash.steps import OPERATIONS

TESTS = Path(__file__).parents[1]


def walk(directory: Path, how: str, *operations: str) -> dict[str, dict[str, int]]:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    command = [sys.executable, "-m", "crash.steps", str(directory), "--how", how]
    for operation in operations:
        command += ["--operation", operation]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts: dict[str, dict[str, int]] = json.loads(done.stdout)["operations"]
    return counts


def test_nothing_is_lost_at_the_steps_of_any_operation(tmp_path: Path) -> None:
    counts = walk(tmp_path, "third")
    assert set(counts) == {operation.name for operation in OPERATIONS}
    for name, count in counts.items():
        # Two threads may come in another order than in the undisturbed run, or two savings of a state become one.
        assert count["kills"] > 4 * count.get("steps that did not come again", 0), (name, count)
    assert sum(count["kills"] for count in counts.values()) > 50


def test_nothing_is_lost_when_the_power_goes(tmp_path: Path) -> None:
    counts = walk(tmp_path, "power-cut", "rekey", "remove-waiting")
    assert counts["rekey"]["states"] > 20


def test_an_enrolment_writes_its_state_a_few_times(tmp_path: Path) -> None:
    # certmonger writes it some thirty times.
    walk(tmp_path, "undisturbed", "request")
    steps = (tmp_path / "request" / "trace").read_text().splitlines()
    assert 0 < sum(step.startswith(("rename requests/", "link requests/")) for step in steps) <= 6


def happened(*lines: str) -> Disk:
    disk = Disk({"certs/a": b"old"})
    for line in lines:
        disk.happen(line)
    return disk


CREATE, WRITE = '["create", "certs/b"]', '["write", "certs/b", "bmV3"]'
SYNC, RENAME, SYNC_NAMES = '["fsync", "certs/b"]', '["rename", "certs/b", "certs/a"]', '["fsync", "certs"]'


@pytest.mark.parametrize(
    ("lines", "possible"),
    [
        ((), [b"old"]),
        ((CREATE, WRITE, RENAME), [b"old", b""]),
        ((CREATE, WRITE, SYNC, RENAME), [b"old", b"new"]),
        ((CREATE, WRITE, SYNC, RENAME, SYNC_NAMES), [b"new"]),
    ],
)
def test_the_model_of_a_power_cut_loses_what_was_not_synced(lines: tuple[str, ...], possible: list[bytes]) -> None:
    found = {state["certs/a"] for state in happened(*lines).after_power_cut()}
    assert found == set(possible)
