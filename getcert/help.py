"""Help texts, made from the tables of options and commands."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from getcert.options import COMMON, OPTIONS, Option

Groups = Sequence[tuple[str, Sequence[str]]]
"""Headings with the names of the options below them."""

_HELP_COLUMN: Final = 34


def option_names(groups: Groups, *, hidden: Sequence[str] = (), without: Sequence[str] = ()) -> tuple[str, ...]:
    """All options of a command: those in its help, those which it only tolerates, and the common ones."""
    shown = [name for _, names in groups for name in names]
    return tuple(name for name in (*shown, *hidden, *COMMON) if name not in without)


def _spelling(option: Option) -> str:
    short = f"-{option.short}" if option.short else "  "
    separator = ", " if option.short else "  "
    argument = f"={option.metavar}" if option.metavar else ""
    return f"  {short}{separator}--{option.long}{argument}"


def _option_lines(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        option = OPTIONS[name]
        spelling = _spelling(option)
        if len(spelling) < _HELP_COLUMN - 1:
            yield f"{spelling:<{_HELP_COLUMN}}{option.help}"
        else:
            yield spelling
            yield " " * _HELP_COLUMN + option.help


def command_help(
    program: str, command: str, summary: str, groups: Groups, *, operands: Sequence[str] = (), without: Sequence[str]
) -> Iterator[str]:
    """The help of one command."""
    yield f"{program} {command}: {summary}"
    yield ""
    yield f"Usage: {program} {command} [options]" + (f" {'|'.join(operands)}" if operands else "")
    for heading, names in (*groups, ("Connection and output", COMMON)):
        shown = [name for name in names if name not in without]
        if shown:
            yield ""
            yield f"{heading}:"
            yield from _option_lines(shown)


def option_listing(program: str, command: str, names: Sequence[str]) -> Iterator[str]:
    """The bare list of a command's options, for -H."""
    yield f"Usage: {program} {command} [OPTION...]"
    yield from _option_lines(names)


def general_help(program: str, commands: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The list of commands; *commands* are names with what they do."""
    yield f"{program}: obtains certificates and keeps track of them"
    yield ""
    yield f"Usage: {program} COMMAND [options]"
    yield ""
    for name, summary in commands:
        yield f"  {name:<16}{summary}"
