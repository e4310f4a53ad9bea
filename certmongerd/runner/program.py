"""What is run, as whom, and how it ended: the values that all ways of starting a program share."""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from certmongerd.core.errors import LaunchError
from certmongerd.core.mask import NOTHING_HIDDEN, Mask

MAX_STRING_BYTES: Final = 128 * 1024
"""Longest single argument or `NAME=value` that Linux hands to a program, with its final NUL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """The identity a program gets instead of the daemon's."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """Supplementary groups, the primary one included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRun:
    """One program that is to be run, and how."""

    program: str
    """The file."""
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    user: RunAs | None
    timeout_s: float
    keep_background: bool
    """Leave processes alone that outlive the program."""
    stdin: bytes | None = None
    """None for the null device."""
    merge_output: bool = False
    """Treat standard output as standard error."""
    mask: Mask = NOTHING_HIDDEN
    """Hides words in what is logged and kept."""


Streams = tuple[int, int, int]
"""Descriptors that become standard input, output and error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended, and what it printed."""

    exit_status: int | None
    """None when a signal ended it."""
    signal: int | None
    stdout: bytes
    stderr_tail: str
    """The last lines of standard error."""
    timed_out: bool = False
    """It was ended because its time was up."""
    truncated: bool = False
    """It was ended because it printed more than allowed; `stdout` has the allowed part."""
    duration_s: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.exit_status == 0 and not (self.timed_out or self.truncated)

    def describe(self) -> str:
        """How it ended, for people."""
        if self.timed_out:
            return f"was stopped after {self.duration_s:.0f} seconds, its time limit"
        if self.truncated:
            return f"was stopped because it printed more than {len(self.stdout)} bytes"
        if self.signal is not None:
            return f"was ended by signal {self.signal}"
        return f"ended with status {self.exit_status}"


CountRun = Callable[[str, str, int | None, float], None]
"""Told of each run of a helper: CA, operation, exit status (None for a signal), seconds."""


def find_program(name: str, search_path: str) -> str:
    """The file to execute for *name*; a name without a slash is looked up in *search_path*.

    Raises LaunchError for one that does not exist or is not executable.
    """
    if not name:
        raise LaunchError(name, "The command is empty")
    if "/" in name:
        problem = _execution_problem(name)
        if problem:
            raise LaunchError(name, problem)
        return name
    problems = []
    for directory in search_path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        problem = _execution_problem(candidate)
        if not problem:
            return candidate
        if problem != _NOT_FOUND:
            problems.append(f"{candidate}: {problem}")
    raise LaunchError(name, "; ".join(problems) or f"{_NOT_FOUND} in {search_path or 'an empty search path'}")


_NOT_FOUND: Final = "No such file or directory"


def _execution_problem(path: str) -> str:
    """Why *path* cannot be executed; empty when it can."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _NOT_FOUND
    except (OSError, ValueError) as exc:
        return str(getattr(exc, "strerror", None) or exc)
    if not stat.S_ISREG(status.st_mode):
        return "Not a regular file"
    return "" if os.access(path, os.X_OK) else "Not executable"


def check_directory(program: str, cwd: str) -> None:
    """Refuse a working directory that does not exist. Raises LaunchError."""
    if not os.path.isdir(cwd):
        raise LaunchError(program, f"Working directory {cwd} does not exist")


def exit_status_of(end: SystemExit) -> int:
    """The status that Python gives a program which ends so, without what is printed for other values."""
    return end.code if isinstance(end.code, int) else int(end.code is not None)


def memory_file(name: str, data: bytes) -> int:
    """A descriptor of an anonymous file that holds *data*, positioned at its beginning."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as stream:
        stream.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def check_strings(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Refuse what the kernel would refuse. Raises LaunchError that names the argument or variable."""
    for position, word in enumerate(argv):
        _check_string(argv[0], f"Argument {position}", word)
    for name, value in env.items():
        _check_string(argv[0], f"Variable {name}", f"{name}={value}")


def _check_string(program: str, what: str, text: str) -> None:
    """Refuse one string that cannot be handed over."""
    if "\0" in text:
        raise LaunchError(program, f"{what} contains a NUL character")
    size = len(os.fsencode(text)) + 1
    if size > MAX_STRING_BYTES:
        raise LaunchError(program, f"{what} has {size} bytes, more than the {MAX_STRING_BYTES} that fit")
