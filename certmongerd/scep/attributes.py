"""The signed attributes of a pkiMessage (RFC 8894 section 3.2.1): typed access when reading, DER when writing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asn1crypto import core

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.scep.asn1 import Element, decoding, oid_der, split
from certmongerd.scep.ber import encode
from certmongerd.scep.oids import (
    CONTENT_TYPE,
    DATA,
    FAIL_INFO,
    FAIL_INFO_TEXT,
    MESSAGE_DIGEST,
    MESSAGE_TYPE,
    PKI_STATUS,
    RECIPIENT_NONCE,
    SENDER_NONCE,
    SIGNING_TIME,
    TRANSACTION_ID,
    MessageType,
)

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_OCTET_STRING: Final = 0x04
_OBJECT_IDENTIFIER: Final = 0x06
_PRINTABLE_STRING: Final = 0x13
_TEXT_ENCODINGS: Final[Mapping[int, str]] = {
    0x0C: "utf-8",  # UTF8String
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # T61String
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
}
_NAMES: Final[Mapping[str, str]] = {
    CONTENT_TYPE: "contentType",
    MESSAGE_DIGEST: "messageDigest",
    MESSAGE_TYPE: "messageType",
    PKI_STATUS: "pkiStatus",
    FAIL_INFO: "failInfo",
    SENDER_NONCE: "senderNonce",
    RECIPIENT_NONCE: "recipientNonce",
    TRANSACTION_ID: "transactionID",
    FAIL_INFO_TEXT: "failInfoText",
}


@dataclass(frozen=True, slots=True)
class Attributes:
    """Signed attributes by object identifier; each occurs once and has one value."""

    values: Mapping[str, Element]

    @classmethod
    def parse(cls, content: bytes) -> "Attributes":
        """Read the content octets of a SET OF Attribute, in whatever order.

        Raises RemoteProtocolError when it is malformed, or an attribute is repeated or not single-valued.
        """
        values: dict[str, Element] = {}
        for attribute in split(content):
            parts = split(attribute.content) if attribute.tag == _SEQUENCE else ()
            if len(parts) != 2 or parts[0].tag != _OBJECT_IDENTIFIER or parts[1].tag != _SET:
                raise RemoteProtocolError("A signed attribute is malformed")
            with decoding("Attribute type"):
                oid = str(core.ObjectIdentifier.load(parts[0].raw).dotted)
            members = split(parts[1].content)
            if oid in values or len(members) != 1:
                raise RemoteProtocolError(f"Attribute {_NAMES.get(oid, oid)} does not have exactly one value")
            values[oid] = members[0]
        return cls(values)

    def text(self, oid: str) -> str | None:
        """A string attribute of any character string type without trailing NULs and blanks; None if absent."""
        element = self.values.get(oid)
        if element is None:
            return None
        encoding = _TEXT_ENCODINGS.get(element.tag)
        if encoding is None:
            raise RemoteProtocolError(f"Attribute {_NAMES.get(oid, oid)} is not a string")
        try:
            return element.content.decode(encoding).rstrip("\0 ")
        except UnicodeDecodeError as exc:
            raise RemoteProtocolError(f"Attribute {_NAMES.get(oid, oid)} has unreadable text") from exc

    def octets(self, oid: str) -> bytes | None:
        """An OCTET STRING attribute; None if absent."""
        element = self.values.get(oid)
        if element is None:
            return None
        if element.tag != _OCTET_STRING:
            raise RemoteProtocolError(f"Attribute {_NAMES.get(oid, oid)} is not an octet string")
        return element.content

    def content_type(self) -> str | None:
        """The contentType attribute as a dotted object identifier; None if absent."""
        element = self.values.get(CONTENT_TYPE)
        if element is None:
            return None
        with decoding("Attribute contentType"):
            return str(core.ObjectIdentifier.load(element.raw, strict=True).dotted)


def sort_set(content: bytes) -> bytes:
    """The content octets of a SET OF in DER order (X.690 section 11.6)."""
    return b"".join(sorted(element.raw for element in split(content)))


def encode_request_attributes(
    *, message_type: MessageType, transaction_id: str, sender_nonce: bytes, content_digest: bytes, now: datetime
) -> bytes:
    """Content octets of the SET OF signed attributes of a request, in DER order."""
    return _encode(
        (
            (CONTENT_TYPE, oid_der(DATA)),
            (MESSAGE_DIGEST, encode(_OCTET_STRING, content_digest)),
            (SIGNING_TIME, _time(now)),
            (TRANSACTION_ID, encode(_PRINTABLE_STRING, transaction_id.encode("ascii"))),
            (MESSAGE_TYPE, encode(_PRINTABLE_STRING, message_type.value.encode("ascii"))),
            (SENDER_NONCE, encode(_OCTET_STRING, sender_nonce)),
        )
    )


def _encode(values: Sequence[tuple[str, bytes]]) -> bytes:
    """SET OF content of single-valued attributes."""
    return sort_set(b"".join(encode(_SEQUENCE, oid_der(oid) + encode(_SET, value)) for oid, value in values))


def _time(now: datetime) -> bytes:
    """UTCTime until 2049, then GeneralizedTime (RFC 5652 section 11.3)."""
    kind = core.UTCTime if now.year < 2050 else core.GeneralizedTime
    return bytes(kind(now.replace(microsecond=0)).dump())
