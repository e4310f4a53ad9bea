"""Which file a location means: symbolic links are followed, but not those that somebody laid as a trap.

In a directory that another user may write, that user can put a link where the daemon, as root, is going to read or
write. A link of somebody else than root and the daemon's own user is followed only to what belongs to its owner anyway.
"""

import errno
import os
import stat
from typing import Final

_MOST_LINKS: Final = 40


def target_of(location: str) -> str:
    """The file that *location* means, without symbolic links; it need not exist. Raises OSError."""
    pending = location.split("/")[::-1]
    current = "/" if location.startswith("/") else os.getcwd()
    strangers: set[int] = set()
    links = 0
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            current = os.path.dirname(current)
            continue
        path = os.path.join(current, part)
        status = _look_at(path)
        if status is None or not stat.S_ISLNK(status.st_mode):
            current = path
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), location)
        if status.st_uid not in (0, os.geteuid()):
            strangers.add(status.st_uid)
        text = os.readlink(path)
        pending += text.split("/")[::-1]
        current = "/" if text.startswith("/") else current
    _require_own(current, strangers)
    return current


def _look_at(path: str) -> os.stat_result | None:
    """What *path* itself is; None when it does not exist."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _require_own(target: str, strangers: set[int]) -> None:
    """Links of *strangers* may lead to their own files only, or to new ones in their own directories."""
    if not strangers:
        return
    status = _look_at(target) or _look_at(os.path.dirname(target))
    owner = status.st_uid if status is not None else None
    for uid in strangers:
        if uid != owner:
            reason = f"a symbolic link of user id {uid} leads to what does not belong to that user; it is not followed"
            raise PermissionError(errno.EACCES, reason, target)
