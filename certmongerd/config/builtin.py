"""The CAs that are always there, and where their helpers are."""

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Final

from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaType

FIRST_SERIAL: Final = "01"

_EXTERNAL: Final = (
    ("IPA", "ipa-submit"),
    ("dogtag-ipa-renew-agent", "dogtag-ipa-renew-agent-submit"),
    ("local", "local-submit"),
)
_ORIGINAL_DIRECTORIES: Final = ("/usr/lib/certmonger", "/usr/libexec/certmonger")
_FIRST_WORD = re.compile(r"\s*([^\s'\"\\]+)(?=\s|\Z)")
_GUARD: Final = "ipa-server-guard"
"""FreeIPA's program on its servers: it prepares Kerberos and runs the helper that is its first argument."""


def builtin_cas(helper_dir: str) -> tuple[Ca, ...]:
    """The built-in CAs in certmonger's order; *helper_dir* holds the helper programs."""
    own = Ca(id=CaName("SelfSign"), type=CaType.INTERNAL_SELF, internal_serial=FIRST_SERIAL)
    return (own, *(Ca(id=CaName(name), external_helper=f"{helper_dir}/{program}") for name, program in _EXTERNAL))


def missing_builtins(existing: Iterable[Ca], helper_dir: str) -> tuple[Ca, ...]:
    """The built-in CAs to add to *existing*; SelfSign only when there is no self-signing CA at all."""
    present = tuple(existing)
    names = {ca.id for ca in present}
    has_own = any(ca.type is CaType.INTERNAL_SELF for ca in present)
    return tuple(
        ca for ca in builtin_cas(helper_dir) if ca.id not in names and not (has_own and ca.type is CaType.INTERNAL_SELF)
    )


def resolve_helper(command: str, helper_dir: str, exists: Callable[[str], bool]) -> str:
    """The command to run for a stored helper *command*.

    State files written by certmonger name its own helper programs. Where such a program is not
    installed, the one of the same name in *helper_dir* takes its place; arguments stay as they
    are. Everything else is returned unchanged.
    """
    match = _FIRST_WORD.match(command)
    if match is None:
        return command
    program = PurePosixPath(match[1])
    if program.name == _GUARD:
        return command[: match.end(1)] + resolve_helper(command[match.end(1) :], helper_dir, exists)
    if str(program.parent) not in _ORIGINAL_DIRECTORIES or exists(match[1]):
        return command
    own = f"{helper_dir}/{program.name}"
    return command[: match.start(1)] + own + command[match.end(1) :] if exists(own) else command
