"""Worker processes and daemons that are killed.

The worker of a daemon that is killed goes on: the next daemon's workers wait for it.
"""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nss_database import NssDatabase

from certmongerd.core.errors import KeyStoreError
from certmongerd.core.model import KeyAlgorithm, KeyRecord
from certmongerd.keystore.nss.store import NssKeyStore, candidate_nickname
from certmongerd.keystore.nss.worker import WORKER
from certmongerd.keystore.worker import Worker, lock_places_in

STORE = NssKeyStore()
EC = KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=256)
MARKER = "7YMsz7cq"
GENERATE = """
import sys
from pathlib import Path
from certmongerd.core.model import KeyAlgorithm, KeyRecord, KeyStorage, StorageType
from certmongerd.keystore.nss.store import NssKeyStore
from certmongerd.keystore.worker import lock_places_in
location, locks, marker = sys.argv[1:]
lock_places_in(Path(locks))
storage = KeyStorage(type=StorageType.NSSDB, location=location, nickname="web")
NssKeyStore().generate_key(storage, KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=256), marker, "")
"""


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the locks of both daemons: of the other one and of this process."""
    monkeypatch.setattr("certmongerd.keystore.worker._Places.locks", None)
    path = tmp_path / "lock.places"
    lock_places_in(path)
    return path


@pytest.fixture
def database(tmp_path: Path) -> NssDatabase:
    directory = tmp_path / "database"
    directory.mkdir()
    return NssDatabase(directory)


def kill_while_it_makes_a_key(database: NssDatabase, locks: Path) -> None:
    """Let a "daemon" ask for a key in a database that somebody writes to, and kill it."""
    command = [sys.executable, "-c", GENERATE, database.location, str(locks), MARKER]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 30
        while not workers_of(process.pid):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.5)  # the worker has its job, and meets the lock
        process.kill()


def workers_of(pid: int) -> list[int]:
    children = [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return [int(child) for child in children if b"nss.process" in command_of(child)]


def command_of(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # it has ended
        return b""


def kill_worker(*, not_pid: int = 0) -> int:
    """SIGKILL for this process's worker, as soon as there is one."""
    deadline = time.monotonic() + 30
    while not (workers := [pid for pid in workers_of(os.getpid()) if pid != not_pid]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(workers[0], signal.SIGKILL)
    return workers[0]


def test_what_only_looks_is_done_once_more_where_its_process_is_killed(database: NssDatabase) -> None:
    STORE.generate_key(database.key(), EC, "", "")
    with database.held() as other, ThreadPoolExecutor() as threads:
        reading = threads.submit(STORE.read_key, database.key())
        kill_worker()
        other.execute("ROLLBACK")
        assert reading.result() is not None


def test_what_is_killed_twice_is_told(database: NssDatabase) -> None:
    with database.held() as other, ThreadPoolExecutor() as threads:
        reading = threads.submit(STORE.read_key, database.key())
        kill_worker(not_pid=kill_worker())
        with pytest.raises(KeyStoreError, match="The process that works with the token was killed"):
            reading.result()
        other.execute("ROLLBACK")


def test_a_key_that_is_still_being_made_is_removed_by_the_next_daemon(database: NssDatabase, locks: Path) -> None:
    STORE.generate_key(database.key(), EC, MARKER, "")
    with database.held() as other:
        kill_while_it_makes_a_key(database, locks)
        with ThreadPoolExecutor() as threads:
            removal = threads.submit(STORE.discard_candidate, database.key(), MARKER)
            with pytest.raises(TimeoutError):
                removal.result(timeout=0.5)
            other.execute("ROLLBACK")
            removal.result()
    assert database.private_keys() == [("ec", "web")]


def test_waiting_has_an_end_that_says_why(database: NssDatabase, locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    STORE.generate_key(database.key(), EC, MARKER, "")
    monkeypatch.setattr("certmongerd.keystore.worker.GRACE_S", 0)
    monkeypatch.setattr("certmongerd.keystore.nss.store.WORKER", Worker(WORKER.module, time_limit_s=0.2))
    with database.held() as other:
        kill_while_it_makes_a_key(database, locks)
        with pytest.raises(KeyStoreError, match="A process of an earlier daemon is still working on it") as caught:
            STORE.discard_candidate(database.key(), MARKER)
        assert caught.value.location == database.location
        other.execute("ROLLBACK")
    monkeypatch.undo()
    lock_places_in(locks)
    STORE.discard_candidate(database.key(), MARKER)
    assert database.private_keys() == [("ec", "web")]


def test_places_do_not_exclude_one_another(database: NssDatabase, tmp_path: Path, locks: Path) -> None:
    STORE.generate_key(database.key(), EC, MARKER, "")
    (tmp_path / "another").mkdir()
    another = NssDatabase(tmp_path / "another")
    with database.held() as other:
        kill_while_it_makes_a_key(database, locks)
        STORE.generate_key(another.key(), EC, MARKER, "")
        assert another.private_keys() == [("ec", "web")]
        other.execute("ROLLBACK")
    STORE.discard_candidate(database.key(), MARKER)
    assert candidate_nickname(database.key(), MARKER) not in [name for _, name in database.private_keys()]


def test_a_file_with_locks_that_cannot_be_used_is_named(database: NssDatabase, locks: Path) -> None:
    locks.mkdir()
    with pytest.raises(KeyStoreError, match=f"The file with the locks, {locks}, cannot be used: Is a directory"):
        STORE.generate_key(database.key(), EC, MARKER, "")
