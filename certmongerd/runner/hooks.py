"""Commands that administrators attach to saving: run as the user who set them, never as somebody else."""

import asyncio
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from certmongerd.core.errors import CertmongerError, InvalidValue, LaunchError
from certmongerd.core.model import Hook
from certmongerd.runner.process import Launcher
from certmongerd.runner.program import RunAs
from certmongerd.runner.words import split_command

_SHOWN_LINES: Final = 3
_SHOWN_CHARACTERS: Final = 500
"""Of its output in the reason for people; the log has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOutcome:
    """What became of a hook; the saving it belongs to goes on in any case."""

    ran: bool
    succeeded: bool
    """Whether there was nothing to run, or it ended with status 0."""
    exit_status: int | None = None
    """None when it did not run or a signal ended it."""
    output_tail: str = ""
    """The last lines that it printed, on standard output or standard error."""
    reason: str = ""
    """What went wrong, for people; empty when nothing did."""


class _HookRefused(CertmongerError):
    """The hook cannot be run with the rights it should have."""


async def run_hook(launcher: Launcher, hook: Hook, env: Mapping[str, str], timeout_s: float) -> HookOutcome:
    """Run *hook* with exactly *env* and wait for its end, not for services that it started.

    As root the hook gets its user's id, primary group and supplementary groups, and nothing of root's. Another
    daemon user can only run its own hooks. It works in the daemon's own directory, as certmonger's do. Failure is
    returned, never raised.
    """
    if not hook.command.strip():
        return HookOutcome(ran=False, succeeded=True)
    try:
        argv = split_command(hook.command)
        user = await asyncio.to_thread(_identity, hook.uid)
        run = await launcher.run(
            argv, env=env, timeout_s=timeout_s, cwd=_directory(), user=user, keep_background=True, merge_output=True
        )
    except (InvalidValue, LaunchError, _HookRefused) as exc:
        return HookOutcome(ran=False, succeeded=False, reason=f"It was not run: {exc}")
    reason = "" if run.succeeded else f'"{argv[0]}" {run.describe()}'
    if reason and run.stderr_tail:
        reason += f": {' / '.join(run.stderr_tail.splitlines()[-_SHOWN_LINES:])[:_SHOWN_CHARACTERS]}"
    return HookOutcome(
        ran=True,
        succeeded=run.succeeded,
        exit_status=run.exit_status,
        output_tail=run.stderr_tail,
        reason=reason,
    )


def _directory() -> str:
    """The daemon's working directory; the root directory when somebody removed that."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def _identity(uid_text: str) -> RunAs | None:
    """The rights to take on; None for those that the daemon has. Raises _HookRefused."""
    if not (uid_text.isascii() and uid_text.isdigit()):
        raise _HookRefused(f'It has no usable user id ("{uid_text}")' if uid_text else "It has no user id")
    uid = int(uid_text)
    if uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise _HookRefused(f"It belongs to user id {uid}, and only root can become another user")
    try:
        account = pwd.getpwuid(uid)
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
    except (KeyError, OverflowError, OSError) as exc:
        raise _HookRefused(f"There is no user with the id {uid}") from exc
    return RunAs(uid=uid, gid=account.pw_gid, groups=tuple(groups))
