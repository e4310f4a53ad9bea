"""A thousand daemons are killed under load, at any moment and in every kind of call that writes; nothing is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

from crash.run import SETTLE_EVERY

KILLS = 1000
TESTS = Path(__file__).parents[1]


def test_nothing_is_lost_by_a_thousand_kills(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    command = [sys.executable, "-m", "crash.run", str(tmp_path), "--kills", str(KILLS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["losses"] == 0
    assert counts["killed at any moment"] + counts["killed in a call that writes"] == KILLS
    assert counts["killed in a call that writes"] > KILLS // 3
    assert counts["settled"] == KILLS // SETTLE_EVERY
    assert counts["serials"] > 0
