"""Certificates in PKCS #7 / CMS containers (RFC 5652)."""

from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.certs import ParsedCertificate, parse_der_certificate
from certmongerd.pki.der import DerError

_SIGNED_DATA: Final = der.oid("1.2.840.113549.1.7.2")
_ENVELOPED_DATA: Final = der.oid("1.2.840.113549.1.7.3")
_CERTIFICATES_TAG: Final = 0xA0
_SEQUENCE_HEADER_BYTES: Final = 6
"""Longest header before the contentType of a ContentInfo."""
_DEEPEST: Final = 16


def is_signed_data(encoded: bytes) -> bool:
    """Whether the bytes begin a ContentInfo with SignedData; BER is recognised, too."""
    return _has_content_type(encoded, _SIGNED_DATA)


def is_enveloped_data(encoded: bytes) -> bool:
    """Whether the bytes begin a ContentInfo with EnvelopedData; BER is recognised, too."""
    return _has_content_type(encoded, _ENVELOPED_DATA)


def _has_content_type(encoded: bytes, oid: bytes) -> bool:
    return encoded[:1] == b"\x30" and oid in encoded[: _SEQUENCE_HEADER_BYTES + len(oid)]


def certificates_of(encoded: bytes) -> tuple[ParsedCertificate, ...]:
    """The certificates of a SignedData, DER or BER; other kinds in the set are skipped.

    `InvalidValue` when it is malformed.
    """
    try:
        definite, _rest = _with_definite_lengths(encoded, 0)
        _oid, wrapped = der.decode(definite, der.SEQUENCE).children()
        signed_data = der.decode(wrapped.content, der.SEQUENCE).children()
        entries = [entry for field in signed_data if field.tag == _CERTIFICATES_TAG for entry in field.children()]
    except ValueError as exc:
        raise InvalidValue("certificate", f"The PKCS #7 data cannot be read: {exc}") from exc
    return tuple(parse_der_certificate(entry.encoded) for entry in entries if entry.tag == der.SEQUENCE)


def _with_definite_lengths(data: bytes, depth: int) -> tuple[bytes, bytes]:
    """The first element with the indefinite lengths (X.690, 8.1.3.6) down its path counted out, and the rest.

    Elements of definite length are taken as they are: servers leave only the outer lengths open.
    """
    if depth > _DEEPEST:
        raise DerError("it is nested too deeply")
    if data[1:2] != b"\x80":
        element = next(der.elements(data), None)
        if element is None:
            raise DerError("truncated content")
        return element.encoded, data[len(element.encoded) :]
    parts: list[bytes] = []
    rest = data[2:]
    while not rest.startswith(b"\0\0"):
        part, rest = _with_definite_lengths(rest, depth + 1)
        parts.append(part)
    return der.encode(data[0], *parts), rest[2:]
