"""The directories of state files."""

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from new_files import create_ca, create_request

from certmongerd.core.errors import StateStoreError
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import Ca, Request
from certmongerd.core.states import State
from certmongerd.store.repository import Repository

NOW = datetime(2026, 11, 23, 11, 45, 34, 999999, tzinfo=UTC)
NAME = "20261123114534"
SAMPLES = Path(__file__).parents[2] / "data" / "store"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "requests", tmp_path / "cas")
    repository.prepare()
    return repository


def request(nickname: str = "one") -> Request:
    return Request(id=Nickname(nickname), state=State.MONITORING)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def ids(repository: Repository) -> list[str]:
    return [stored.value.id for stored in repository.load().requests]


def test_recorded_directories_are_loaded_in_order(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "requests", tmp_path / "requests")
    shutil.copytree(SAMPLES / "cas", tmp_path / "cas")
    repository = Repository(tmp_path / "requests", tmp_path / "cas")
    repository.prepare()
    loaded = repository.load()

    assert loaded.problems == ()
    assert [stored.name for stored in loaded.requests] == names(SAMPLES / "requests")
    assert [stored.value.id for stored in loaded.requests] == [
        "json-chain",
        "selfsigned-web",
        "local-web",
        "scep-device",
        "scep-issued",
        "ec-pending",
        "rejected",
        "pin-inline",
        "pin-file",
        "nss-server",
        "rekey-pending",
        "nss-rekey-pending",
        "all options",
        "tracked-only",
    ]
    assert [stored.value.id for stored in loaded.cas] == [
        "SelfSign",
        "IPA",
        "dogtag-ipa-renew-agent",
        "local",
        "scep",
        "example",
        "example-wait",
        "example-reject",
        "example-scep",
    ]


def test_directories_are_created_for_the_owner_only(tmp_path: Path) -> None:
    Repository(tmp_path / "a" / "requests", tmp_path / "a" / "cas").prepare()

    assert (tmp_path / "a" / "requests").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "cas").stat().st_mode & 0o777 == 0o700


def test_a_new_request_gets_a_name_from_the_time_in_utc(repository: Repository, tmp_path: Path) -> None:
    berlin = timezone(timedelta(hours=1))
    name = create_request(repository, request("../../etc/passwd"), NOW.astimezone(berlin))

    assert name == NAME
    assert names(tmp_path / "requests") == [NAME]
    assert repository.request_path(name).stat().st_mode & 0o777 == 0o600
    assert ids(repository) == ["../../etc/passwd"]


def test_entries_of_the_same_second_are_numbered(repository: Repository) -> None:
    created = [create_request(repository, request(str(number)), NOW) for number in range(4)]

    assert created == [NAME, f"{NAME}-1", f"{NAME}-2", f"{NAME}-3"]
    assert ids(repository) == ["0", "1", "2", "3"]


