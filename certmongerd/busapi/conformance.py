"""Whether bytes are a valid D-Bus message, checked before a library sees them.

A bus checks what it forwards; on the private socket nobody does, and the
libraries rely on it: dbus-fast's compiled reader crashes the process on
signatures that are not well-formed. The checks are those of the D-Bus
specification, "Message Protocol".
"""

import re
import struct
from functools import lru_cache
from typing import Final, Literal

from certmongerd.core.errors import RemoteProtocolError

_MAX_ARRAY_BYTES: Final = 64 * 1024 * 1024
_MAX_SIGNATURE_LENGTH: Final = 255
_MAX_NESTING: Final = 32
"""Of arrays and of structs, each, in one signature."""
_MAX_DEPTH: Final = 64
"""Of containers in a message, variants included."""
_BASIC: Final = frozenset("ybnqiuxtdsogh")
_FIXED: Final = {"y": 1, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8, "h": 4}
_ALIGNMENT: Final = _FIXED | {"b": 4, "s": 4, "o": 4, "g": 1, "a": 4, "(": 8, "{": 8, "v": 1}
PATH: Final = re.compile(r"/|(/[A-Za-z0-9_]+)+")
_FIELD_TYPES: Final = {1: "o", 2: "s", 3: "s", 4: "s", 5: "u", 6: "s", 7: "s", 8: "g", 9: "u"}
_BODY_SIGNATURE_FIELD: Final = 8
FIXED_HEADER_BYTES: Final = 16


def _type_end(signature: str, start: int, arrays: int, structs: int) -> int:
    """Where the complete type at *start* ends."""
    token = signature[start : start + 1]
    if token in _BASIC or token == "v":
        if not token:
            raise RemoteProtocolError(f"incomplete signature {signature!r}")
        return start + 1
    if token == "a":
        if arrays == _MAX_NESTING:
            raise RemoteProtocolError("arrays are nested too deeply")
        if signature[start + 1 : start + 2] == "{":
            return _entry_end(signature, start + 1, arrays + 1, structs)
        return _type_end(signature, start + 1, arrays + 1, structs)
    if token == "(":
        if structs == _MAX_NESTING:
            raise RemoteProtocolError("structs are nested too deeply")
        end = _type_end(signature, start + 1, arrays, structs + 1)
        while signature[end : end + 1] != ")":
            end = _type_end(signature, end, arrays, structs + 1)
        return end + 1
    raise RemoteProtocolError(f"signature {signature!r} is not valid")


def _entry_end(signature: str, start: int, arrays: int, structs: int) -> int:
    if signature[start + 1 : start + 2] not in _BASIC or structs == _MAX_NESTING:
        raise RemoteProtocolError(f"signature {signature!r} has a bad dictionary entry")
    end = _type_end(signature, start + 2, arrays, structs + 1)
    if signature[end : end + 1] != "}":
        raise RemoteProtocolError(f"signature {signature!r} has a bad dictionary entry")
    return end + 1


@lru_cache(maxsize=500)
def complete_types(signature: str) -> tuple[str, ...]:
    """The complete types *signature* consists of. Raises RemoteProtocolError."""
    if len(signature) > _MAX_SIGNATURE_LENGTH:
        raise RemoteProtocolError("signature is too long")
    types: list[str] = []
    position = 0
    while position < len(signature):
        end = _type_end(signature, position, 0, 0)
        types.append(signature[position:end])
        position = end
    return tuple(types)


class _Walk:
    """Steps over values without building them."""

    def __init__(self, frame: bytes, start: int, end: int, order: str) -> None:
        self._frame = frame
        self._end = end
        self.position = start
        self._order: Literal["little", "big"] = "little" if order == "<" else "big"
        self._depth = 0

    def _take(self, length: int) -> bytes:
        start, self.position = self.position, self.position + length
        if self.position > self._end:
            raise RemoteProtocolError("content is shorter than announced")
        return self._frame[start : self.position]

    def align(self, boundary: int) -> None:
        """Step over padding, which has to be zero."""
        if self._take(-self.position % boundary).strip(b"\0"):
            raise RemoteProtocolError("padding is not zero")

    def _number(self) -> int:
        self.align(4)
        return int.from_bytes(self._take(4), self._order)

    def _text(self, length: int) -> str:
        raw = self._take(length + 1)
        if raw[-1] or b"\0" in raw[:-1]:
            raise RemoteProtocolError("a string holds a NUL character or does not end in one")
        try:
            return raw[:-1].decode("utf-8")
        except UnicodeDecodeError as exc:
            raise RemoteProtocolError("a string is not UTF-8") from exc

    def signature(self) -> str:
        """Step over a signature and return it, checked."""
        text = self._text(self._take(1)[0])
        complete_types(text)
        return text

    def value(self, type_: str) -> None:
        """Step over one value of a complete type."""
        token = type_[0]
        size = _FIXED.get(token)
        if size is not None:
            self.align(size)
            self._take(size)
        elif token in "so":
            text = self._text(self._number())
            if token == "o" and not PATH.fullmatch(text):
                raise RemoteProtocolError(f"{text!r} is not an object path")
        elif token == "b":
            if self._number() > 1:
                raise RemoteProtocolError("a boolean is neither 0 nor 1")
        elif token == "g":
            self.signature()
        else:
            self._container(type_)

    def _container(self, type_: str) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise RemoteProtocolError("containers are nested too deeply")
        match type_[0]:
            case "v":
                types = complete_types(self.signature())
                if len(types) != 1:
                    raise RemoteProtocolError("a variant does not hold exactly one value")
                self.value(types[0])
            case "a":
                self._array(type_[1:])
            case _:
                self.align(8)
                for member in complete_types(type_[1:-1]):
                    self.value(member)
        self._depth -= 1

    def _array(self, element: str) -> None:
        length = self._number()
        self.align(_ALIGNMENT[element[0]])
        end = self.position + length
        if length > _MAX_ARRAY_BYTES or end > self._end:
            raise RemoteProtocolError("an array is longer than allowed or than the message")
        size = _FIXED.get(element[0])
        if size is not None and length % size == 0:
            self.position = end
        while self.position < end:
            self.value(element)
        if self.position != end:
            raise RemoteProtocolError("an array does not end where it should")


def check_message(frame: bytes) -> None:
    """Raises RemoteProtocolError unless *frame* is one complete valid message (of a known type)."""
    order = "<" if frame[:1] == b"l" else ">"
    body_length, serial, fields_length = struct.unpack_from(f"{order}III", frame, 4)
    if not serial:
        raise RemoteProtocolError("serial is 0")
    fields_end = FIXED_HEADER_BYTES + fields_length
    walk = _Walk(frame, FIXED_HEADER_BYTES, fields_end, order)
    body_signature = ""
    while walk.position < fields_end:
        walk.align(8)
        code = frame[walk.position] if walk.position < fields_end else 0
        walk.value("y")
        type_ = walk.signature()
        if not code or type_ != _FIELD_TYPES.get(code, type_) or len(complete_types(type_)) != 1:
            raise RemoteProtocolError(f"header field {code} has type {type_!r}")
        if code == _BODY_SIGNATURE_FIELD:
            length = frame[walk.position] if walk.position < fields_end else 0
            body_signature = frame[walk.position + 1 : walk.position + 1 + length].decode("ascii", "replace")
        walk.value(type_)
    body_start = fields_end + -fields_end % 8
    body = _Walk(frame, fields_end, body_start + body_length, order)
    body.align(8)
    for type_ in complete_types(body_signature):
        body.value(type_)
    if body.position != len(frame):
        raise RemoteProtocolError("the body does not end where its signature says")
