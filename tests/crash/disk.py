"""What a power cut could leave of files: a model of a disk that has only what was synced, and of what else it may have.

A process writes down what it does to files (`record`). From that, `Disk` tells for every moment which states a file
system may be found in afterwards: the content of a file is what it was at its last `fsync` (POSIX promises no more),
and of the changes of names in a directory since that directory's last `fsync` any number may have happened, in order.
"""

import base64
import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from crash.places import place_of

State = Mapping[str, bytes]
"""Content by path, relative to the recorded directory."""

_WRITING_FLAGS: Final = os.O_WRONLY | os.O_RDWR
_NOT_MODELLED: Final = ("ftruncate", "truncate", "symlink", "replace", "pwrite")
_UNSYNCED: Final = (".history", "lock", "lock.places")
"""Ends of names whose content is no state."""


def record(below: Path, log: Path) -> None:
    """From now on this process writes to *log*, a line each, what it does to files *below* a directory."""
    recorder = _Recorder(below, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    for name in ("open", "write", "fsync", "rename", "link", "unlink", *_NOT_MODELLED):
        setattr(os, name, recorder.around(name, getattr(os, name)))


class _Recorder:
    def __init__(self, below: Path, log: int) -> None:
        self._below = f"{below}/"
        self._log = log
        self._write = os.write
        self._lock = threading.Lock()

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                line = self._line(name, args, kwargs)
                result = call(*args, **kwargs)
                if line is not None:
                    self._write(self._log, json.dumps(line).encode() + b"\n")
                return result

        return recorded

    def _line(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[str | int] | None:
        """What to write about a call; None when nothing changes, or somewhere else."""
        first = place_of(args, named)
        path = first.removeprefix(self._below)
        if path == first or path.endswith(_UNSYNCED):
            return None
        assert name not in _NOT_MODELLED, f"{name} {path} has no place in the model"
        match name:
            case "open":
                is_new = args[1] & _WRITING_FLAGS and args[1] & os.O_CREAT
                assert not is_new or args[1] & os.O_EXCL, f"{path} is written in place"
                return ["create", path] if is_new else None
            case "write":
                return ["write", path, base64.b64encode(args[1]).decode()]
            case "rename" | "link":
                return [name, path, place_of(args, named, 1).removeprefix(self._below)]
            case _:
                return [name, path]


@dataclass(slots=True)
class _File:
    written: bytes = b""
    synced: bytes = b""


_Names = dict[str, _File]
_Change = Callable[[_Names], None]


@dataclass(slots=True)
class _Directory:
    now: _Names = field(default_factory=dict)
    synced: _Names = field(default_factory=dict)
    pending: list[_Change] = field(default_factory=list)

    def change(self, change: _Change) -> None:
        change(self.now)
        self.pending.append(change)

    def possible(self) -> Iterator[_Names]:
        for number in range(len(self.pending) + 1):
            names = dict(self.synced)
            for change in self.pending[:number]:
                change(names)
            yield names


class Disk:
    """The files at some moment, and what of them would survive."""

    def __init__(self, beginning: State) -> None:
        self._directories: dict[str, _Directory] = {}
        for path, content in beginning.items():
            directory, name = self._find(path)
            directory.now[name] = directory.synced[name] = _File(content, content)

    def _find(self, path: str) -> tuple[_Directory, str]:
        parent, _, name = path.rpartition("/")
        return self._directories.setdefault(parent, _Directory()), name

    def happen(self, line: str) -> None:
        """Take over one recorded line."""
        name, path, *rest = json.loads(line)
        directory, base = self._find(path)
        match name:
            case "create":
                file = _File()
                directory.change(lambda names: names.update({base: file}))
            case "write":
                directory.now[base].written += base64.b64decode(rest[0])
            case "fsync" if path in self._directories:
                synced = self._directories[path]
                synced.synced = dict(synced.now)
                synced.pending.clear()
            case "fsync":
                directory.now[base].synced = directory.now[base].written
            case "unlink":
                directory.change(lambda names: _remove(names, base))
            case "rename" | "link":
                other, target = self._find(rest[0])
                assert other is directory, "a name moves to another directory"
                file = directory.now[base]
                directory.change(lambda names: _rename(names, base, target, file, keeps=name == "link"))

    def after_kill(self) -> State:
        """What is there when only the process ends."""
        return {
            f"{place}/{name}": file.written
            for place, directory in self._directories.items()
            for name, file in directory.now.items()
        }

    def after_power_cut(self) -> Iterator[State]:
        """What may be there when the power goes."""
        places = list(self._directories)
        for names in itertools.product(*(self._directories[place].possible() for place in places)):
            yield {
                f"{place}/{name}": file.synced
                for place, present in zip(places, names, strict=True)
                for name, file in present.items()
            }


def _remove(names: _Names, name: str) -> None:
    names.pop(name, None)


def _rename(names: _Names, old: str, new: str, file: _File, *, keeps: bool) -> None:
    if not keeps:
        names.pop(old, None)
    names[new] = file


def content_of(root: Path, folders: tuple[str, ...]) -> State:
    """The files in *folders* below *root* now."""
    return {
        f"{folder}/{path.name}": path.read_bytes()
        for folder in folders
        for path in (root / folder).iterdir()
        if path.is_file() and not path.name.endswith(_UNSYNCED)
    }


def lay_out(root: Path, folders: tuple[str, ...], state: State) -> None:
    """Make *state* what is in *folders*."""
    for folder in folders:
        for path in (root / folder).iterdir():
            path.unlink()
    for name, content in state.items():
        (root / name).touch(mode=0o600)
        (root / name).write_bytes(content)