def test_entries_created_at_once_by_many_threads_are_all_kept(repository: Repository) -> None:
    wanted = [f"request {number}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        created = [repository.next_request_name(NOW) for _ in wanted]
        pairs = zip(created, wanted, strict=True)
        works = [repository.creating_request(name, request(nickname)) for name, nickname in pairs]
        list(threads.map(lambda work: work(), works))

    loaded = {stored.name: stored.value.id for stored in repository.load().requests}
    assert loaded == dict(zip(created, wanted, strict=True))


def test_when_all_names_of_a_second_are_taken_the_error_says_so(repository: Repository, tmp_path: Path) -> None:
    for number in range(1024):
        (tmp_path / "cas" / (f"{NAME}-{number}" if number else NAME)).touch()
    with pytest.raises(StateStoreError, match="all names to -1023 are taken"):
        create_ca(repository, Ca(id=CaName("x")), NOW)


def test_a_saved_request_replaces_the_file(repository: Repository, tmp_path: Path) -> None:
    name = create_request(repository, request(), NOW)
    repository.saving_request(name, replace(request(), ca_error="no"))()

    assert [stored.value.ca_error for stored in repository.load().requests] == ["no"]
    assert names(tmp_path / "requests") == [name]


def test_a_deleted_request_is_gone_and_deleting_it_again_is_harmless(repository: Repository) -> None:
    name = create_request(repository, request(), NOW)
    repository.delete_request(name)
    repository.delete_request(name)

    assert ids(repository) == []


def test_cas_have_a_directory_of_their_own(repository: Repository) -> None:
    name = create_ca(repository, Ca(id=CaName("x")), NOW)
    repository.saving_ca(name, Ca(id=CaName("x"), is_default=True))()

    assert [(stored.name, stored.value.is_default) for stored in repository.load().cas] == [(NAME, True)]
    repository.delete_ca(name)
    assert repository.load().cas == ()
    assert not repository.ca_path(name).exists()


@pytest.mark.parametrize("name", [".hidden", "a.tmp", "a.rpmsave", "a.rpmorig", "a.rpmnew", "a~", "#a#", "a#"])
def test_files_of_editors_and_packagers_are_not_entries(repository: Repository, tmp_path: Path, name: str) -> None:
    path = tmp_path / "requests" / name
    path.write_bytes(b"id=a\n")
    repository.prepare()

    assert repository.load().requests == ()
    assert repository.load().problems == ()
    assert path.exists()


def test_any_other_file_name_is_loaded(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "requests" / "web server").write_bytes(b"id=a\nstate=MONITORING\n")

    assert ids(repository) == ["a"]


def test_a_directory_is_no_entry(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "requests" / "old").mkdir()

    assert repository.load().problems == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"id=a\0\n", "NUL byte"),
        (b"state=MONITORING\n", "has no id"),
        (b"\x7fELF\x02\x01", "has no id"),
        (b"\xff" * (17 << 20), "too long"),
    ],
)
def test_a_damaged_file_is_reported_and_kept_and_stops_nothing(
    repository: Repository, tmp_path: Path, content: bytes, reason: str
) -> None:
    damaged = tmp_path / "requests" / "damaged"
    damaged.write_bytes(content)
    create_request(repository, request(), NOW)
    loaded = repository.load()

    assert [stored.value.id for stored in loaded.requests] == ["one"]
    assert [problem.path for problem in loaded.problems] == [damaged]
    assert reason in str(loaded.problems[0])
    assert damaged.read_bytes() == content


def test_a_fifo_does_not_stop_loading(repository: Repository, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "requests" / "fifo")

    assert "not a regular file" in str(repository.load().problems[0])


def test_a_dangling_link_is_reported(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "requests" / "link").symlink_to("nowhere")

    assert "cannot be read: No such file" in str(repository.load().problems[0])


def test_of_two_files_with_the_same_id_the_first_counts_and_both_stay(repository: Repository, tmp_path: Path) -> None:
    first = create_request(repository, replace(request(), ca_error="first"), NOW)
    second = create_request(repository, replace(request(), ca_error="second"), NOW)
    loaded = repository.load()

    assert [stored.value.ca_error for stored in loaded.requests] == ["first"]
    assert [problem.path.name for problem in loaded.problems] == [second]
    assert first in loaded.problems[0].reason
    assert names(tmp_path / "requests") == [first, second]


def test_ids_that_differ_by_case_are_two_requests(repository: Repository) -> None:
    create_request(repository, request("one"), NOW)
    create_request(repository, request("ONE"), NOW)

    assert ids(repository) == ["one", "ONE"]


def test_a_bad_value_is_reported_and_the_request_loaded(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "requests" / "bad").write_bytes(b"id=a\nstate=NEED_COFFEE\n")
    loaded = repository.load()

    assert [stored.value.state for stored in loaded.requests] == [State.NEED_GUIDANCE]
    assert "state" in str(loaded.problems[0])


