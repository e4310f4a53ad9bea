"""What a daemon and its child processes have used so far, read from /proc."""

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    family = [pid]
    for member in family:  # grows while it is walked
        for thread in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                family.extend(map(int, thread.read_text().split()))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return family


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its living descendants, and all that these have waited for."""
    ticks = 0
    for member in _family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS_PER_SECOND


def peak_memory_mib(pid: int) -> float:
    """The largest resident size that the process itself has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
