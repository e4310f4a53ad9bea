"""What the bus carries most of as bytes, without a library in between. No I/O.

That is: the answers of GetManagedObjects and GetAll, since a thousand requests are more than 40,000 variants, with
which the libraries of `transport` keep both sides busy for most of a second; and the signals about changes, of which
each enrolment causes some twenty. Only their signatures are handled, little-endian, with the types that properties of
this project have; what else a daemon may send is refused by the reader, and left to the library. The layout is that
of the D-Bus specification, "Marshaling (Wire Format)" and "Message Format".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final, TypeVar, cast

MANAGED_OBJECTS: Final = "a{oa{sa{sv}}}"
PROPERTIES: Final = "a{sv}"
CHANGES: Final = "sa{sv}as"
"""Body of PropertiesChanged."""
ADDED_OBJECT: Final = "oa{sa{sv}}"
"""Body of InterfacesAdded."""

_U32: Final = Struct("<I")
_I32: Final = Struct("<i")
_I64: Final = Struct("<q")
_STRUCT_BOUNDARY: Final = 8
"""Structures and dictionary entries begin at multiples of this."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Marshalled:
    """A whole body, as bytes already."""

    data: bytes


# Writing


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if b"\0" in data:
        data = data.replace(b"\0", "\N{REPLACEMENT CHARACTER}".encode())
    return _U32.pack(len(data)) + data + b"\0"


def _begin_array(buffer: bytearray, boundary: int) -> tuple[int, int]:
    """Append an array's length, still 0, and its padding; where the length stands, and where the first element will."""
    buffer += bytes(-len(buffer) % 4 + 4)
    length_at = len(buffer) - 4
    buffer += bytes(-len(buffer) % boundary)
    return length_at, len(buffer)


def _end_array(buffer: bytearray, begun: tuple[int, int]) -> None:
    length_at, first = begun
    _U32.pack_into(buffer, length_at, len(buffer) - first)


def _append_texts(buffer: bytearray, texts: object) -> None:
    begun = _begin_array(buffer, 4)
    for text in cast("tuple[str, ...]", texts):
        buffer += bytes(-len(buffer) % 4)
        buffer += _text(text)
    _end_array(buffer, begun)


def _append_text_pairs(buffer: bytearray, pairs: object) -> None:
    begun = _begin_array(buffer, _STRUCT_BOUNDARY)
    for first, second in cast("tuple[tuple[str, str], ...]", pairs):
        buffer += bytes(-len(buffer) % _STRUCT_BOUNDARY)
        buffer += _text(first)
        buffer += bytes(-len(buffer) % 4)
        buffer += _text(second)
    _end_array(buffer, begun)


def append_text(buffer: bytearray, text: object) -> None:
    """Append a string or a path; what no bus accepts in it is replaced."""
    buffer += _text(cast("str", text))


def append_boolean(buffer: bytearray, flag: object) -> None:
    """Append a boolean."""
    buffer += _U32.pack(bool(flag))


def _append_number(buffer: bytearray, number: object) -> None:
    buffer += _I64.pack(number)


_WRITERS: Final[dict[str, tuple[int, Callable[[bytearray, object], None]]]] = {
    "s": (4, append_text),
    "o": (4, append_text),
    "b": (4, append_boolean),
    "x": (8, _append_number),
    "as": (4, _append_texts),
    "a(ss)": (4, _append_text_pairs),
}
"""Type of a property, where its values may begin, and how they are appended."""


class PropertyWriter:
    """Appends one property, a dictionary entry `{sv}`."""

    def __init__(self, name: str, type_: str) -> None:
        boundary, self._append_value = _WRITERS[type_]
        head = _text(name) + bytes([len(type_)]) + type_.encode("ascii") + b"\0"
        # The entry begins at a multiple of 8, so the padding before its value is the same everywhere.
        self._head: Final = head + bytes(-len(head) % boundary)

    def append(self, buffer: bytearray, value: object) -> None:
        """Add the property with *value*, which is of its type."""
        buffer += bytes(-len(buffer) % _STRUCT_BOUNDARY)
        buffer += self._head
        self._append_value(buffer, value)


AppendProperties = Callable[[bytearray], None]
"""Appends dictionary entries, one for each property."""


def _append_properties(buffer: bytearray, append_properties: AppendProperties) -> None:
    begun = _begin_array(buffer, _STRUCT_BOUNDARY)
    append_properties(buffer)
    _end_array(buffer, begun)


