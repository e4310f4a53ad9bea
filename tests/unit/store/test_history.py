"""Histories beside the state files: appended, bounded, forgiving, and gone with their request."""

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.request_world import NOW, monitored
from new_files import create_request

from certmongerd.core.errors import StateStoreError
from certmongerd.core.history import HistoryEntry
from certmongerd.core.ids import Nickname
from certmongerd.store import history
from certmongerd.store.history import KEPT_HISTORY, LARGEST_HISTORY, RequestHistories
from certmongerd.store.repository import Repository

NAME = "20261126120000"
REQUEST = monitored()


def turn(number: int = 0, error: str = "") -> HistoryEntry:
    at = datetime(2026, 11, 26, 12, tzinfo=UTC) + timedelta(minutes=number)
    return HistoryEntry(
        at=at, event="unreachable", state="CA_UNREACHABLE", attempts=number, error=error, due=at + timedelta(hours=1)
    )


@pytest.fixture
def histories(tmp_path: Path) -> RequestHistories:
    (tmp_path / NAME).write_text("id=web\n")
    return RequestHistories(tmp_path)


def test_what_was_appended_is_read_in_order(histories: RequestHistories) -> None:
    first = HistoryEntry(at=NOW, event="begin", state="NEWLY_ADDED_READING_KEYINFO")
    histories.append(NAME, [first, turn(1, "Grüße\nzweite Zeile")])
    histories.append(NAME, [turn(2)])
    assert histories.read(NAME) == (first, turn(1, "Grüße\nzweite Zeile"), turn(2))


def test_nobody_else_can_read_a_history(histories: RequestHistories) -> None:
    histories.append(NAME, [turn()])
    assert stat.S_IMODE(histories.path(NAME).stat().st_mode) == 0o600


def test_a_request_without_a_history_has_an_empty_one(histories: RequestHistories) -> None:
    assert histories.read(NAME) == ()


def test_a_history_stays_small_and_keeps_the_newest(histories: RequestHistories) -> None:
    for number in range(300):
        histories.append(NAME, [turn(number, "x" * 500)])
        assert histories.path(NAME).stat().st_size <= LARGEST_HISTORY
    entries = histories.read(NAME)
    numbers = [entry.attempts for entry in entries]
    assert numbers == list(range(numbers[0], 300))
    assert len(numbers) * 500 > KEPT_HISTORY / 2
    assert stat.S_IMODE(histories.path(NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [b"{", b"[]", b"null", b"{}", b'{"at": "yesterday", "event": "a", "state": "b"}', b"\xff\x00", b"[" * 5_000]
    + [b'{"at": "2026-01-01", "event": "a", "state": "b", "attempts": %s}' % bad for bad in (b'"x"', b"[1]", b"1e999")],
)
def test_a_damaged_line_is_skipped(histories: RequestHistories, damage: bytes) -> None:
    histories.append(NAME, [turn(1)])
    with histories.path(NAME).open("ab") as file:
        file.write(damage)
    histories.append(NAME, [turn(2)])
    assert histories.read(NAME) == (turn(1), turn(2))


def test_a_history_without_a_request_is_not_begun(histories: RequestHistories, tmp_path: Path) -> None:
    (tmp_path / NAME).unlink()
    histories.append(NAME, [turn()])
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_is_removed_meanwhile_takes_its_history_along(
    histories: RequestHistories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = history._append

    def remove_and_append(path: Path, data: bytes) -> None:
        (tmp_path / NAME).unlink()
        histories.remove(NAME)
        append(path, data)

    monkeypatch.setattr(history, "_append", remove_and_append)
    histories.append(NAME, [turn()])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_what_is_no_file_is_refused(histories: RequestHistories, tmp_path: Path, kind: str) -> None:
    path = histories.path(NAME)
    match kind:
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case _:
            os.mkfifo(path)
    with pytest.raises(StateStoreError, match=r"\.history"):
        histories.append(NAME, [turn()])
    with pytest.raises(StateStoreError, match=r"\.history"):
        histories.read(NAME)
    assert not (tmp_path / "elsewhere").exists()


def test_a_history_goes_with_its_request(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "requests", tmp_path / "cas")
    repository.prepare()
    name = create_request(repository, REQUEST, NOW)
    repository.histories.append(name, [turn()])
    assert repository.load().problems == ()
    repository.delete_request(name)
    assert list((tmp_path / "requests").iterdir()) == []


def test_histories_whose_requests_are_gone_are_removed_at_the_start(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "requests", tmp_path / "cas")
    repository.prepare()
    kept = create_request(repository, REQUEST, NOW)
    removed = create_request(repository, replace(REQUEST, id=Nickname("removed")), NOW)
    for name in (kept, removed):
        repository.histories.append(name, [turn()])
    (tmp_path / "requests" / removed).unlink()  # as certmonger does
    (tmp_path / "requests" / "..history").touch()
    repository.prepare()
    assert repository.histories.read(kept) == (turn(),)
    assert not repository.histories.path(removed).exists()
