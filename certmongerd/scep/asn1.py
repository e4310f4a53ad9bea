"""Small ASN.1 pieces that the message modules share: raw names, TLV lists, translated decoding errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmongerd.core.errors import RemoteProtocolError


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turn whatever the ASN.1 library raises while reading *what* into RemoteProtocolError.

    The library decodes lazily and has no error type of its own, so every
    access to a decoded value belongs inside.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as exc:
        raise RemoteProtocolError(f"{what} cannot be decoded") from exc


@dataclass(frozen=True, slots=True)
class Element:
    """One definite-length element."""

    tag: int
    """Identifier octet with class and constructed bits."""
    content: bytes
    raw: bytes
    """The whole element."""


def split(data: bytes) -> tuple[Element, ...]:
    """The elements that follow each other in *data*. Raises RemoteProtocolError unless they fill it exactly."""
    elements: list[Element] = []
    position = 0
    while position < len(data):
        header = _header_size(data, position)
        length_octet = data[position + 1]
        length = length_octet if length_octet < 0x80 else int.from_bytes(data[position + 2 : position + header], "big")
        end = position + header + length
        if end > len(data):
            raise RemoteProtocolError("ASN.1 data is cut off")
        elements.append(Element(data[position], data[position + header : end], data[position:end]))
        position = end
    return tuple(elements)


def _header_size(data: bytes, position: int) -> int:
    """Octets of tag and length at *position*."""
    if position + 1 >= len(data) or data[position] & 0x1F == 0x1F or data[position + 1] == 0x80:
        raise RemoteProtocolError("ASN.1 data has an unexpected tag or length")
    length_octet = data[position + 1]
    header = 2 + (length_octet & 0x7F if length_octet > 0x80 else 0)
    if position + header > len(data):
        raise RemoteProtocolError("ASN.1 data is cut off")
    return header


def oid_der(dotted: str) -> bytes:
    """DER of an object identifier."""
    return bytes(core.ObjectIdentifier(dotted).dump())


def integer_der(number: int) -> bytes:
    """DER of an INTEGER."""
    return bytes(core.Integer(number).dump())


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateId:
    """IssuerAndSerialNumber: how CMS names a certificate (RFC 5652 section 10.2.4)."""

    issuer: bytes
    """DER Name as it stands in the certificate."""
    serial: int

    def names(self, other: "CertificateId") -> bool:
        """Whether both mean the same certificate; names compare as RFC 5280 section 7.1 has it."""
        return self.serial == other.serial and same_name(self.issuer, other.issuer)


def same_name(one: bytes, other: bytes) -> bool:
    """Whether two DER Names are equal, string types and letter case apart."""
    if one == other:
        return True
    try:
        with decoding("Name"):
            return bool(asn1_x509.Name.load(one) == asn1_x509.Name.load(other))
    except RemoteProtocolError:
        return False  # a name nobody can read equals only itself


def certificate_der(certificate: x509.Certificate) -> bytes:
    """DER of *certificate*."""
    return certificate.public_bytes(Encoding.DER)


def certificate_id(certificate: x509.Certificate) -> CertificateId:
    """Issuer and serial number of *certificate*, with the name's own bytes."""
    with decoding("Certificate"):
        decoded = asn1_x509.Certificate.load(certificate_der(certificate))
        return CertificateId(issuer=bytes(decoded.issuer.dump()), serial=int(decoded.serial_number))


def subject_der(certificate: x509.Certificate) -> bytes:
    """The subject of *certificate* with its own bytes."""
    with decoding("Certificate"):
        return bytes(asn1_x509.Certificate.load(certificate_der(certificate)).subject.dump())
