"""The completion script for zsh: a file for $fpath, which can also be sourced."""

import re
from collections.abc import Iterator
from typing import Final

from getcert.completion.model import ALIASES, PROGRAMS, CommandCompletion, OptionCompletion, Source

_HEAD: Final = r"""#compdef @PROGRAMS@
# Completion for zsh, written by `getcert completion zsh`.

_getcert_names() {  # requests|cas: what the daemon has
  local -a bus names
  (( ${words[(I)(-s|--session)]} )) && bus=(-s)
  names=(${(f)"$($_getcert_program completion $1 $bus 2>/dev/null)"})
  (( $#names )) && compadd -a names
}
_getcert_requests() { _getcert_names requests }
_getcert_cas() { _getcert_names cas }

_getcert() {
  local curcontext=$curcontext state line _getcert_program=${~words[1]}
  local -a commands choice
  local -A opt_args
  commands=(
"""
_MIDDLE: Final = r"""  )
  case ${words[1]:t} in
    @ALIASES@) ;;
    *)
      commands+=(
@EDITING@
      )
      choice=('*'{-c+,--ca=}'[the CA to use]:NAME:_getcert_cas')
      ;;
  esac
  _arguments -C '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe -t commands command commands ;;
    argument)
      case $words[1] in
"""
_TAIL: Final = r"""      esac
      ;;
  esac
}

if [[ $funcstack[1] == _getcert ]]; then
  _getcert "$@"
else
  compdef _getcert @PROGRAMS@
fi
"""
_ACTIONS: Final = {
    Source.NOTHING: " ",
    Source.FILES: "_files",
    Source.DIRECTORIES: "_files -/",
    Source.USERS: "_users",
    Source.REQUESTS: "_getcert_requests",
    Source.CAS: "_getcert_cas",
}
_SPECIAL: Final = re.compile(r"([\\:\[\]])")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _specification(option: OptionCompletion) -> str:
    """One argument of _arguments. An option with a value may come again."""
    explanation = f"[{_escaped(option.option.help)}]"
    if option.source is None:
        excluded = " ".join(option.spellings)
        spellings = ",".join(option.spellings)
        start = f"'({excluded})'{{{spellings}}}" if len(option.spellings) > 1 else spellings
        return start + _quoted(explanation)
    action = f"({' '.join(option.words)})" if option.source is Source.WORDS else _ACTIONS[option.source]
    value = f":{_escaped(option.option.metavar)}:{action}"
    spellings = ",".join(f"{each}=" if each.startswith("--") else f"{each}+" for each in option.spellings)
    start = f"{{{spellings}}}" if len(option.spellings) > 1 else spellings
    return "'*'" + start + _quoted(explanation + value)


def _command(command: CommandCompletion) -> Iterator[str]:
    yield f"        {command.name})"
    specifications = []
    for option in command.options:
        is_choice = option.name == "ca" and not command.edits_cas
        specifications.append("$choice" if is_choice else _specification(option))
    if command.operands:
        specifications.append(_quoted(f"1:word:({' '.join(command.operands)})"))
    yield "          _arguments -s -S \\"
    yield from (f"            {each} \\" for each in specifications[:-1])
    yield f"            {specifications[-1]}"
    yield "          ;;"


def _description(command: CommandCompletion, indent: str) -> str:
    return indent + _quoted(f"{_escaped(command.name)}:{_escaped(command.summary)}")


def script(commands: tuple[CommandCompletion, ...]) -> str:
    """The script."""
    usual = "".join(_description(command, "    ") + "\n" for command in commands if not command.edits_cas)
    body = "".join(f"{line}\n" for command in commands for line in _command(command))
    text = _HEAD + usual + _MIDDLE + body + _TAIL
    words = {
        "@EDITING@": "\n".join(_description(command, "        ") for command in commands if command.edits_cas),
        "@ALIASES@": "|".join(ALIASES),
        "@PROGRAMS@": " ".join(PROGRAMS),
    }
    for name, value in words.items():
        text = text.replace(name, value)
    return text
