"""A piece of Python as a program, started in one of the ways that the launcher has."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from certmongerd.runner.process import Launcher
from certmongerd.runner.program import Finished, RunAs

SEARCH_PATH: Final = "/usr/bin:/bin"


@dataclass
class Trial:
    """Runs Python code in one of the ways that the launcher has."""

    launcher: Launcher
    command: list[str]
    env: Mapping[str, str] = field(default_factory=lambda: {"PATH": SEARCH_PATH})
    recurs: bool = False

    async def run(
        self,
        code: str,
        *,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        cwd: str = "/",
        user: RunAs | None = None,
        stdin: bytes | None = None,
        keep_background: bool = False,
    ) -> Finished:
        """Run *code*; it sets the exit status with `sys.exit` or by its end."""
        return await self.launcher.run(
            [*self.command, code],
            env=self.env if env is None else env,
            timeout_s=timeout_s,
            cwd=cwd,
            user=user,
            stdin=stdin,
            keep_background=keep_background,
            recurs=self.recurs,
        )


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state, *_ = _status_of(pid)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def parent_of(pid: int) -> int:
    """The process that has started another one, or has it now."""
    return int(_status_of(pid)[1])


def _status_of(pid: int) -> list[str]:
    """State, parent and so on: see proc(5), from the third field on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def children_of(pid: int) -> list[int]:
    """The children of a process without threads."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until(is_so: Callable[[], bool]) -> bool:
    """Wait, ten seconds at most, until *is_so*."""
    for _ in range(500):
        if is_so():
            return True
        await asyncio.sleep(0.02)
    return False


async def until_gone(pid: int) -> bool:
    """Whether a process that was killed disappears (it may have to be reaped by somebody else first)."""
    return await until(lambda: not is_running(pid))


def writes_its_pid(path: Path) -> str:
    """Python code that writes the process ID and a line end to *path*: all or nothing, whenever it is killed."""
    part = f"{path}.part"
    return (
        f"import os; out = open({part!r}, 'w'); out.write(f'{{os.getpid()}}\\n'); out.close(); "
        f"os.rename({part!r}, {str(path)!r})"
    )


async def until_written(path: Path) -> str:
    """The content of a file once it has a complete line."""
    found: list[str] = []

    def is_complete() -> bool:
        found[:] = [path.read_text()] if path.exists() else []
        return bool(found) and found[0].endswith("\n")

    assert await until(is_complete), f"{path} was never written"
    return found[0]


@contextmanager
def inheritable_file(path: Path) -> Iterator[None]:
    """Have a descriptor open that children would inherit."""
    with path.open("w") as stream:
        os.set_inheritable(stream.fileno(), True)
        yield
