"""Threads that want the same directory synced share one call, but only one that begins after what they did."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from daemon_under_test import wait_until

from certmongerd.store import syncing
from certmongerd.store.syncing import sync_directory


class Disk:
    """Answers `fsync`, each call when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.answers = threading.Semaphore(0)
        self.errors: list[OSError] = []
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, _descriptor: int) -> None:
        self.begun += 1
        self.answers.acquire()
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def several_syncs(disk: Disk, threads: ThreadPoolExecutor, path: Path) -> tuple["Future[None]", list["Future[None]"]]:
    """One that has begun, and four that came after it had begun."""
    first = threads.submit(sync_directory, path)
    wait_until(lambda: disk.begun == 1)
    began: list[int] = []

    def later() -> None:
        began.append(1)
        sync_directory(path)

    rest = [threads.submit(later) for _ in range(4)]
    wait_until(lambda: len(began) == 4)
    time.sleep(0.1)  # they wait now
    return first, rest


def test_who_comes_during_a_call_gets_the_next_one_together(
    tmp_path: Path, disk: Disk, threads: ThreadPoolExecutor
) -> None:
    first, rest = several_syncs(disk, threads, tmp_path)
    disk.answers.release()
    first.result(30)
    wait_until(lambda: disk.begun == 2)
    assert not any(each.done() for each in rest)
    disk.answers.release()
    for each in rest:
        each.result(30)
    assert disk.begun == 2
    assert not syncing._directories


def test_an_error_is_everybodys_who_shares_the_call(tmp_path: Path, disk: Disk, threads: ThreadPoolExecutor) -> None:
    first, rest = several_syncs(disk, threads, tmp_path)
    disk.errors = [OSError(errno.EIO, "broken"), OSError(errno.ENOSPC, "full")]
    disk.answers.release(2)
    with pytest.raises(OSError, match="broken"):
        first.result(30)
    for each in rest:
        with pytest.raises(OSError, match="full") as caught:
            each.result(30)
        assert caught.value.errno == errno.ENOSPC
    assert not syncing._directories


def test_other_directories_do_not_wait(tmp_path: Path, disk: Disk, threads: ThreadPoolExecutor) -> None:
    (tmp_path / "other").mkdir()
    both = [threads.submit(sync_directory, path) for path in (tmp_path, tmp_path / "other")]
    wait_until(lambda: disk.begun == 2)
    disk.answers.release(2)
    for each in both:
        each.result(30)


def test_one_directory_has_one_turn_by_whatever_descriptor(
    tmp_path: Path, disk: Disk, threads: ThreadPoolExecutor
) -> None:
    descriptors = [os.open(tmp_path, os.O_PATH | os.O_DIRECTORY) for _ in range(2)]
    both = [threads.submit(sync_directory, ".", dir_fd=each) for each in descriptors]
    wait_until(lambda: disk.begun == 1)
    time.sleep(0.1)
    assert disk.begun == 1
    disk.answers.release(2)
    for each in both:
        each.result(30)
    assert disk.begun == 2
    for descriptor in descriptors:
        os.close(descriptor)
