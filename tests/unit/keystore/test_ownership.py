import grp
import logging
import os
import pwd
import stat
from pathlib import Path

import pytest

from certmongerd.keystore.links import located
from certmongerd.keystore.ownership import NEW_FILE_MODE, Ownership, apply_ownership, resolve_owner, wanted_ownership

_USER = pwd.getpwall()[1]
_GROUP = grp.getgrall()[2]


def wanted(path: Path, owner: str, perms: int) -> Ownership:
    with located(str(path)) as place:
        return wanted_ownership(place, owner, perms)


def apply(path: Path, owner: str, perms: int) -> None:
    with located(str(path)) as place:
        apply_ownership(place, owner, perms)


@pytest.mark.parametrize(
    ("owner", "ids"),
    [
        ("", (-1, -1)),
        (":", (-1, -1)),
        (_USER.pw_name, (_USER.pw_uid, _USER.pw_gid)),
        (f"{_USER.pw_name}:", (_USER.pw_uid, _USER.pw_gid)),
        (f"{_USER.pw_name}:{_GROUP.gr_name}", (_USER.pw_uid, _GROUP.gr_gid)),
        (f":{_GROUP.gr_name}", (-1, _GROUP.gr_gid)),
        (f"{_USER.pw_uid}", (_USER.pw_uid, _USER.pw_gid)),
        (f"{_USER.pw_uid}:{_GROUP.gr_gid}", (_USER.pw_uid, _GROUP.gr_gid)),
        ("4000000001", (4000000001, -1)),
        (":4000000001", (-1, 4000000001)),
    ],
)
def test_owners_are_names_or_numbers(owner: str, ids: tuple[int, int]) -> None:
    assert resolve_owner(owner) == ids


@pytest.mark.parametrize("owner", ["no-such-user", ":no-such-group", "99999999999", "-1", "²"])
def test_an_unknown_owner_changes_nothing_and_is_logged(owner: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert resolve_owner(owner) == (-1, -1)
    assert owner.strip(":") in caplog.text


def test_a_new_file_is_private_unless_a_mode_is_set(tmp_path: Path) -> None:
    path = tmp_path / "new"
    assert wanted(path, "", 0).mode == NEW_FILE_MODE == 0o600
    assert wanted(path, "", 0o644).mode == 0o644
    assert wanted(path, "", 0).owner is None


def test_an_existing_file_keeps_its_mode_unless_one_is_set(tmp_path: Path) -> None:
    path = tmp_path / "present"
    path.touch()
    path.chmod(0o604)
    assert wanted(path, "", 0).mode == 0o604
    assert wanted(path, "", 0o640).mode == 0o640
    apply(path, "", 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    apply(path, "", 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_owner_of_an_existing_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "present"
    path.touch()
    present = path.stat()
    # Being somebody else is what matters here, and only an account with privileges could really be.
    monkeypatch.setattr(os, "geteuid", lambda: present.st_uid + 1)
    monkeypatch.setattr(os, "getegid", lambda: present.st_gid + 1)
    assert wanted(path, "", 0).owner == (present.st_uid, present.st_gid)
