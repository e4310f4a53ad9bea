"""Heads of messages, and bodies of a few plain values, as bytes without a library in between. No I/O.

That is most of what a daemon hears and answers: `get_status` and its like. What is not handled here, a library reads
and writes. The layout is that of the D-Bus specification, "Marshaling (Wire Format)" and "Message Format".
"""

import re
from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Final

from certmongerd.busapi.marshal import (
    Marshalled,
    NotReadable,
    append_text,
    read_boolean,
    read_int32,
    read_int64,
    read_text,
)

_U32: Final = Struct("<I")
_FIXED_HEADER_BYTES: Final = 16
_PATH: Final = re.compile(r"/|(/[A-Za-z0-9_]+)+")

_READERS: Final[dict[str, Callable[[bytes, int], tuple[object, int]]]] = {
    "s": read_text,
    "o": read_text,
    "b": read_boolean,
    "i": read_int32,
    "x": read_int64,
}
_TEXT_TYPES: Final = {b"\x01s\0", b"\x01o\0"}


def read_head(frame: bytes) -> dict[int, str | int]:
    """The header fields of the complete valid little-endian message *frame*, by `HeaderField`. Raises NotReadable."""
    fields: dict[int, str | int] = {}
    at, end = _FIXED_HEADER_BYTES, _FIXED_HEADER_BYTES + _U32.unpack_from(frame, 12)[0]
    try:
        while at < end:
            at = (at + 7) & -8
            code, type_ = frame[at], frame[at + 1 : at + 4]
            if type_ in _TEXT_TYPES:
                fields[code], at = read_text(frame, at + 4)
            elif type_ == b"\x01u\0":
                fields[code], at = _U32.unpack_from(frame, at + 4)[0], at + 8
            elif type_ == b"\x01g\0":
                begin = at + 5
                at = begin + frame[at + 4]
                fields[code], at = frame[begin:at].decode("ascii"), at + 1
            else:
                raise NotReadable
    except (StructError, UnicodeDecodeError, IndexError) as exc:
        raise NotReadable from exc
    return fields


def read_values(signature: str, body: bytes) -> tuple[object, ...]:
    """The values of a complete valid body of plain types. Raises NotReadable."""
    values: list[object] = []
    at = 0
    try:
        for type_ in signature:
            value, at = _READERS[type_](body, at)
            values.append(value)
    except (StructError, UnicodeDecodeError, KeyError, IndexError) as exc:
        raise NotReadable from exc
    if at != len(body):
        raise NotReadable
    return tuple(values)


def _append_path(buffer: bytearray, value: object) -> bool:
    if not isinstance(value, str) or _PATH.fullmatch(value) is None:
        return False
    append_text(buffer, value)
    return True


def _append_string(buffer: bytearray, value: object) -> bool:
    if not isinstance(value, str):
        return False
    append_text(buffer, value)
    return True


def _append_boolean(buffer: bytearray, value: object) -> bool:
    if not isinstance(value, bool):
        return False
    buffer += _U32.pack(value)
    return True


_WRITERS: Final[dict[str, Callable[[bytearray, object], bool]]] = {
    "s": _append_string,
    "o": _append_path,
    "b": _append_boolean,
}
"""All begin at multiples of 4; they say whether the value is of their type."""


def marshal_values(signature: str, values: tuple[object, ...]) -> Marshalled | None:
    """A body of strings, paths and booleans; None where there is something else, or a value is not of its type."""
    if len(signature) != len(values):
        return None
    buffer = bytearray()
    for type_, value in zip(signature, values, strict=True):
        append = _WRITERS.get(type_)
        buffer += bytes(-len(buffer) % 4)
        if append is None or not append(buffer, value):
            return None
    return Marshalled(bytes(buffer))
