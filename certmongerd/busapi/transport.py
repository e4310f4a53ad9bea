"""D-Bus messages as this project sees them, and the only door to the library that marshals them.

The library is dbus-next, or its fork dbus-fast when `CERTMONGERD_DBUS_LIBRARY`
says so. Only its wire-format classes are used; sockets, flow control, replies
and dispatch are ours. What is guarded against here, because dbus-next 0.2.3 is
old and unmaintained:

* its package imports asyncio, its service module and, from that,
  `typing.no_type_check_decorator`, which newer Pythons no longer have: only the
  modules needed are imported;
* it caches every signature it ever saw: the cache is bounded;
* it marshals strings no bus accepts (with a NUL), which would cost us the
  connection, and accepts the same: both are handled while converting bodies;
* it raises whatever the bytes provoke: everything becomes RemoteProtocolError;
* it takes a second for a thousand objects, and half of a burst for signals: `marshal` writes and reads these;
* dbus-fast trusts its input so much that it crashes: what no bus has checked is
  checked here first (`conformance`).
"""

import contextlib
import importlib
import importlib.util
import io
import os
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import ModuleType
from typing import Any, Final

from certmongerd.busapi.conformance import FIXED_HEADER_BYTES, check_message
from certmongerd.busapi.marshal import (
    MANAGED_OBJECTS,
    PROPERTIES,
    HeaderField,
    Marshalled,
    NotReadable,
    marshal_fields,
    marshal_head,
    read_managed_objects,
    read_properties,
)
from certmongerd.busapi.plain import marshal_values, read_head, read_values
from certmongerd.core.errors import CertmongerError, RemoteProtocolError

LIBRARY_VARIABLE: Final = "CERTMONGERD_DBUS_LIBRARY"
LIBRARIES: Final = ("dbus_next", "dbus_fast")
MAX_MESSAGE_BYTES: Final = 128 * 1024 * 1024
"""Limit of the D-Bus specification."""

_NO_REPLY_EXPECTED: Final = 0x1
_MAX_CACHED_SIGNATURES: Final = 1000


class MessageKind(Enum):
    """The four message types; values are those of the wire."""

    CALL = 1
    REPLY = 2
    ERROR = 3
    SIGNAL = 4


@dataclass(frozen=True, slots=True)
class Variant:
    """A value together with its type (`v`)."""

    signature: str
    """One complete type."""
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class WireMessage:
    """One D-Bus message. In bodies, arrays and structs are tuples, dictionaries are dicts, `ay` is bytes.

    A body may be Marshalled already.
    """

    kind: MessageKind
    serial: int = 0
    reply_serial: int | None = None
    path: str | None = None
    interface: str | None = None
    member: str | None = None
    error_name: str | None = None
    destination: str | None = None
    sender: str | None = None
    """Unique name, filled in by the bus."""
    signature: str = ""
    body: tuple[object, ...] = ()
    no_reply_expected: bool = False


class UndecodableMessage(RemoteProtocolError):
    """A message the library cannot read although a bus let it pass; the stream may be read on."""


class UnencodableMessage(CertmongerError):
    """Own mistake: a body that does not match its signature, or an invalid name."""


class _Library:
    """The parts used of one of the two libraries."""

    def __init__(self, name: str) -> None:
        package = _import_without_package_code(name)
        self.name = name
        self.message_class: Any = package["message"].Message
        self.unmarshaller_class: Any = package["_private.unmarshaller"].Unmarshaller
        self.variant_class: Any = package["signature"].Variant
        self.kinds: dict[MessageKind, Any] = {
            MessageKind(member.value): member for member in package["constants"].MessageType
        }
        self.flag_class: Any = package["constants"].MessageFlag
        self.signature_cache: dict[str, object] | None = getattr(package["signature"].SignatureTree, "_cache", None)

    def bound_cache(self) -> None:
        """Keep a peer from filling the memory with made-up signatures."""
        if self.signature_cache is not None and len(self.signature_cache) > _MAX_CACHED_SIGNATURES:
            self.signature_cache.clear()


