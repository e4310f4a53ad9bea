"""The completion script for bash. It needs no package of functions."""

from collections.abc import Iterator
from typing import Final

from getcert.completion.model import ALIASES, PROGRAMS, CommandCompletion, OptionCompletion, Source

_HEAD: Final = r"""# Completion for bash, written by `getcert completion bash`.

_getcert_names() {  # requests|cas: what the daemon has that begins with $cur
    local word name bus=()
    for word in "${COMP_WORDS[@]}"; do
        case $word in -s | --session) bus=(-s) ;; -S | --system) bus=(-S) ;; esac
    done
    while IFS= read -r name; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf %q "$name")")
    done < <("${COMP_WORDS[0]/#\~/$HOME}" completion "$1" "${bus[@]}" 2>/dev/null)
}

_getcert() {
    local cur=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]-}
    local commands=" @COMMANDS@ " options=" " values="" words="" operands=""
    local only_getcert=" @EDITING@ "
    COMPREPLY=()
    if [[ $cur == "=" ]]; then
        cur=""
    elif [[ $option == "=" ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case ${COMP_WORDS[0]##*/} in
        @ALIASES@) for words in $only_getcert; do commands=${commands/" $words "/ }; done ;;
    esac
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
        return
    fi
    words=""
    case $command in
"""
_TAIL: Final = r"""    esac
    case ${COMP_WORDS[0]##*/} in
        @ALIASES@) options=${options/" -c --ca "/ } ;;
    esac
    case $values in
        files)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            ;;
        directories)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            ;;
        users) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
        words) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
        requests | cas) _getcert_names "$values" ;;
        nothing) ;;
        *)
            [[ -n $operands && $cur != -* ]] && options=$operands
            mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
            ;;
    esac
}

complete -F _getcert @PROGRAMS@
"""


def _pattern(option: OptionCompletion) -> str:
    return " | ".join(option.spellings)


def _values(command: CommandCompletion) -> Iterator[str]:
    for source in Source:
        options = [option for option in command.options if option.source is source]
        if source is Source.WORDS:
            for option in options:
                yield f'{_pattern(option)}) values=words words="{" ".join(option.words)}" ;;'
        elif options:
            yield f"{' | '.join(map(_pattern, options))}) values={source.value} ;;"


def _command(command: CommandCompletion) -> Iterator[str]:
    spellings = " ".join(spelling for option in command.options for spelling in option.spellings)
    yield f"        {command.name})"
    yield f'            options=" {spellings} "'
    if command.operands:
        yield f'            operands="{" ".join(command.operands)}"'
    yield "            case $option in"
    yield from (f"                {line}" for line in _values(command))
    yield "            esac"
    yield "            ;;"


def script(commands: tuple[CommandCompletion, ...]) -> str:
    """The script."""
    words = {
        "@COMMANDS@": " ".join(command.name for command in commands),
        "@EDITING@": " ".join(command.name for command in commands if command.edits_cas),
        "@ALIASES@": " | ".join(ALIASES),
        "@PROGRAMS@": " ".join(PROGRAMS),
    }
    body = "".join(f"{line}\n" for command in commands for line in _command(command))
    text = _HEAD + body + _TAIL
    for name, value in words.items():
        text = text.replace(name, value)
    return text
