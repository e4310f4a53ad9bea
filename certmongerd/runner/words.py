"""Command strings as lists of words, without a shell."""

from collections.abc import Sequence
from typing import Final

from certmongerd.core.errors import InvalidValue

_BLANKS: Final = " \t\r\n"
_ESCAPABLE_IN_DOUBLE_QUOTES: Final = '"\\$`\n'


def split_command(text: str, *, what: str = "command") -> list[str]:
    r"""Split *text* into words as POSIX does (XCU, section 2.2), without any expansion.

    Single quotes keep everything; double quotes keep everything but a backslash before one of `"`, `\`, `$`,
    a backquote or a line end; a backslash outside quotes keeps the next character. Raises InvalidValue, naming
    *what*, for an open quote, a trailing backslash and a NUL. A blank text has no words.
    """
    if "\0" in text:
        raise InvalidValue(what, "The command contains a NUL character")
    words: list[str] = []
    word: list[str] | None = None
    position = 0
    while position < len(text):
        character = text[position]
        if character in _BLANKS:
            if word is not None:
                words.append("".join(word))
            word = None
            position += 1
            continue
        word = [] if word is None else word
        if character == "'":
            position = _single_quoted(text, position + 1, word, what)
        elif character == '"':
            position = _double_quoted(text, position + 1, word, what)
        elif character == "\\":
            position = _escaped(text, position + 1, word, what)
        else:
            word.append(character)
            position += 1
    if word is not None:
        words.append("".join(word))
    return words


def _single_quoted(text: str, start: int, word: list[str], what: str) -> int:
    """Append up to the closing quote; return the position after it."""
    end = text.find("'", start)
    if end < 0:
        raise InvalidValue(what, "The command has an open single quote")
    word.append(text[start:end])
    return end + 1


def _double_quoted(text: str, start: int, word: list[str], what: str) -> int:
    """Append up to the closing quote; return the position after it."""
    position = start
    while position < len(text):
        character = text[position]
        if character == '"':
            return position + 1
        if character == "\\" and position + 1 < len(text) and text[position + 1] in _ESCAPABLE_IN_DOUBLE_QUOTES:
            position += 1
            character = "" if text[position] == "\n" else text[position]
        word.append(character)
        position += 1
    raise InvalidValue(what, "The command has an open double quote")


def _escaped(text: str, position: int, word: list[str], what: str) -> int:
    """Append the character after a backslash; return the position after it."""
    if position >= len(text):
        raise InvalidValue(what, "The command ends in a backslash")
    if text[position] != "\n":
        word.append(text[position])
    return position + 1


def quote(words: Sequence[str]) -> str:
    """The command string that `split_command` splits into *words*."""
    return " ".join(_quote_word(word) for word in words)


def _quote_word(word: str) -> str:
    """One word, quoted only when it needs to be."""
    if word and not any(character in _BLANKS or character in "'\"\\" for character in word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"
