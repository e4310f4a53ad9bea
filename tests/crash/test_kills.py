"""Daemons are killed under load, at any moment and in every kind of call that writes; nothing is lost.

`make soak` does it with ten thousand of them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from crash.run import SETTLE_EVERY

KILLS = 200
KILLS_WITH_DATABASES = 50
KILLS_WITH_PROCESSES = 25
TESTS = Path(__file__).parents[1]


def kill(directory: Path, kills: int, *options: str) -> dict[str, int]:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    command = [sys.executable, "-m", "crash.run", str(directory), "--kills", str(kills), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = json.loads(done.stdout)
    assert counts["losses"] == 0
    assert counts["killed at any moment"] + counts.get("killed in a call that writes", 0) == kills
    assert counts["settled"] == kills // SETTLE_EVERY
    return counts


def test_nothing_is_lost_by_kills_under_load(tmp_path: Path) -> None:
    counts = kill(tmp_path, KILLS)
    assert counts["killed in a call that writes"] > KILLS // 3
    assert min(counts[kind] for kind in ("serials", "with a PIN", "over SCEP")) > 0


def test_nothing_is_lost_when_keys_and_certificates_are_in_databases(tmp_path: Path) -> None:
    counts = kill(tmp_path, KILLS_WITH_DATABASES, "--databases", "--instances", "2")
    assert counts["in a database"] > counts["requests"] // 2


def test_nothing_is_lost_when_processes_do_the_work_and_are_killed_too(tmp_path: Path) -> None:
    counts = kill(tmp_path, KILLS_WITH_PROCESSES, "--processes", "--instances", "1")
    assert counts["workers killed"] > 0
