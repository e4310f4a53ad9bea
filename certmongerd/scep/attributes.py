"""The signed attributes of a pkiMessage (RFC 8894 section 3.2.1): typed access when reading, DER when writing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.pki import der
from certmongerd.pki.der import Element
from certmongerd.scep.asn1 import decoding, split
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

_TEXT_ENCODINGS: Final[Mapping[int, str]] = {
    der.UTF8_STRING: "utf-8",
    der.PRINTABLE_STRING: "ascii",
    der.T61_STRING: "latin-1",
    der.IA5_STRING: "ascii",
    der.VISIBLE_STRING: "ascii",
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
            parts = split(attribute.content) if attribute.tag == der.SEQUENCE else ()
            if len(parts) != 2 or parts[0].tag != der.OBJECT_IDENTIFIER or parts[1].tag != der.SET:
                raise RemoteProtocolError("A signed attribute is malformed")
            with decoding("Attribute type"):
                oid = der.read_oid(parts[0])
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
        if element.tag != der.OCTET_STRING:
            raise RemoteProtocolError(f"Attribute {_NAMES.get(oid, oid)} is not an octet string")
        return element.content

    def content_type(self) -> str | None:
        """The contentType attribute as a dotted object identifier; None if absent."""
        element = self.values.get(CONTENT_TYPE)
        if element is None:
            return None
        with decoding("Attribute contentType"):
            return der.read_oid(element)


def sort_set(content: bytes) -> bytes:
    """The content octets of a SET OF in DER order (X.690 section 11.6)."""
    return b"".join(sorted(element.encoded for element in split(content)))


def encode_request_attributes(
    *, message_type: MessageType, transaction_id: str, sender_nonce: bytes, content_digest: bytes, now: datetime
) -> bytes:
    """Content octets of the SET OF signed attributes of a request, in DER order."""
    values = {
        CONTENT_TYPE: der.oid(DATA),
        MESSAGE_DIGEST: der.octet_string(content_digest),
        SIGNING_TIME: der.time(now),
        TRANSACTION_ID: der.text(der.PRINTABLE_STRING, transaction_id),
        MESSAGE_TYPE: der.text(der.PRINTABLE_STRING, message_type.value),
        SENDER_NONCE: der.octet_string(sender_nonce),
    }
    return b"".join(sorted(der.sequence(der.oid(oid), der.set_of(value)) for oid, value in values.items()))
