"""What a measurement was made on."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

_SYNCS: Final = 20
_STATE_FILE_BYTES: Final = 6000
"""What the state of one request takes."""


def machine() -> dict[str, object]:
    """Processor, memory, system, and what is busy."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30), 1),
        "system": _system(),
        "kernel": platform.release(),
        "python": f"{platform.python_version()} ({os.path.realpath(sys.executable)})",
        "file_system": _file_system(Path(tempfile.gettempdir())),
        "fsync_ms": _fsync_ms(),
        "load": round(os.getloadavg()[0], 2),
    }


def version_of(program: str) -> str:
    """What a daemon says to -v."""
    return subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout.strip()


def _processor() -> str:
    models = [
        line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return models[0] if models else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _file_system(path: Path) -> str:
    """The type of the file system that *path* is on."""
    best = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if path.is_relative_to(place) and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]


def _fsync_ms() -> float:
    """Median time until a file of the size of a state file is on disk, in milliseconds."""
    times = []
    with tempfile.TemporaryDirectory(prefix="fsync-") as folder:
        for number in range(_SYNCS):
            with open(Path(folder) / str(number), "wb") as file:
                file.write(bytes(_STATE_FILE_BYTES))
                file.flush()
                began = time.perf_counter()
                os.fsync(file.fileno())
                times.append(time.perf_counter() - began)
    return round(1000 * statistics.median(times), 2)
