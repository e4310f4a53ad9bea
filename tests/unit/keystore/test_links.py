"""Which links are followed."""

import os
import pwd
from contextlib import suppress
from pathlib import Path

import pytest

from certmongerd.keystore import links
from certmongerd.keystore.direct import open_without_links
from certmongerd.keystore.links import located

NOBODY = pwd.getpwnam("nobody").pw_uid
as_root = pytest.mark.xfail(os.geteuid() != 0, reason="only root makes links of others", strict=True)


@pytest.fixture(autouse=True, params=["direct", "walk"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels before 5.6, and some sandboxes, do not have the direct way."""
    if request.param == "walk":
        monkeypatch.setattr(links, "open_without_links", lambda *_: None)


def test_the_direct_way_enters_directories_without_links_only(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "file").touch()
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    entered = open_without_links(f"{tmp_path}/folder/inner/..", flags)
    assert entered is not None
    assert os.path.samestat(os.fstat(entered), os.stat(tmp_path / "folder"))
    assert not os.get_inheritable(entered)
    os.close(entered)
    for name in ("link", "link/inner", "file", "missing", "folder\0/inner"):
        assert open_without_links(f"{tmp_path}/{name}", flags) is None


def target_of(location: str) -> str:
    with located(location) as place:
        return place.path


def test_own_links_are_followed_as_the_system_does(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").touch()
    (tmp_path / "up").symlink_to("real/../real")
    (tmp_path / "absolute").symlink_to(tmp_path / "up")
    (tmp_path / "chain").symlink_to("absolute/file")
    (tmp_path / "dangling").symlink_to("real/new")
    for path in (
        "chain",
        "absolute/file",
        "up/./file",
        "dangling",
        "up/../chain",
        "absolute//new",
        "./up/.././real/file",
    ):
        assert target_of(f"{tmp_path}/{path}") == os.path.realpath(tmp_path / path)
    with located(f"{tmp_path}/chain", follow=False) as place:
        assert place.path == f"{tmp_path}/chain"


@pytest.mark.parametrize("path", ["missing/x", "file/x", "dangling/x", "folder/..", "folder-link", "."])
def test_what_names_no_file_in_a_directory_is_an_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder-link").symlink_to("folder/.")
    (tmp_path / "dangling").symlink_to("nowhere")
    expected = {"missing/x": FileNotFoundError, "dangling/x": FileNotFoundError, "file/x": NotADirectoryError}
    if path in ("folder-link", "."):
        assert target_of(f"{tmp_path}/{path}") == os.path.realpath(tmp_path / path)
        return
    with pytest.raises(expected.get(path, IsADirectoryError)) as caught:
        target_of(f"{tmp_path}/{path}")
    assert caught.value.filename == f"{tmp_path}/{path}"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/nonexistent/x")
    before = os.listdir("/proc/self/fd")
    for path in ("a", "missing/a", "link", ".."):
        with suppress(OSError), located(f"{tmp_path}/{path}"):
            pass
    assert os.listdir("/proc/self/fd") == before


def test_errors_name_paths(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, located(f"{tmp_path}/absent") as place:
        os.unlink(place.name, dir_fd=place.directory)
    assert caught.value.filename == f"{tmp_path}/absent"


def test_a_relative_location_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert target_of("a") == str(tmp_path / "a")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        target_of(f"{tmp_path}/a")


@as_root
@pytest.mark.parametrize("owner", [0, NOBODY])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_strangers_link_leads_to_what_is_the_strangers(tmp_path: Path, owner: int, is_there: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(folder, owner, -1)
    if is_there:
        (folder / "file").touch()
        os.chown(folder / "file", owner, -1)
    (tmp_path / "link").symlink_to(folder / "file")
    os.chown(tmp_path / "link", NOBODY, -1, follow_symlinks=False)
    if owner == NOBODY:
        assert target_of(f"{tmp_path}/link") == f"{folder}/file"
    else:
        with pytest.raises(PermissionError, match=f"a symbolic link of user id {NOBODY}"):
            target_of(f"{tmp_path}/link")