def _import_without_package_code(name: str) -> dict[str, ModuleType]:
    """Import the wire-format modules of package *name* without running its `__init__`, which loads asyncio and more."""
    if not hasattr(typing, "no_type_check_decorator"):
        # Python 3.15 removed it; dbus_next.service imports it, should anybody load the whole package.
        setattr(typing, "no_type_check_decorator", typing.no_type_check)  # noqa: B010 – unknown to newer stubs
    # errors comes first: it takes part in an import cycle that only works from there.
    wanted = ("errors", "constants", "signature", "message", "_private.unmarshaller")
    if name in sys.modules:
        return {part: importlib.import_module(f"{name}.{part}") for part in wanted}
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise CertmongerError(f'The D-Bus library "{name}" is not installed.')
    stand_in = ModuleType(name)
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = stand_in
    try:
        return {part: importlib.import_module(f"{name}.{part}") for part in wanted}
    finally:
        del sys.modules[name]


def _chosen_library() -> _Library:
    name = os.environ.get(LIBRARY_VARIABLE, "") or LIBRARIES[0]
    if name not in LIBRARIES:
        raise CertmongerError(f'{LIBRARY_VARIABLE} is "{name}", which is none of {", ".join(LIBRARIES)}.')
    return _Library(name)


_library = _chosen_library()


def use_library(name: str) -> None:
    """Switch to *name* (`dbus_next` or `dbus_fast`) for every message from now on."""
    global _library  # noqa: PLW0603 – the one seam
    if name not in LIBRARIES:
        raise CertmongerError(f'Unknown D-Bus library "{name}".')
    if name != _library.name:
        _library = _Library(name)


def library_name() -> str:
    """The library in use."""
    return _library.name


def _sendable_text(text: str) -> str:
    """*text* without what D-Bus strings cannot hold (NUL, lone surrogates)."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text


def _outgoing(value: object) -> Any:
    """*value* in the library's types: lists for tuples, its own variants."""
    match value:
        case str():
            return _sendable_text(value)
        case Variant():
            return _library.variant_class(value.signature, _outgoing(value.value))
        case tuple() | list():
            return [_outgoing(element) for element in value]
        case dict():
            return {_outgoing(key): _outgoing(element) for key, element in value.items()}
        case bytearray() | memoryview():
            return bytes(value)
        case _:
            return value


