"""Certificates in PKCS #7 / CMS containers (RFC 5652)."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.certs import ParsedCertificate, parse_der_certificate

_SIGNED_DATA: Final = der.oid("1.2.840.113549.1.7.2")
_ENVELOPED_DATA: Final = der.oid("1.2.840.113549.1.7.3")
_CERTIFICATES_TAG: Final = 0xA0
_SEQUENCE_HEADER_BYTES: Final = 6
"""Longest header before the contentType of a ContentInfo."""


def is_signed_data(encoded: bytes) -> bool:
    """Whether the bytes begin a ContentInfo with SignedData; BER is recognised, too."""
    return _has_content_type(encoded, _SIGNED_DATA)


def is_enveloped_data(encoded: bytes) -> bool:
    """Whether the bytes begin a ContentInfo with EnvelopedData; BER is recognised, too."""
    return _has_content_type(encoded, _ENVELOPED_DATA)


def _has_content_type(encoded: bytes, oid: bytes) -> bool:
    return encoded[:1] == b"\x30" and oid in encoded[: _SEQUENCE_HEADER_BYTES + len(oid)]


def certificates_of(encoded: bytes) -> tuple[ParsedCertificate, ...]:
    """The certificates of a SignedData; other kinds in the set are skipped. `InvalidValue` when it is malformed."""
    try:
        _oid, wrapped = der.decode(encoded, der.SEQUENCE).children()
        signed_data = der.decode(wrapped.content, der.SEQUENCE).children()
        entries = [entry for field in signed_data if field.tag == _CERTIFICATES_TAG for entry in field.children()]
    except ValueError:  # BER, or too many parts; OpenSSL reads more than this package
        return _certificates_by_library(encoded)
    return tuple(parse_der_certificate(entry.encoded) for entry in entries if entry.tag == der.SEQUENCE)


def _certificates_by_library(encoded: bytes) -> tuple[ParsedCertificate, ...]:
    try:
        found = pkcs7.load_der_pkcs7_certificates(encoded)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
        raise InvalidValue("certificate", f"The PKCS #7 data cannot be read: {exc}") from exc
    return tuple(parse_der_certificate(certificate.public_bytes(Encoding.DER)) for certificate in found)
