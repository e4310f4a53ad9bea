"""Heads of messages, and bodies of a few plain values, as bytes without a library in between. No I/O.

That is most of what a daemon hears and answers: `get_status` and its like. What is not handled here, a library reads
and writes. The layout is that of the D-Bus specification, "Marshaling (Wire Format)" and "Message Format".
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Final

from certmongerd.busapi.conformance import FIXED_HEADER_BYTES, PATH
from certmongerd.busapi.marshal import READERS, Marshalled, NotReadable, append_boolean, append_text, read_text

_U32: Final = Struct("<I")
_TEXT_TYPES: Final = {b"\x01s\0", b"\x01o\0"}


def read_head(frame: bytes) -> dict[int, str | int]:
    """The header fields of the complete valid little-endian message *frame*, by `HeaderField`. Raises NotReadable."""
    fields: dict[int, str | int] = {}
    at, end = FIXED_HEADER_BYTES, FIXED_HEADER_BYTES + _U32.unpack_from(frame, 12)[0]
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
            _, read = READERS[type_.encode()]
            value, at = read(body, at)
            values.append(value)
    except (StructError, UnicodeDecodeError, KeyError, IndexError) as exc:
        raise NotReadable from exc
    if at != len(body):
        raise NotReadable
    return tuple(values)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and PATH.fullmatch(value) is not None


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


_WRITERS: Final[dict[str, tuple[Callable[[object], bool], Callable[[bytearray, object], None]]]] = {
    "s": (_is_text, append_text),
    "o": (_is_path, append_text),
    "b": (_is_boolean, append_boolean),
}
"""Whether a value is of the type, and what appends it; all begin at multiples of 4."""


def marshal_values(signature: str, values: tuple[object, ...]) -> Marshalled | None:
    """A body of strings, paths and booleans; None where there is something else, or a value is not of its type."""
    if len(signature) != len(values):
        return None
    buffer = bytearray()
    for type_, value in zip(signature, values, strict=True):
        if type_ not in _WRITERS:
            return None
        is_fit, append = _WRITERS[type_]
        if not is_fit(value):
            return None
        buffer += bytes(-len(buffer) % 4)
        append(buffer, value)
    return Marshalled(bytes(buffer))
