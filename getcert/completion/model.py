"""What can be completed where, for all shells alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from certmongerd.core.usages import KEY_USAGES, OBJECT_IDENTIFIERS
from getcert.help import option_names
from getcert.main import COMMANDS, PINNED_CAS
from getcert.options import OPTIONS, Kind, Option

PROGRAM: Final = "getcert"
ALIASES: Final = tuple(PINNED_CAS)
"""Names of the program without the choice of a CA."""
PROGRAMS: Final = (PROGRAM, *ALIASES)


class Source(Enum):
    """Where the values of an option come from."""

    NOTHING = "nothing"
    """Free text."""
    FILES = "files"
    DIRECTORIES = "directories"
    USERS = "users"
    REQUESTS = "requests"
    """IDs that the daemon has."""
    CAS = "cas"
    """Names of CAs that the daemon has."""
    WORDS = "words"


@dataclass(frozen=True, slots=True)
class OptionCompletion:
    """One option of one command."""

    name: str
    option: Option
    source: Source | None
    """None for an option without a value."""
    words: tuple[str, ...] = ()
    """With WORDS: what is proposed."""

    @property
    def spellings(self) -> tuple[str, ...]:
        """How it is written, with its dashes."""
        short = (f"-{self.option.short}",) if self.option.short else ()
        return (*short, f"--{self.option.long}")


@dataclass(frozen=True, slots=True)
class CommandCompletion:
    """One command."""

    name: str
    summary: str
    edits_cas: bool
    options: tuple[OptionCompletion, ...]
    operands: tuple[str, ...]
    """Words that are proposed where no option stands."""


_SUGGESTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "key_type": ("RSA", "EC", "Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"),
    "key_usage": KEY_USAGES,
    "extended_key_usage": tuple(name for name in OBJECT_IDENTIFIERS if "kp-" in name.lower() or "-KP" in name),
}
_BY_NAME: Final[Mapping[str, Source]] = {"id": Source.REQUESTS, "ca": Source.CAS}
_BY_METAVAR: Final[Mapping[str, Source]] = {
    "FILE": Source.FILES,
    "COMMAND": Source.FILES,
    "DIR": Source.DIRECTORIES,
    "USER[:GROUP]": Source.USERS,
}


def _option(name: str) -> OptionCompletion:
    option = OPTIONS[name]
    if option.kind is Kind.FLAG:
        return OptionCompletion(name, option, None)
    words = option.choices or _SUGGESTIONS.get(name, ())
    if words:
        return OptionCompletion(name, option, Source.WORDS, words)
    return OptionCompletion(name, option, _BY_NAME.get(name) or _BY_METAVAR.get(option.metavar, Source.NOTHING))


def commands() -> tuple[CommandCompletion, ...]:
    """All commands, with the options that their help shows. Loads every command's module."""
    return tuple(
        CommandCompletion(
            name=name,
            summary=command.summary,
            edits_cas=command.edits_cas,
            options=tuple(map(_option, option_names(command.load().GROUPS))),
            operands=command.operands,
        )
        for name, command in COMMANDS.items()
    )
