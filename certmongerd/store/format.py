"""The line syntax of certmonger's state files: bytes to records and back. No I/O.

A record is `key=value`; lines that begin with one blank continue the value of the
record before them. Everything that can be read is kept: a line that is no record at
all becomes a record without key, so that nothing gets lost when the file is
rewritten. Only comments and empty lines disappear.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from certmongerd.core.errors import InvalidValue

MAXIMUM_LINE: Final = 1 << 20
"""Bytes; certmonger stops reading a file at a longer line."""

_ENCODING: Final = "utf-8"
_BYTES_AS_THEY_ARE: Final = "surrogateescape"
_CONTINUED: Final = "\0"
_UNUSUAL: Final = f"#;= {_CONTINUED}"
"""How no line of a file begins that certmonger or this project has written, except for odd keys and values."""


class Record(NamedTuple):
    """One entry of a state file."""

    key: str
    """As spelled in the file; empty for a line that is no record."""
    value: str
    """Lines are separated by LF, without a final one."""


def parse(data: bytes) -> list[Record]:
    """The records of a state file, in order, repeated keys included.

    CRLF counts as a line end. Bytes that are not UTF-8 survive a round trip as lone
    surrogates. Raises InvalidValue for data that cannot be a state file: NUL bytes
    and lines longer than MAXIMUM_LINE.
    """
    if b"\0" in data:
        raise InvalidValue("state file", f"contains a NUL byte at offset {data.index(0)}")
    text = data.decode(_ENCODING, _BYTES_AS_THEY_ARE)
    if "\r" in text or len(text) > MAXIMUM_LINE:
        return _parse_line_by_line(text)
    records: list[Record] = []
    for line in text.removesuffix("\n").replace("\n ", _CONTINUED).split("\n"):
        if not line or line[0] in _UNUSUAL:
            return _parse_line_by_line(text)
        key, separator, value = line.partition("=")
        if not separator or _CONTINUED in key:
            key, value = "", line
        records.append(Record(key, value.replace(_CONTINUED, "\n")))
    return records


def _parse_line_by_line(text: str) -> list[Record]:
    """As `parse`, with everything that a file can contain."""
    records: list[Record] = []
    key: str | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        if line[-1:] == "\r":
            line = line[:-1]
        start = line[:1]
        if len(line) > MAXIMUM_LINE:
            raise InvalidValue("state file", f"has a line of {len(line)} characters")
        if start == " " and key is not None:
            lines.append(line[1:])
            continue
        if start in ("#", ";"):
            continue
        if key is not None:
            records.append(Record(key, "\n".join(lines)))
            key = None
        if start == "=":
            line = line[1:]
        if line:
            name, separator, value = line.partition("=")
            key, lines = (name, [value]) if separator and name else ("", [line])
    if key is not None:
        records.append(Record(key, "\n".join(lines)))
    return records


def render(records: Iterable[Record]) -> bytes:
    """A state file with *records*; the inverse of `parse`.

    Raises InvalidValue for what the syntax cannot hold: NUL, keys with line breaks or `=`.
    """
    parts: list[str] = []
    for key, value in records:
        if "=" in key or "\n" in key:
            raise InvalidValue("state file", f"{key!r} cannot be a key")
        if not key:
            text = f"={value}" if value[:1] in ("=", "#", ";", " ") else value
        elif key[0] in "#; ":
            text = f"={key}={value}"
        else:
            text = f"{key}={value}"
        if "\r" in text:
            text = _protect_carriage_returns(text)
        parts.append(text.replace("\n", "\n "))
    parts.append("")
    try:
        data = "\n".join(parts).encode(_ENCODING, _BYTES_AS_THEY_ARE)
    except UnicodeEncodeError as exc:
        raise InvalidValue("state file", "a value contains a character that has no encoding") from exc
    if b"\0" in data:
        raise InvalidValue("state file", f"a value contains a NUL: {_key_with_nul(data)}")
    return data


def _protect_carriage_returns(text: str) -> str:
    """Double the carriage return at the end of a line, of which a reader drops one."""
    return text.replace("\r\n", "\r\r\n") + ("\r" if text.endswith("\r") else "")


def _key_with_nul(data: bytes) -> str:
    line = data[: data.index(0)].rpartition(b"\n")[2]
    return line.partition(b"=")[0].decode(_ENCODING, "replace")
