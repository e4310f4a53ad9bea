"""What a daemon and its child processes have used so far, read from /proc."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _of_threads(pid: int, name: str) -> Iterator[str]:
    """What *name* says of each thread. Of a process that has ended, nothing."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield Path(f"/proc/{pid}/task/{thread}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return


def _family(pid: int) -> list[int]:
    family = [pid]
    for member in family:  # grows while it is walked
        for children in _of_threads(member, "children"):
            family.extend(map(int, children.split()))
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


def process_cpu_seconds(pid: int) -> float:
    """User and system time of the process itself."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICKS_PER_SECOND


def precise_cpu_seconds(pid: int) -> float:
    """Time that a process and its living descendants have run, to the nanosecond; for short or lazy stretches."""
    nanoseconds = 0
    for member in _family(pid):
        nanoseconds += sum(int(times.split()[0]) for times in _of_threads(member, "schedstat"))
    return nanoseconds / 1e9


def wake_ups(pid: int) -> int:
    """How often threads of a process and its living descendants have gone to sleep, and so were woken."""
    count = 0
    for member in _family(pid):
        count += sum(_number(status, "voluntary_ctxt_switches:") for status in _of_threads(member, "status"))
    return count


def peak_memory_mib(pid: int) -> float:
    """The largest resident size that the process itself has had."""
    return _number(Path(f"/proc/{pid}/status").read_text(), "VmHWM:") / 1024


def memory_mib(pid: int) -> float:
    """The resident size of the process itself."""
    return _number(Path(f"/proc/{pid}/status").read_text(), "VmRSS:") / 1024


def family_memory_mib(pid: int) -> float:
    """What a process and its descendants occupy together: what they share counts once (PSS)."""
    total = 0
    for member in _family(pid):
        try:
            total += _number(Path(f"/proc/{member}/smaps_rollup").read_text(), "Pss:")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / 1024


def stolen_seconds() -> float:
    """Processor time that a virtual machine wanted and did not get, of all processors, since it was started."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / _TICKS_PER_SECOND


def _number(text: str, label: str) -> int:
    for line in text.splitlines():
        if line.startswith(label):
            return int(line.split()[1])
    return 0
