"""The processes that a daemon has started to work for it."""

from pathlib import Path

from trial_programs import children_of


def fork_servers(daemon: int) -> list[int]:
    """The process from which all others are forked, if it is there."""
    found = []
    for task in _entries(Path(f"/proc/{daemon}/task")):
        found += [pid for pid in _numbers(task / "children") if b"forkserver" in _content(Path(f"/proc/{pid}/cmdline"))]
    return found


def workers(daemon: int) -> list[int]:
    """Those that do file work or make keys: grandchildren of the fork server, as those of helpers are not."""
    parents = [parent for server in fork_servers(daemon) for parent in _children(server)]
    return [worker for parent in parents for worker in _children(parent)]


def _children(pid: int) -> list[int]:
    try:
        return children_of(pid)
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return []


def _entries(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except FileNotFoundError:
        return []


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in _content(path).split()]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