def _append_interfaces(buffer: bytearray, interfaces: Mapping[str, AppendProperties]) -> None:
    begun = _begin_array(buffer, _STRUCT_BOUNDARY)
    for interface, append_properties in interfaces.items():
        buffer += bytes(-len(buffer) % _STRUCT_BOUNDARY)
        buffer += _text(interface)
        _append_properties(buffer, append_properties)
    _end_array(buffer, begun)


def marshal_properties(append_properties: AppendProperties) -> Marshalled:
    """The whole answer of GetAll."""
    buffer = bytearray()
    _append_properties(buffer, append_properties)
    return Marshalled(bytes(buffer))


def marshal_changes(interface: str, append_changed: AppendProperties, invalidated: tuple[str, ...]) -> Marshalled:
    """The body of PropertiesChanged."""
    buffer = bytearray(_text(interface))
    _append_properties(buffer, append_changed)
    _append_texts(buffer, invalidated)
    return Marshalled(bytes(buffer))


def marshal_added_object(path: str, interfaces: Mapping[str, AppendProperties]) -> Marshalled:
    """The body of InterfacesAdded."""
    buffer = bytearray(_text(path))
    _append_interfaces(buffer, interfaces)
    return Marshalled(bytes(buffer))


class HeaderField(IntEnum):
    """Codes of header fields."""

    PATH = 1
    INTERFACE = 2
    MEMBER = 3
    ERROR_NAME = 4
    REPLY_SERIAL = 5
    DESTINATION = 6
    SENDER = 7
    SIGNATURE = 8


_HEAD: Final = Struct("<cBBBII")


Fields = tuple[tuple[HeaderField, str | int | None], ...]
"""What a message's head says; fields that are None are left out."""


def marshal_head(kind: int, flags: int, serial: int, body_bytes: int, fields: bytes) -> bytes:
    """The head of a message whose body has *body_bytes*, with what `marshal_fields` gave."""
    return _HEAD.pack(b"l", kind, flags, 1, body_bytes, serial) + fields


def marshal_fields(fields: Fields) -> bytes:
    """What follows the fixed part of the head. Names are trusted to be valid."""
    buffer = bytearray(_HEAD.size)
    begun = _begin_array(buffer, _STRUCT_BOUNDARY)
    for code, value in fields:
        if value is None:
            continue
        buffer += bytes(-len(buffer) % _STRUCT_BOUNDARY)
        if isinstance(value, int):
            buffer += bytes((code, 1)) + b"u\0" + _U32.pack(value)
        elif code is HeaderField.SIGNATURE:
            buffer += bytes((code, 1)) + b"g\0" + bytes((len(value),)) + value.encode("ascii") + b"\0"
        else:
            buffer += bytes((code, 1)) + (b"o\0" if code is HeaderField.PATH else b"s\0") + _text(value)
    _end_array(buffer, begun)
    buffer += bytes(-len(buffer) % _STRUCT_BOUNDARY)
    return bytes(buffer[_HEAD.size :])


class ObjectsWriter:
    """Puts the whole answer together, object by object."""

    def __init__(self) -> None:
        self._buffer: Final = bytearray()
        self._objects: Final = _begin_array(self._buffer, _STRUCT_BOUNDARY)

    def __len__(self) -> int:
        return len(self._buffer)

    def append(self, path: str, interfaces: Mapping[str, AppendProperties]) -> None:
        """Add the object at *path*, with what appends the properties of each interface."""
        buffer = self._buffer
        buffer += bytes(-len(buffer) % _STRUCT_BOUNDARY)
        buffer += _text(path)
        _append_interfaces(buffer, interfaces)

    def finish(self) -> Marshalled:
        """The value; nothing can be added any more."""
        _end_array(self._buffer, self._objects)
        return Marshalled(bytes(self._buffer))


# Reading. `at` is a position in a body that begins at a multiple of 8.


class NotReadable(Exception):
    """The bytes are not what is read here; they may be valid nevertheless."""


def read_text(body: bytes, at: int) -> tuple[str, int]:
    """A string or a path, and the position behind it. Raises NotReadable, StructError, UnicodeDecodeError."""
    at = (at + 3) & -4
    begin = at + 4
    end = begin + _U32.unpack_from(body, at)[0]
    text = body[begin:end].decode()
    if "\0" in text:
        raise NotReadable
    return text, end + 1


def _read_array_length(body: bytes, at: int) -> tuple[int, int]:
    """Length in bytes, and the position behind it."""
    at = (at + 3) & -4
    return _U32.unpack_from(body, at)[0], at + 4


