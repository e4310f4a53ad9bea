"""Durable writing, with the process ended at every system call."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from certmongerd.store.files import TEMPORARY_PREFIX, create_durably, remove_durably, write_durably
from certmongerd.store.syncing import sync_directory

CALLS = ("open", "fchown", "fchmod", "write", "fsync", "rename", "link", "unlink")


class Crash(BaseException):
    """The process is gone."""


class Recorder:
    """Records the system calls of the module; from number *crash_at* on nothing happens any more.

    These calls are the seam: nothing else can show what is on disk between two of them.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, crash_at: int = 10**6) -> None:
        self.names: list[str] = []
        self._crash_at = crash_at
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **kwargs: object) -> object:
            if len(self.names) >= self._crash_at:
                raise Crash(name)
            self.names.append(name)
            return call(*args, **kwargs)

        return wrapped


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Let the system call *name* fail."""

    def refused(*args: object, **kwargs: object) -> object:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, refused)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_created_with_its_mode(tmp_path: Path) -> None:
    write_durably(tmp_path / "a", b"new", mode=0o644)

    assert (tmp_path / "a").read_bytes() == b"new"
    assert mode(tmp_path / "a") == 0o644
    assert names(tmp_path) == ["a"]


def test_without_a_mode_only_the_owner_may_read(tmp_path: Path) -> None:
    write_durably(tmp_path / "a", b"new")

    assert mode(tmp_path / "a") == 0o600


def test_a_file_is_replaced_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a longer old content")
    with path.open("rb") as reader:
        write_durably(path, b"new")

        assert reader.read() == b"a longer old content"
    assert path.read_bytes() == b"new"


def test_a_name_without_directory_is_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_durably("a", b"new")

    assert names(tmp_path) == ["a"]


def test_a_symbolic_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"target")
    (tmp_path / "a").symlink_to("target")
    write_durably(tmp_path / "a", b"new")

    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"target"


def test_the_owner_is_set_before_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    write_durably(tmp_path / "a", b"new", owner=(os.getuid(), os.getgid()))

    assert recorder.names == ["open", "fchown", "fchmod", "write", "fsync", "rename", "open", "fsync"]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:2]))
    write_durably(tmp_path / "a", b"seven b")

    assert (tmp_path / "a").read_bytes() == b"seven b"


@pytest.mark.parametrize("crash_at", range(7))
def test_a_crash_while_replacing_leaves_the_old_or_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with monkeypatch.context() as patches:
        Recorder(patches, crash_at)
        with pytest.raises(Crash):
            write_durably(path, b"new", temporary_name="a.tmp")

    assert path.read_bytes() == (b"new" if crash_at > 4 else b"old")
    assert set(names(tmp_path)) <= {"a", "a.tmp"}


@pytest.mark.parametrize("crash_at", range(8))
def test_a_crash_while_creating_leaves_nothing_or_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    with monkeypatch.context() as patches:
        Recorder(patches, crash_at)
        with pytest.raises(Crash):
            create_durably(tmp_path / "a", b"new", temporary_name="a.tmp")

    assert not (tmp_path / "a").exists() or (tmp_path / "a").read_bytes() == b"new"
    assert set(names(tmp_path)) <= {"a", "a.tmp"}


def test_after_a_crash_the_next_write_succeeds(tmp_path: Path) -> None:
    (tmp_path / "a.tmp").write_bytes(b"left over")
    write_durably(tmp_path / "a", b"new", temporary_name="a.tmp")

    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_a_leftover_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"victim")
    (tmp_path / "a.tmp").symlink_to("victim")
    write_durably(tmp_path / "a", b"new", temporary_name="a.tmp")

    assert (tmp_path / "victim").read_bytes() == b"victim"


@pytest.mark.parametrize("call", ["fchown", "fchmod", "write", "fsync", "rename"])
def test_a_refused_call_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with monkeypatch.context() as patches:
        refuse(patches, call, errno.ENOSPC)
        with pytest.raises(OSError, match="No space"):
            write_durably(path, b"new", owner=(0, 0))

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["fchmod", "write", "fsync", "link"])
def test_a_refused_call_while_creating_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with monkeypatch.context() as patches:
        refuse(patches, call, errno.ENOSPC)
        with pytest.raises(OSError, match="No space"):
            create_durably(tmp_path / "a", b"new")

    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "dangling link", "directory"])
def test_creating_over_an_existing_name_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    match kind:
        case "file":
            path.write_bytes(b"old")
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        create_durably(path, b"new")

    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_creating_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    refuse(monkeypatch, "link", number)
    create_durably(tmp_path / "a", b"new", mode=0o640)
    with pytest.raises(FileExistsError):
        create_durably(tmp_path / "a", b"newer")

    assert (tmp_path / "a").read_bytes() == b"new"
    assert mode(tmp_path / "a") == 0o640
    assert names(tmp_path) == ["a"]


def test_random_temporary_names_can_be_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patches:
        Recorder(patches, 3)
        with pytest.raises(Crash):
            write_durably(tmp_path / "a", b"new")

    assert [name.startswith(TEMPORARY_PREFIX) for name in names(tmp_path)] == [True]


def test_a_temporary_name_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="directory"):
        write_durably(tmp_path / "a", b"new", temporary_name="../a.tmp")


@pytest.mark.parametrize("name", ["", "b/", "b/.."])
def test_a_path_that_names_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(IsADirectoryError):
        write_durably(f"{tmp_path}/{name}", b"new")


def test_removing_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remove_durably(tmp_path / "a")


def test_removing_syncs_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"old")
    recorder = Recorder(monkeypatch)
    remove_durably(tmp_path / "a")

    assert recorder.names == ["unlink", "open", "fsync"]
    assert names(tmp_path) == []


def test_a_file_system_that_cannot_sync_directories_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "fsync", errno.EINVAL)
    sync_directory(tmp_path)


def test_a_directory_that_cannot_be_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "fsync", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        sync_directory(tmp_path)


def test_the_label_of_the_replaced_file_is_carried_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: dict[object, bytes] = {str(tmp_path / "a"): b"cert_t"}
    given: list[bytes] = []
    # The test machine need not have SELinux, so its calls are answered here.
    monkeypatch.setattr(os, "getxattr", lambda path, name, **_: labels.get(path, b"etc_t"))
    monkeypatch.setattr(os, "setxattr", lambda path, name, label: given.append(label))
    write_durably(tmp_path / "a", b"new")

    assert given == [b"cert_t"]


def test_a_label_that_cannot_be_set_is_reported_and_the_file_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse(monkeypatch, "getxattr", errno.EACCES)
    write_durably(tmp_path / "a", b"new")

    assert (tmp_path / "a").read_bytes() == b"new"
    assert "SELinux label" in caplog.text
