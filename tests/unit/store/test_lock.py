"""The instance lock, between real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from certmongerd.core.errors import StateStoreError
from certmongerd.store.lock import InstanceLock, InstanceRunning

HOLD = """
import sys, pathlib
from certmongerd.store.lock import InstanceLock
InstanceLock(pathlib.Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock `lock`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_lock_held_by_another_process_is_refused_and_its_holder_named(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(InstanceRunning) as caught:
        InstanceLock(tmp_path / "lock").acquire()

    assert caught.value.pid == holder.pid
    assert str(holder.pid) in str(caught.value)
    assert str(tmp_path / "lock") in str(caught.value)


def test_the_lock_is_free_when_its_holder_has_ended(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    lock = InstanceLock(tmp_path / "lock")
    lock.acquire()
    lock.release()


def test_a_refused_lock_can_be_tried_again(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    lock = InstanceLock(tmp_path / "lock")
    with pytest.raises(InstanceRunning):
        lock.acquire()
    holder.kill()
    holder.wait()
    lock.acquire()
    lock.release()


def test_a_released_lock_is_free_for_others_and_its_file_stays(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "lock")
    lock.acquire()
    lock.release()
    lock.release()
    done = subprocess.run(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "held\n"
    assert (tmp_path / "lock").exists()


def test_taking_the_lock_twice_is_harmless(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "lock")
    lock.acquire()
    lock.acquire()
    lock.release()


def test_a_missing_directory_is_created_for_the_owner_only(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "state" / "lock")
    lock.acquire()
    lock.release()

    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "lock").stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    os.symlink("elsewhere", tmp_path / "lock")
    with pytest.raises(StateStoreError, match="cannot be locked"):
        InstanceLock(tmp_path / "lock").acquire()

    assert not (tmp_path / "elsewhere").exists()


def test_an_unusable_directory_is_reported_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateStoreError, match="file/lock"):
        InstanceLock(tmp_path / "file" / "lock").acquire()
