"""A test that leaves something behind fails: a child process, an open descriptor, an asyncio task."""

import asyncio
import gc
import inspect
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("unhurried", settings(), deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")

pytest_plugins = ["pytester"]

_OWN_FOLDER = pytest.StashKey[Path]()
_DESCRIPTORS = "/proc/self/fd"
_THREADS = Path("/proc/self/task")


def pytest_configure(config: pytest.Config) -> None:
    """Give a run a folder of its own.

    pytest's usual one is closed to other users whenever a further run begins, and some of the programs under test
    become another user. The processes of pytest-xdist are given a part of it by the one that starts them. Its name is
    short: there are sockets in it.
    """
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="cmd-"))
        config.stash[_OWN_FOLDER] = folder
        config.option.basetemp = str(folder)


def pytest_collection_finish() -> None:
    """Let the collector of cycles leave alone what stays to the end: thousands of tests, and their modules."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remove the folder, unless something in it may tell what went wrong."""
    folder = session.config.stash.get(_OWN_FOLDER, None)
    if folder is not None and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(folder, ignore_errors=True)


def _descriptors() -> dict[int, str]:
    """What is open now, by number. Descriptors of the kind that libraries keep for good are left out."""
    found: dict[int, str] = {}
    for name in os.listdir(_DESCRIPTORS):
        try:
            target = os.readlink(f"{_DESCRIPTORS}/{name}")
        except FileNotFoundError:  # the descriptor that listed the folder
            continue
        if not target.startswith("/dev/"):
            found[int(name)] = target
    return found


def _children() -> set[int]:
    """The process ids of this process's children, ended but unreaped ones included."""
    children: set[int] = set()
    for thread in _THREADS.iterdir():
        try:
            children.update(map(int, (thread / "children").read_bytes().split()))
        except (FileNotFoundError, ProcessLookupError):  # the thread ended meanwhile
            continue
    return children


def _command_of(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace") or "ended, unreaped"
        )
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _end(pid: int) -> None:
    """Kill and reap a child, so that it does not outlive the test that forgot it."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def _left_open(before: dict[int, str]) -> list[str]:
    return [
        f"descriptor {number}: {target}" for number, target in _descriptors().items() if before.get(number) != target
    ]


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fails a coroutine test that ends while tasks of it still run (the runner would cancel them without a word)."""
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task() and not task.done()]
    if left:
        pytest.fail("the test left tasks:\n" + "\n".join(map(repr, left)), pytrace=False)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fails a test that leaves child processes or open descriptors. Set up first, so checked last.

    The file mode creation mask is put back: a helper sets its own, also one that a test calls in its own process.
    """
    descriptors, children = _descriptors(), _children()
    umask = os.umask(0o022)
    os.umask(umask)
    yield
    os.umask(umask)
    orphans = _children() - children
    left = [f"process {pid}: {_command_of(pid)}" for pid in sorted(orphans)]
    for pid in orphans:
        _end(pid)
    if _left_open(descriptors):
        gc.collect()  # an object that only a reference cycle keeps warns by itself, when it is collected
        left += _left_open(descriptors)
    if left:
        pytest.fail("the test left:\n" + "\n".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def no_task_left_by_coroutines(nothing_left: None, request: pytest.FixtureRequest) -> None:
    """Turns the check of tasks on where there is an event loop; other tests do not pay for one."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("no_task_left")