def _incoming(value: Any) -> object:
    """A value of the library in our types; raises ValueError for strings with NUL."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a string holds a NUL character")
        return str(value)
    if isinstance(value, list | tuple):
        return tuple([_incoming(element) for element in value])
    if isinstance(value, dict):
        return {_incoming(key): _incoming(element) for key, element in value.items()}
    if isinstance(value, _library.variant_class):
        return Variant(value.signature, _incoming(value.value))
    if isinstance(value, bytearray):
        return bytes(value)
    plain: object = value
    return plain


def encode(message: WireMessage) -> bytes:
    """The bytes of *message*, little-endian. Raises UnencodableMessage; the serial has to be positive."""
    if message.serial <= 0:
        raise UnencodableMessage("a message needs a positive serial")
    body = message.body[0] if message.body else None
    if message.kind is MessageKind.REPLY and not isinstance(body, Marshalled):
        body = marshal_values(message.signature, message.body)
    if isinstance(body, Marshalled):
        return _head_for(message, len(body.data)) + body.data
    library = _library
    library.bound_cache()
    try:
        wire = library.message_class(
            destination=message.destination,
            path=message.path,
            interface=message.interface,
            member=message.member,
            message_type=library.kinds[message.kind],
            flags=library.flag_class(_NO_REPLY_EXPECTED if message.no_reply_expected else 0),
            error_name=message.error_name,
            reply_serial=message.reply_serial,
            signature=message.signature,
            body=[_outgoing(value) for value in message.body],
            serial=message.serial,
        )
        if len(wire.signature_tree.types) != len(message.body):
            raise UnencodableMessage(f"{len(message.body)} values do not match signature {message.signature!r}")
        return bytes(wire._marshall(negotiate_unix_fd=False))
    except UnencodableMessage:
        raise
    except Exception as exc:  # the library raises what the value provokes
        what = f"{message.interface}.{message.member}" if message.member else message.kind.name
        raise UnencodableMessage(f"{what} with signature {message.signature!r}: {exc}") from exc


def encode_signal(path: str, interface: str, member: str, signature: str, body: Marshalled) -> bytes:
    """The bytes of a signal under the serial 1, for `with_serial`. Names are trusted to be valid."""
    fields = _signal_fields(path, interface, member, signature)
    return marshal_head(MessageKind.SIGNAL.value, _NO_REPLY_EXPECTED, 1, len(body.data), fields) + body.data


@lru_cache(maxsize=1024)  # of one object there are many
def _signal_fields(path: str, interface: str, member: str, signature: str) -> bytes:
    return marshal_fields(
        (
            (HeaderField.PATH, path),
            (HeaderField.INTERFACE, interface),
            (HeaderField.MEMBER, member),
            (HeaderField.SIGNATURE, signature or None),
        )
    )


def _head_for(message: WireMessage, body_bytes: int) -> bytes:
    fields = (
        (HeaderField.PATH, message.path),
        (HeaderField.INTERFACE, message.interface),
        (HeaderField.MEMBER, message.member),
        (HeaderField.REPLY_SERIAL, message.reply_serial),
        (HeaderField.DESTINATION, message.destination),
        (HeaderField.SIGNATURE, message.signature or None),
    )
    flags = _NO_REPLY_EXPECTED if message.no_reply_expected else 0
    return marshal_head(message.kind.value, flags, message.serial, body_bytes, marshal_fields(fields))


def with_serial(encoded: bytes, serial: int) -> bytes:
    """The message *encoded* (by encode) under another serial, without encoding it again."""
    return encoded[:8] + serial.to_bytes(4, "little") + encoded[12:]


def _body_start(frame: bytes) -> int:
    """Where the body of the little-endian message *frame* begins."""
    fields = int.from_bytes(frame[12:16], "little")
    return FIXED_HEADER_BYTES + (fields + 7) // 8 * 8


_IN_BULK: Final[dict[str, Callable[[bytes, Callable[[str, object], Variant]], object]]] = {
    MANAGED_OBJECTS: read_managed_objects,
    PROPERTIES: read_properties,
}
"""Types of bodies that `marshal` reads."""


def _read(frame: bytes) -> WireMessage:
    """The valid message *frame*. Raises NotReadable where it is for the library to read."""
    serial = int.from_bytes(frame[8:12], "little")
    if frame[:1] != b"l" or not serial:
        raise NotReadable
    fields = read_head(frame)
    signature = str(fields.get(HeaderField.SIGNATURE, ""))
    body = frame[_body_start(frame) :]
    read_in_bulk = _IN_BULK.get(signature)
    values = (read_in_bulk(body, Variant),) if read_in_bulk is not None else read_values(signature, body)
    return WireMessage(
        kind=MessageKind(frame[1]),
        serial=serial,
        reply_serial=typing.cast("int | None", fields.get(HeaderField.REPLY_SERIAL) or None),
        path=typing.cast("str | None", fields.get(HeaderField.PATH)),
        interface=typing.cast("str | None", fields.get(HeaderField.INTERFACE)),
        member=typing.cast("str | None", fields.get(HeaderField.MEMBER)),
        error_name=typing.cast("str | None", fields.get(HeaderField.ERROR_NAME)),
        destination=typing.cast("str | None", fields.get(HeaderField.DESTINATION)),
        sender=typing.cast("str | None", fields.get(HeaderField.SENDER)),
        signature=signature,
        body=values,
        no_reply_expected=bool(frame[2] & _NO_REPLY_EXPECTED),
    )


def _frame_bytes(head: bytes | bytearray) -> int:
    """Length of the message that begins with *head* (16 bytes or more); raises RemoteProtocolError."""
    if head[0] not in b"lB":
        raise RemoteProtocolError(f"not a D-Bus message: first byte is {head[0]:#04x}")
    if head[3] != 1:
        raise RemoteProtocolError(f"D-Bus protocol version {head[3]} is not supported")
    order: typing.Literal["little", "big"] = "little" if head[0:1] == b"l" else "big"
    body = int.from_bytes(head[4:8], order)
    fields = int.from_bytes(head[12:16], order)
    return FIXED_HEADER_BYTES + (fields + 7) // 8 * 8 + body


def _decode_frame(frame: bytes, *, is_checked: bool) -> WireMessage | None:
    """One complete message, None for a type this protocol version does not know."""
    if frame[1] > max(kind.value for kind in MessageKind):
        return None
    if not is_checked:
        check_message(frame)
    with contextlib.suppress(NotReadable):
        return _read(frame)
    library = _library
    library.bound_cache()
    try:
        wire = library.unmarshaller_class(io.BytesIO(frame)).unmarshall()
        if wire is None:
            raise RemoteProtocolError("content is shorter than announced")
        if not wire.serial:
            raise RemoteProtocolError("serial is 0")
        body = tuple([_incoming(element) for element in wire.body])
        if len(body) != len(wire.signature_tree.types):
            raise RemoteProtocolError("body is missing")
        return WireMessage(
            kind=MessageKind(wire.message_type.value),
            serial=wire.serial,
            reply_serial=wire.reply_serial or None,
            path=wire.path,
            interface=wire.interface,
            member=wire.member,
            error_name=wire.error_name,
            destination=wire.destination,
            sender=wire.sender,
            signature=wire.signature,
            body=body,
            no_reply_expected=bool(wire.flags.value & _NO_REPLY_EXPECTED),
        )
    except Exception as exc:  # the library raises what the bytes provoke, RecursionError included
        reason = str(exc) or type(exc).__name__
        raise UndecodableMessage(f"D-Bus message cannot be decoded: {reason}") from exc


class Decoder:
    """Cuts a byte stream into messages. Reading no further than the limits allow is the feeder's part."""

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES, is_from_bus: bool = False) -> None:
        """*is_from_bus*: a bus (or the daemon itself) sent the bytes, they need no checking."""
        self._buffer = bytearray()
        self._is_from_bus = is_from_bus
        self._max_message_bytes = max_message_bytes

    def next_message(self) -> WireMessage | None:
        """The next complete message, None when more bytes are needed.

        Raises UndecodableMessage, after which reading may go on with the
        message behind it, or another RemoteProtocolError, after which the
        stream is of no more use.
        """
        while len(self._buffer) >= FIXED_HEADER_BYTES:
            length = _frame_bytes(self._buffer)
            if length > self._max_message_bytes:
                raise RemoteProtocolError(
                    f"D-Bus message of {length} bytes is longer than the limit of {self._max_message_bytes}"
                )
            if len(self._buffer) < length:
                return None
            frame = bytes(self._buffer[:length])
            del self._buffer[:length]
            message = _decode_frame(frame, is_checked=self._is_from_bus)
            if message is not None:
                return message
        return None

    def append(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def feed(self, data: bytes) -> list[WireMessage]:
        """Add *data* and return every message that is complete now. Raises as `next_message` does."""
        self.append(data)
        messages: list[WireMessage] = []
        while (message := self.next_message()) is not None:
            messages.append(message)
        return messages


def reply_to(call: WireMessage, signature: str = "", body: Sequence[object] = ()) -> WireMessage:
    """A method return for *call*; serial still to be given."""
    return WireMessage(
        kind=MessageKind.REPLY,
        reply_serial=call.serial,
        destination=call.sender,
        signature=signature,
        body=tuple(body),
    )


def error_to(call: WireMessage, error_name: str, signature: str, body: Sequence[object]) -> WireMessage:
    """An error for *call*; serial still to be given."""
    return WireMessage(
        kind=MessageKind.ERROR,
        reply_serial=call.serial,
        destination=call.sender,
        error_name=error_name,
        signature=signature,
        body=tuple(body),
    )
