"""Just enough DER (X.690) to write signing requests and to look into certificates that stricter parsers refuse."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
SEQUENCE = 0x30
SET = 0x31
PRINTABLE_STRING = 0x13
T61_STRING = 0x14
IA5_STRING = 0x16
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
VISIBLE_STRING = 0x1A
GENERAL_STRING = 0x1B
UNIVERSAL_STRING = 0x1C
BMP_STRING = 0x1E

_LONGEST_OID = 255
"""Octets, or characters; none in use comes near."""

_UTC_TIME_END = datetime(2050, 1, 1, tzinfo=UTC)

_LATIN_TYPES = {PRINTABLE_STRING, IA5_STRING, T61_STRING, VISIBLE_STRING, GENERAL_STRING, 0x12}


class DerError(ValueError):
    """The bytes are not the DER that was expected; stays inside the packages that read and write DER."""


class Element(NamedTuple):
    """One tag-length-value."""

    tag: int
    """The identifier octet, constructed and class bits included."""
    content: bytes
    encoded: bytes
    """The element with its header."""

    def children(self) -> tuple["Element", ...]:
        """The elements that the content consists of; `DerError` when it does not."""
        return tuple(elements(self.content))

    def expect(self, tag: int) -> "Element":
        """The element itself, if it has this tag; `DerError` otherwise."""
        if self.tag != tag:
            raise DerError(f"tag {self.tag:#x} where {tag:#x} was expected")
        return self


def elements(data: bytes) -> Iterator[Element]:
    """Split *data* into the elements that stand behind one another."""
    offset = 0
    while offset < len(data):
        element = _element_at(data, offset)
        yield element
        offset += len(element.encoded)


def readable_elements(data: bytes) -> Iterator[Element]:
    """As `elements`, but ends at the first octet that does not begin an element."""
    try:
        yield from elements(data)
    except DerError:
        return


def decode(data: bytes, tag: int | None = None) -> Element:
    """The one element *data* consists of; trailing bytes and another tag raise `DerError`."""
    element = _element_at(data, 0)
    if len(element.encoded) != len(data):
        raise DerError("trailing bytes after an element")
    return element if tag is None else element.expect(tag)


def _element_at(data: bytes, offset: int) -> Element:
    if len(data) - offset < 2:
        raise DerError("truncated header")
    tag = data[offset]
    if tag & 0x1F == 0x1F:
        raise DerError("multi-byte tags are not used in certificates")
    length = data[offset + 1]
    start = offset + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or len(data) - start < count:
            raise DerError("bad length")
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if len(data) - start < length:
        raise DerError("truncated content")
    end = start + length
    return Element(tag, data[start:end], data[offset:end])


def encode(tag: int, *parts: bytes) -> bytes:
    """One element whose content is the joined *parts*."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of already encoded *parts*."""
    return encode(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """SET OF: sorted by encoding, as DER demands."""
    return encode(SET, *sorted(parts))


def algorithm_with_null(dotted: str) -> bytes:
    """AlgorithmIdentifier whose parameters are NULL, as those of digests and of RSA are (RFC 3370)."""
    return sequence(oid(dotted), encode(NULL))


def context(number: int, *parts: bytes) -> bytes:
    """Constructed context-specific element: explicit tagging, or an implicit SEQUENCE."""
    return encode(0xA0 | number, *parts)


def integer(value: int) -> bytes:
    """INTEGER in the fewest octets."""
    return encode(INTEGER, value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True))


def boolean(value: bool) -> bytes:  # noqa: FBT001 - the value itself
    """BOOLEAN."""
    return encode(BOOLEAN, b"\xff" if value else b"\x00")


def octet_string(content: bytes) -> bytes:
    """OCTET STRING."""
    return encode(OCTET_STRING, content)


def bit_string(content: bytes, *, unused_bits: int = 0) -> bytes:
    """BIT STRING; *unused_bits* of the last octet do not count."""
    return encode(BIT_STRING, bytes((unused_bits,)), content)


