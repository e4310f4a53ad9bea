"""Owner and mode of key and certificate files."""

import errno
import grp
import logging
import os
import pwd
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from certmongerd.keystore.links import Place

logger = logging.getLogger(__name__)

NEW_FILE_MODE: Final = 0o600
_KEEP: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """What a file is to belong to."""

    mode: int
    owner: tuple[int, int] | None
    """User and group id, -1 for "leave alone"; None for neither."""


def wanted_ownership(place: Place, owner: str, perms: int) -> Ownership:
    """For a new file that is to take its *place*: the settings, else those of the file there now, else 0600.

    Raises OSError when the place cannot be looked at.
    """
    user, group = resolve_owner(owner)
    mode = NEW_FILE_MODE
    present = place.status()
    if present is not None and stat.S_ISREG(present.st_mode):
        mode = stat.S_IMODE(present.st_mode)
        user = _differing(present.st_uid, os.geteuid()) if user == _KEEP else user
        group = _differing(present.st_gid, os.getegid()) if group == _KEEP else group
    return Ownership(mode=perms or mode, owner=None if (user, group) == (_KEEP, _KEEP) else (user, group))


def apply_ownership(place: Place, owner: str, perms: int) -> None:
    """Give the existing file at *place* the configured owner and mode; unset values are left alone. Raises OSError.

    The file is changed through a descriptor, so that nobody can slip another one in under its name; a file that has
    several names is not changed, because one of them may have been made to get at somebody else's.
    """
    user, group = resolve_owner(owner)
    with place.opened() as (descriptor, present):
        changes_owner = user not in (_KEEP, present.st_uid) or group not in (_KEEP, present.st_gid)
        changes_mode = bool(perms) and stat.S_IMODE(present.st_mode) != perms
        if (changes_owner or changes_mode) and present.st_nlink > 1:
            raise PermissionError(errno.EPERM, "it has several names (hard links)", place.path)
        if changes_owner:
            os.fchown(descriptor, user, group)
        if changes_mode:
            os.fchmod(descriptor, perms)


def resolve_owner(owner: str) -> tuple[int, int]:
    """Ids for `user`, `user:`, `user:group` or `:group`, names or numbers; -1 where nothing is to change.

    Without a group it is the user's primary group. Unknown names are logged and change nothing: the file then
    stays with the daemon's user, which is the safe side, and the certificate is not lost over it.
    """
    user_text, _, group_text = owner.partition(":")
    user = group = _KEEP
    if user_text:
        user, group = _user_ids(user_text)
    if group_text:
        group = _number(group_text, lambda name: grp.getgrnam(name).gr_gid, "group")
    return user, group


def _user_ids(text: str) -> tuple[int, int]:
    user = _number(text, lambda name: pwd.getpwnam(name).pw_uid, "user")
    try:
        return user, pwd.getpwuid(user).pw_gid if user != _KEEP else _KEEP
    except KeyError:  # a bare number without an account
        return user, _KEEP


def _number(text: str, look_up: Callable[[str], int], what: str) -> int:
    try:
        return look_up(text)
    except KeyError:
        if text.isascii() and text.isdigit() and int(text) < 2**32 - 1:
            return int(text)
        logger.warning('The %s "%s" does not exist; files are not given to it', what, text)
        return _KEEP


def _differing(present: int, own: int) -> int:
    """The id to give the new file explicitly; -1 when it gets it anyway."""
    return _KEEP if present == own else present
