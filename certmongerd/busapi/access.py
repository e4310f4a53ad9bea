"""Who may do what: decided by user id, whatever the policy of the bus lets through."""

import asyncio
import grp
import logging
import os
import pwd
import time
from collections.abc import Callable
from enum import Enum
from typing import Final

from certmongerd.busapi.service import Caller

_log = logging.getLogger(__name__)

_KEEP_S: Final = 60.0
"""How long a membership that was looked up counts; a directory service may be slow."""
_MAX_KEPT: Final = 1000
_ROOT: Final = 0


class Access(Enum):
    """What a caller may do."""

    NOTHING = "nothing"
    READ = "read"
    """Whatever changes nothing and tells no secret."""
    EVERYTHING = "everything"


class AccessControl:
    """Root and the daemon's own user may do everything; members of one group, if configured, may read."""

    def __init__(
        self, reader_group: Callable[[], str] = lambda: "", *, own_uid: int | None = None, keep_s: float = _KEEP_S
    ) -> None:
        """*reader_group* gives the group's name as it is configured now, empty for none."""
        self._reader_group = reader_group
        self._masters = frozenset({_ROOT, os.geteuid() if own_uid is None else own_uid})
        self._keep_s = keep_s
        self._known: dict[tuple[int, str], tuple[float, Access]] = {}

    async def of(self, caller: Caller) -> Access:
        """What *caller* may do. A caller whose user the bus does not know may do nothing."""
        if caller.uid is None:
            return Access.NOTHING
        if caller.uid in self._masters:
            return Access.EVERYTHING
        group = self._reader_group()
        if not group:
            return Access.NOTHING
        now = time.monotonic()
        until, access = self._known.get((caller.uid, group), (now, Access.NOTHING))
        if until <= now:
            is_member = await asyncio.to_thread(_is_member, caller.uid, group)
            access = Access.READ if is_member else Access.NOTHING
            if len(self._known) >= _MAX_KEPT:
                self._known.clear()
            self._known[caller.uid, group] = (now + self._keep_s, access)
        return access

    def refusal(self, caller: Caller) -> str:
        """Why *caller* is refused, for people."""
        group = self._reader_group()
        readers = f'; members of the group "{group}" may read' if group else ""
        who = "a user whom the bus does not name" if caller.uid is None else f"user {caller.uid}"
        return f"Only root may do this, and the daemon was called by {who}{readers}."


def _is_member(uid: int, group: str) -> bool:
    """Whether the user belongs to *group*, as the host's user database says it. Blocks."""
    try:
        wanted = grp.getgrnam(group).gr_gid
    except KeyError:
        _log.warning('There is no group "%s", which may read according to the configuration', group)
        return False
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return False
    return wanted in os.getgrouplist(user.pw_name, user.pw_gid)