def time(moment: datetime) -> bytes:
    """UTCTime before 2050, GeneralizedTime from then on (RFC 5280, section 4.1.2.5; RFC 5652, section 11.3)."""
    moment = moment.astimezone(UTC)
    if moment < _UTC_TIME_END:
        return encode(UTC_TIME, f"{moment:%y%m%d%H%M%S}Z".encode())
    return encode(GENERALIZED_TIME, f"{moment:%Y%m%d%H%M%S}Z".encode())


def named_bits(bits: str) -> bytes:
    """BIT STRING with named bits from text of 0 and 1 in bit order; trailing zeros are dropped (X.690, 11.2.2)."""
    significant = bits.rstrip("0")
    unused = -len(significant) % 8
    padded = significant + "0" * unused
    return bit_string(int(padded or "0", 2).to_bytes(len(padded) // 8, "big"), unused_bits=unused)


def read_bits(element: Element) -> str:
    """The reverse of `named_bits`, trailing zeros dropped."""
    if element.tag != BIT_STRING or not element.content or element.content[0] > 7:
        raise DerError("not a bit string")
    text = "".join(f"{octet:08b}" for octet in element.content[1:])
    return text[: len(text) - element.content[0]].rstrip("0")


@lru_cache(maxsize=256)  # nearly all of them are the same few
def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER; `DerError` for text that is not a dotted number within the rules of X.660."""
    words = dotted.split(".")
    if len(words) < 2 or len(dotted) > _LONGEST_OID or not all(word.isascii() and word.isdigit() for word in words):
        raise DerError(f"{dotted!r} is not an object identifier")
    arcs = [int(word) for word in words]
    if arcs[0] > 2 or (arcs[0] < 2 and arcs[1] > 39):
        raise DerError(f"{dotted!r} is not an object identifier")
    return encode(OBJECT_IDENTIFIER, *(_base128(arc) for arc in (arcs[0] * 40 + arcs[1], *arcs[2:])))


def _base128(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(0x80 | value & 0x7F)
    return bytes(reversed(octets))


def read_oid(element: Element) -> str:
    """Dotted text of an OBJECT IDENTIFIER."""
    content = element.content
    if element.tag != OBJECT_IDENTIFIER or not 0 < len(content) <= _LONGEST_OID or content[-1] & 0x80:
        raise DerError("not an object identifier")
    return _dotted(content)


@lru_cache(maxsize=256)
def _dotted(content: bytes) -> str:
    arcs: list[int] = []
    value = 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def read_integer(element: Element) -> int:
    """Value of an INTEGER (non-minimal encodings are read too)."""
    if element.tag != INTEGER or not element.content:
        raise DerError("not an integer")
    return int.from_bytes(element.content, "big", signed=True)


def text(tag: int, value: str) -> bytes:
    """A string of type *tag*; `DerError` when the type cannot hold it."""
    try:
        return encode(tag, value.encode(_codec(tag)))
    except UnicodeEncodeError as exc:
        raise DerError(f"{value!r} does not fit string type {tag:#x}") from exc


def read_text(element: Element) -> str:
    """Text of any string type; undecodable octets become U+FFFD, because it is for showing."""
    return element.content.decode("latin-1" if element.tag in _LATIN_TYPES else _codec(element.tag), "replace")


def _codec(tag: int) -> str:
    match tag:
        case 0x0C:  # UTF8String
            return "utf-8"
        case 0x12 | 0x14 | 0x1B:  # NumericString; T61String and GeneralString as everybody fills them
            return "latin-1"
        case 0x13 | 0x16 | 0x1A:  # PrintableString, IA5String, VisibleString
            return "ascii"
        case 0x1C:  # UniversalString
            return "utf-32-be"
        case 0x1E:  # BMPString
            return "utf-16-be"
        case _:
            raise DerError(f"tag {tag:#x} is not a string type")
