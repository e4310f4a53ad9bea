"""Programs for tests: a piece of Python, run by executing an interpreter or as a bundled helper."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from trial_programs import Trial

from certmongerd.runner.process import Launcher

TERMINATION_GRACE_S: Final = 0.3
OUTPUT_GRACE_S: Final = 0.2

_MODULE: Final = '''
"""A helper that does what its first argument says."""

def can_run_again(argv):
    return True

def main(argv):
    variables = {"status": 0}
    exec(argv[0], variables)
    return variables["status"]
'''


@pytest.fixture
def helper_dir(tmp_path: Path) -> Path:
    """A package with one bundled helper, `act`, next to which is no real one."""
    package = tmp_path / "trial_helpers"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "act.py").write_text(_MODULE)
    program = package / "bin" / "act"
    program.write_text("#!/bin/sh\necho the shell script was executed\nexit 99\n")
    program.chmod(0o755)
    return package / "bin"


@pytest.fixture
async def launcher(helper_dir: Path) -> AsyncIterator[Launcher]:
    """A launcher with short grace periods, closed after the test."""
    launcher = Launcher(
        str(helper_dir),
        standing={"trial_helpers.act"},
        max_output_bytes=1024 * 1024,
        termination_grace_s=TERMINATION_GRACE_S,
        output_grace_s=OUTPUT_GRACE_S,
    )
    yield launcher
    await launcher.close()


@pytest.fixture(params=["executed", "forked", "standing"])
def trial(launcher: Launcher, helper_dir: Path, request: pytest.FixtureRequest) -> Trial:
    """All ways to run a program."""
    command = [sys.executable, "-I", "-c"] if request.param == "executed" else [str(helper_dir / "act")]
    return Trial(launcher, command, recurs=request.param == "standing")
