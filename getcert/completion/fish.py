"""The completion script for fish."""

from collections.abc import Iterator
from typing import Final

from getcert.completion.model import PROGRAM, PROGRAMS, CommandCompletion, OptionCompletion, Source

_HEAD: Final = r"""# Completion for fish, written by `getcert completion fish`.

function __getcert_command
    # Whether the command is one of those given, or none is there yet.
    set -l words (commandline -opc)
    if test (count $argv) -eq 0
        test (count $words) -eq 1
    else
        test (count $words) -gt 1; and contains -- $words[2] $argv
    end
end

function __getcert_names
    # requests or cas: what the daemon has
    set -l words (commandline -opc)
    set -l bus
    contains -- -s $words; or contains -- --session $words; and set bus -s
    $words[1] completion $argv[1] $bus 2>/dev/null
end
"""
_ARGUMENTS: Final = {
    Source.NOTHING: "-x",
    Source.FILES: "-r -F",
    Source.DIRECTORIES: "-x -a '(__fish_complete_directories (commandline -ct))'",
    Source.USERS: "-x -a '(__fish_complete_users)'",
    Source.REQUESTS: "-x -a '(__getcert_names requests)'",
    Source.CAS: "-x -a '(__getcert_names cas)'",
}


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _option(command: CommandCompletion, option: OptionCompletion) -> str:
    words = ["complete -c $program", "-n", _quoted(f"__getcert_command {command.name}")]
    if option.option.short:
        words += ["-s", option.option.short]
    words += ["-l", option.option.long]
    if option.source is Source.WORDS:
        words += ["-x", "-a", _quoted(" ".join(option.words))]
    elif option.source is not None:
        words.append(_ARGUMENTS[option.source])
    return " ".join((*words, "-d", _quoted(option.option.help)))


def _command(command: CommandCompletion) -> str:
    return f"complete -c $program -n __getcert_command -a {command.name} -d {_quoted(command.summary)}"


def _for_all(commands: tuple[CommandCompletion, ...]) -> Iterator[str]:
    yield f"for program in {' '.join(PROGRAMS)}"
    yield "    complete -c $program -f"
    for command in commands:
        if command.edits_cas:
            continue
        yield f"    {_command(command)}"
        yield from (f"    {_option(command, option)}" for option in command.options if option.name != "ca")
        if command.operands:
            condition = _quoted(f"__getcert_command {command.name}")
            yield f"    complete -c $program -n {condition} -a {_quoted(' '.join(command.operands))}"
    yield "end"


def _for_getcert(commands: tuple[CommandCompletion, ...]) -> Iterator[str]:
    yield f"set -l program {PROGRAM}"
    for command in commands:
        if command.edits_cas:
            yield _command(command)
        chosen = (option for option in command.options if command.edits_cas or option.name == "ca")
        yield from (_option(command, option) for option in chosen)


def script(commands: tuple[CommandCompletion, ...]) -> str:
    """The script."""
    return "".join(f"{line}\n" for line in (_HEAD, *_for_all(commands), "", *_for_getcert(commands)))
