"""Turns BER (ITU-T X.690) into the definite-length form that strict DER readers accept.

Servers send indefinite lengths and OCTET STRINGs in pieces. Only those are
rewritten; whatever is already definite keeps its bytes, so that signatures over
embedded certificates and attributes stay valid.
"""

from typing import Final

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.pki import der

_MAX_DEPTH: Final = 40
_CONSTRUCTED: Final = 0x20
_CLASS_BITS: Final = 0xC0
_TAG_BITS: Final = 0x1F
_CONTEXT_0: Final = 0x80
_STRING_TAGS: Final = frozenset({3, 4, 12, 18, 19, 20, 21, 22, 25, 26, 27, 28, 30})
_INDEFINITE: Final = -1


def to_der(data: bytes) -> bytes:
    """The first element of *data* with definite lengths and strings in one piece.

    Bytes after the element are dropped. Raises RemoteProtocolError when it is not BER.
    """
    return _Reader(data).element(0, len(data), 0)[0]


def envelope_to_der(data: bytes) -> bytes:
    """As `to_der` for a ContentInfo with EnvelopedData (RFC 5652 section 6.1).

    There the encryptedContent, an implicitly tagged OCTET STRING, may be in
    pieces too; only its place in the EncryptedContentInfo tells it from an
    explicit tag.
    """
    return _Reader(data, joins_encrypted_content=True).element(0, len(data), 0)[0]


class _Reader:
    """Walks one BER encoding."""

    def __init__(self, data: bytes, *, joins_encrypted_content: bool = False) -> None:
        self._data = data
        self._joins_encrypted_content = joins_encrypted_content

    def element(self, start: int, end: int, depth: int) -> tuple[bytes, int]:
        """The rewritten element at *start*, and where the next one begins."""
        if depth > _MAX_DEPTH:
            raise RemoteProtocolError("ASN.1 data is nested too deeply")
        content_start, length = self._header(start, end)
        tag = self._data[start]
        if length != _INDEFINITE and not tag & _CONSTRUCTED:
            return self._data[start : content_start + length], content_start + length
        children, content_end, after = self._children(content_start, length, end, depth)
        if not tag & _CLASS_BITS and tag & _TAG_BITS in _STRING_TAGS:
            return der.encode(tag & ~_CONSTRUCTED, _join(children, tag & _TAG_BITS)), after
        if self._joins_encrypted_content and tag == der.SEQUENCE:
            _join_encrypted_content(children)
        content = b"".join(children)
        if length != _INDEFINITE and content == self._data[content_start:content_end]:
            return self._data[start:after], after
        if tag & _TAG_BITS == _TAG_BITS:
            raise RemoteProtocolError("ASN.1 tag numbers above 30 are not used in SCEP messages")
        return der.encode(tag, content), after

    def _children(self, start: int, length: int, end: int, depth: int) -> tuple[list[bytes], int, int]:
        """Rewritten members, where the content ends, and where the next element begins."""
        children: list[bytes] = []
        position = start
        limit = end if length == _INDEFINITE else start + length
        while position < limit:
            if length == _INDEFINITE and self._data[position : position + 2] == b"\0\0":
                return children, position, position + 2
            child, position = self.element(position, limit, depth + 1)
            children.append(child)
        if length == _INDEFINITE:
            raise RemoteProtocolError("ASN.1 data ends inside an element of indefinite length")
        return children, limit, limit

    def _header(self, start: int, end: int) -> tuple[int, int]:
        """Where the content begins, and its length or _INDEFINITE."""
        data = self._data
        position = start + 1
        if position >= end:
            raise RemoteProtocolError("ASN.1 data is cut off")
        if data[start] & _TAG_BITS == _TAG_BITS:
            while position < end and data[position] & 0x80:
                position += 1
            position += 1
        if position >= end:
            raise RemoteProtocolError("ASN.1 data is cut off")
        first = data[position]
        position += 1
        if first == 0x80:
            if not data[start] & _CONSTRUCTED:
                raise RemoteProtocolError("A primitive ASN.1 element has no length")
            return position, _INDEFINITE
        length = first
        if first > 0x80:
            size = first & 0x7F
            if size > 8 or position + size > end:
                raise RemoteProtocolError("An ASN.1 length is not valid")
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if position + length > end:
            raise RemoteProtocolError("ASN.1 data is cut off")
        return position, length


def _content(element: bytes) -> bytes:
    """The content octets of a definite element with a single-byte tag."""
    size = element[1] & 0x7F if element[1] & 0x80 else 0
    return element[2 + size :]


def _join(pieces: list[bytes], tag_number: int) -> bytes:
    """The content of a string that came in *pieces*."""
    if any(piece[0] != tag_number for piece in pieces):
        raise RemoteProtocolError("The pieces of an ASN.1 string are of another type")
    contents = [_content(piece) for piece in pieces]
    if tag_number != der.BIT_STRING:
        return b"".join(contents)
    if not contents or not all(contents):
        raise RemoteProtocolError("A piece of an ASN.1 bit string is empty")
    return contents[-1][:1] + b"".join(content[1:] for content in contents)


def _join_encrypted_content(members: list[bytes]) -> None:
    """Put an encryptedContent in pieces together, if *members* are those of an EncryptedContentInfo."""
    if len(members) != 3 or members[0][0] != der.OBJECT_IDENTIFIER or members[1][0] != der.SEQUENCE:
        return
    if members[2][0] != _CONTEXT_0 | _CONSTRUCTED:
        return
    content = _content(members[2])
    reader = _Reader(content)
    pieces: list[bytes] = []
    position = 0
    while position < len(content):
        piece, position = reader.element(position, len(content), 0)
        pieces.append(piece)
    members[2] = der.encode(_CONTEXT_0, _join(pieces, der.OCTET_STRING))