def test_names_are_ordered_by_bytes(repository: Repository, tmp_path: Path) -> None:
    for name in (b"b", b"\xff", b"B", "é".encode(), b"10", b"9"):
        Path(os.fsdecode(os.fsencode(tmp_path / "requests") + b"/" + name)).write_bytes(
            b"id=" + name + b"\nstate=MONITORING\n"
        )

    assert ids(repository) == ["10", "9", "B", "b", "é", "\udcff"]


def test_unfinished_files_are_cleared_up(repository: Repository, tmp_path: Path) -> None:
    name = create_request(repository, request(), NOW)
    for leftover in (f"{name}.tmp", "20200101000000.tmp", "20200101000001-7", ".certmongerd-abc"):
        (tmp_path / "requests" / leftover).write_bytes(b"id=half" if leftover.endswith("p") else b"")
    repository.prepare()

    assert names(tmp_path / "requests") == [name]
    assert ids(repository) == ["one"]


def test_a_complete_file_beside_a_reserved_name_is_put_in_place(repository: Repository, tmp_path: Path) -> None:
    create_request(repository, request(), NOW)
    os.rename(tmp_path / "requests" / NAME, tmp_path / "requests" / f"{NAME}.tmp")
    (tmp_path / "requests" / NAME).touch()
    repository.prepare()

    assert names(tmp_path / "requests") == [NAME]
    assert ids(repository) == ["one"]


def test_an_incomplete_file_beside_a_reserved_name_is_not_used(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "requests" / f"{NAME}.tmp").write_bytes(b"id=one\nstate=MONIT")
    (tmp_path / "requests" / NAME).touch()
    repository.prepare()
    repository.prepare()

    assert names(tmp_path / "requests") == []


def test_a_missing_directory_is_named(repository: Repository, tmp_path: Path) -> None:
    name = create_request(repository, request(), NOW)
    shutil.rmtree(tmp_path / "requests")

    with pytest.raises(StateStoreError, match="cannot be written: the directory is missing"):
        repository.saving_request(name, request())()
    with pytest.raises(StateStoreError, match="cannot be created: the directory is missing"):
        create_request(repository, request(), NOW)
    with pytest.raises(StateStoreError, match="the directory is missing"):
        repository.delete_request(name)
    with pytest.raises(StateStoreError, match="cannot be read: No such file"):
        repository.load()


@pytest.mark.parametrize(
    ("number", "text"), [(errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only file system")]
)
def test_what_the_file_system_refuses_is_reported_with_path_and_reason(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, number: int, text: str
) -> None:
    name = create_request(repository, request(), NOW)

    def refused(*args: object, **kwargs: object) -> object:
        raise OSError(number, os.strerror(number))

    # A full or read-only file system cannot be had without privileges.
    with monkeypatch.context() as patches:
        patches.setattr(os, "write", refused)
        patches.setattr(os, "unlink", refused)
        for action in (
            repository.saving_request(name, replace(request(), ca_error="x")),
            lambda: create_request(repository, request(), NOW),
            lambda: repository.delete_request(name),
        ):
            with pytest.raises(StateStoreError, match=text) as caught:
                action()
            assert caught.value.path.startswith(str(repository.request_path(name)))

    assert [stored.value.ca_error for stored in repository.load().requests] == [""]


def test_a_value_that_cannot_be_written_is_reported_and_the_file_kept(repository: Repository) -> None:
    name = create_request(repository, request(), NOW)
    with pytest.raises(StateStoreError, match="ca_error"):
        repository.saving_request(name, replace(request(), ca_error="\0"))()

    assert ids(repository) == ["one"]


def test_a_path_that_is_a_file_cannot_be_prepared(tmp_path: Path) -> None:
    (tmp_path / "requests").write_bytes(b"")
    with pytest.raises(StateStoreError, match="cannot be prepared"):
        Repository(tmp_path / "requests", tmp_path / "cas").prepare()