def _read_texts(body: bytes, at: int) -> tuple[tuple[str, ...], int]:
    length, at = _read_array_length(body, at)
    end = at + length
    texts = []
    while at < end:
        text, at = read_text(body, at)
        texts.append(text)
    return tuple(texts), at


def _read_text_pairs(body: bytes, at: int) -> tuple[tuple[tuple[str, str], ...], int]:
    length, at = _read_array_length(body, at)
    at = (at + 7) & -8
    end = at + length
    pairs = []
    while at < end:
        first, at = read_text(body, (at + 7) & -8)
        second, at = read_text(body, at)
        pairs.append((first, second))
    return tuple(pairs), at


def _read_boolean(body: bytes, at: int) -> tuple[bool, int]:
    at = (at + 3) & -4
    return _U32.unpack_from(body, at)[0] != 0, at + 4


def _read_int64(body: bytes, at: int) -> tuple[int, int]:
    at = (at + 7) & -8
    return _I64.unpack_from(body, at)[0], at + 8


def _read_int32(body: bytes, at: int) -> tuple[int, int]:
    at = (at + 3) & -4
    return _I32.unpack_from(body, at)[0], at + 4


READERS: Final[dict[bytes, tuple[str, Callable[[bytes, int], tuple[object, int]]]]] = {
    b"s": ("s", read_text),
    b"o": ("o", read_text),
    b"b": ("b", _read_boolean),
    b"i": ("i", _read_int32),
    b"x": ("x", _read_int64),
    b"as": ("as", _read_texts),
    b"a(ss)": ("a(ss)", _read_text_pairs),
}
"""By the type on the wire, the type, and what reads a value of it, as `read_text` does."""


def read_managed_objects(body: bytes, make_variant: Callable[[str, object], V]) -> dict[str, dict[str, dict[str, V]]]:
    """The value of a complete valid body of type `MANAGED_OBJECTS`. Raises NotReadable."""
    try:
        length, at = _read_array_length(body, 0)
        at, end = 8, 8 + length
        objects: dict[str, dict[str, dict[str, V]]] = {}
        while at < end:
            path, at = read_text(body, (at + 7) & -8)
            objects[path], at = _read_interfaces(body, at, make_variant)
    except (StructError, UnicodeDecodeError, KeyError, IndexError) as exc:
        raise NotReadable from exc
    if at != len(body):
        raise NotReadable
    return objects


def read_properties(body: bytes, make_variant: Callable[[str, object], V]) -> dict[str, V]:
    """The value of a complete valid body of type `PROPERTIES`. Raises NotReadable."""
    try:
        properties, at = _read_properties(body, 0, make_variant)
    except (StructError, UnicodeDecodeError, KeyError, IndexError) as exc:
        raise NotReadable from exc
    if at != len(body):
        raise NotReadable
    return properties


def _read_interfaces(
    body: bytes, at: int, make_variant: Callable[[str, object], V]
) -> tuple[dict[str, dict[str, V]], int]:
    length, at = _read_array_length(body, at)
    at = (at + 7) & -8
    end = at + length
    interfaces: dict[str, dict[str, V]] = {}
    while at < end:
        name, at = read_text(body, (at + 7) & -8)
        interfaces[name], at = _read_properties(body, at, make_variant)
    return interfaces, at


_Head = tuple[str, str, Callable[[bytes, int], tuple[object, int]]]
"""Name of a property, its type, and what reads its values."""

_heads: Final[dict[bytes, _Head]] = {}
"""By the bytes of name and type, which are the same for each object."""
_MOST_HEADS: Final = 500
"""More than there are properties."""


def _read_head(head: bytes) -> _Head:
    name, at = read_text(head, 0)
    type_, read = READERS[head[at + 1 : -1]]
    if len(_heads) < _MOST_HEADS:
        _heads[head] = name, type_, read
    return name, type_, read


def _read_properties(body: bytes, at: int, make_variant: Callable[[str, object], V]) -> tuple[dict[str, V], int]:
    length, at = _read_array_length(body, at)
    at = (at + 7) & -8
    end = at + length
    properties: dict[str, V] = {}
    while at < end:
        at = (at + 7) & -8
        type_at = at + 5 + _U32.unpack_from(body, at)[0]
        value_at = type_at + 2 + body[type_at]
        head = body[at:value_at]
        name, type_, read = _heads.get(head) or _read_head(head)
        value, at = read(body, value_at)
        properties[name] = make_variant(type_, value)
    return properties, at
