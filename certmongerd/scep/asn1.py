"""Small ASN.1 pieces that the message modules share: raw names, TLV lists, translated decoding errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmongerd.core.errors import InvalidValue, RemoteProtocolError
from certmongerd.pki import der
from certmongerd.pki.der import DerError, Element
from certmongerd.pki.parsed import ParsedCertificate


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


def split(data: bytes) -> tuple[Element, ...]:
    """The elements that follow each other in *data*. Raises RemoteProtocolError unless they fill it exactly."""
    try:
        return tuple(der.elements(data))
    except DerError as exc:
        raise RemoteProtocolError(f"ASN.1 data cannot be read: {exc}") from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateId:
    """IssuerAndSerialNumber: how CMS names a certificate (RFC 5652 section 10.2.4)."""

    issuer: bytes
    """DER Name as it stands in the certificate."""
    serial: int

    @property
    def encoded(self) -> bytes:
        """DER."""
        return der.sequence(self.issuer, der.integer(self.serial))

    def names(self, other: "CertificateId") -> bool:
        """Whether both mean the same certificate; names compare as RFC 5280 section 7.1 has it."""
        return self.serial == other.serial and same_name(self.issuer, other.issuer)


def same_name(one: bytes, other: bytes) -> bool:
    """Whether two DER Names are equal, string types and letter case apart."""
    if one == other:
        return True
    try:
        with decoding("Name"):
            from asn1crypto import x509 as asn1_x509  # brings much, for what is seldom met

            return bool(asn1_x509.Name.load(one) == asn1_x509.Name.load(other))
    except RemoteProtocolError:
        return False  # a name nobody can read equals only itself


def certificate_der(certificate: x509.Certificate) -> bytes:
    """DER of *certificate*."""
    return certificate.public_bytes(Encoding.DER)


def certificate_id(certificate: x509.Certificate) -> CertificateId:
    """Issuer and serial number of *certificate*, with the name's own bytes."""
    parts = _parts(certificate)
    return CertificateId(issuer=parts.issuer, serial=int.from_bytes(parts.serial, "big", signed=True))


def subject_der(certificate: x509.Certificate) -> bytes:
    """The subject of *certificate* with its own bytes."""
    return _parts(certificate).subject


def _parts(certificate: x509.Certificate) -> ParsedCertificate:
    """*certificate* taken apart."""
    try:
        return ParsedCertificate.read(certificate_der(certificate))
    except InvalidValue as exc:
        raise RemoteProtocolError("Certificate cannot be decoded") from exc
