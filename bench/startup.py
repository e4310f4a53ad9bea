"""How long `getcert` takes to start, by subcommand: until it has printed its help."""

import subprocess
import time
from collections.abc import Sequence

from getcert.main import COMMANDS


def subcommands() -> tuple[str, ...]:
    """The commands of this project's `getcert`."""
    return tuple(COMMANDS)


def help_seconds(program: str, verb: str) -> float:
    """The time of one run."""
    return _run_seconds([program, verb, "--help"])


def interpreter_seconds(python: str) -> float:
    """The time that an interpreter takes to start and end, isolated and without `site`."""
    return _run_seconds([python, "-I", "-S", "-c", ""])


def _run_seconds(argv: Sequence[str]) -> float:
    began = time.monotonic()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env={"LANG": "C.UTF-8"})
    return time.monotonic() - began
