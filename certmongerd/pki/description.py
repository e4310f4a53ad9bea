"""Certificates and signing requests in words, for people: label and text, line by line.

Reading is lenient, as everywhere in this package: what cannot be understood is named by its OID or left out. Texts
hold no control characters, whatever the certificate has.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import CertificateFacts
from certmongerd.pki import algorithms, der
from certmongerd.pki.certs import parse_certificate
from certmongerd.pki.der import DerError, Element
from certmongerd.pki.facts import read_facts
from certmongerd.pki.parsed import ParsedCertificate
from certmongerd.pki.pem import pem_blocks

Lines = tuple[tuple[str, str], ...]
"""Label and text."""

_REQUEST_LABELS: Final = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_RSA: Final = "1.2.840.113549.1.1.1"
_EC: Final = "1.2.840.10045.2.1"
_CURVES: Final[Mapping[str, str]] = {
    "1.2.840.10045.3.1.7": "P-256",
    "1.3.132.0.34": "P-384",
    "1.3.132.0.35": "P-521",
}
_KEY_TYPES: Final[Mapping[str, str]] = {
    "1.2.840.10040.4.1": "DSA",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}
"""Public keys whose type says it all (RFC 8410; RFC 9881)."""
_SIGNATURES: Final[Mapping[str, str]] = {
    "1.2.840.113549.1.1.4": "RSA with MD5",
    "1.2.840.113549.1.1.5": "RSA with SHA-1",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.2.840.113549.1.1.11": "RSA with SHA-256",
    "1.2.840.113549.1.1.12": "RSA with SHA-384",
    "1.2.840.113549.1.1.13": "RSA with SHA-512",
    "1.2.840.10045.4.1": "ECDSA with SHA-1",
    "1.2.840.10045.4.3.2": "ECDSA with SHA-256",
    "1.2.840.10045.4.3.3": "ECDSA with SHA-384",
    "1.2.840.10045.4.3.4": "ECDSA with SHA-512",
    **_KEY_TYPES,
}
_URI_TAG: Final = 0x86
_KEY_IDENTIFIER_TAG: Final = 0x80
_TOLD_ELSEWHERE: Final = frozenset(
    {
        algorithms.SUBJECT_KEY_IDENTIFIER,
        algorithms.AUTHORITY_KEY_IDENTIFIER,
        algorithms.KEY_USAGE,
        algorithms.EXTENDED_KEY_USAGE,
        algorithms.SUBJECT_ALT_NAME,
        algorithms.BASIC_CONSTRAINTS,
        algorithms.CRL_DISTRIBUTION_POINTS,
        algorithms.AUTHORITY_INFO_ACCESS,
    }
)


@dataclass(frozen=True, slots=True)
class Described:
    """What can be said of a certificate or a signing request; the reader knows how to show times and usages."""

    facts: CertificateFacts
    """Of a signing request those of the certificate that it asks for: without issuer, serial number and times."""
    key: str
    """Type and size of the public key."""
    signature: str
    uris: tuple[str, ...]
    """Names of the subject."""
    key_identifier: str
    authority_key_identifier: str
    other_extensions: tuple[str, ...]
    """OIDs."""
    attributes: Lines
    """Of a signing request; a challenge password is mentioned, never told."""
    fingerprints: Lines
    """Digest and value, over the whole DER."""


def describe_certificate(pem: str) -> Described:
    """Describe the first certificate of a PEM text; `InvalidValue` when there is none or it is malformed."""
    certificate = parse_certificate(pem)
    try:
        _, signature, *_ = der.decode(certificate.encoded, der.SEQUENCE).children()
    except ValueError as exc:  # DerError is one; so is a wrong number of children
        raise InvalidValue("certificate", f"The certificate cannot be read: {exc}") from exc
    return _describe(certificate, signature)


def describe_request(pem: str) -> Described:
    """Describe the first PKCS #10 request of a PEM text; `InvalidValue` when there is none or it is malformed."""
    encoded = next((block.der for block in pem_blocks(pem) if block.label in _REQUEST_LABELS), None)
    if encoded is None:
        raise InvalidValue("csr", "There is no PEM signing request in it.")
    try:
        info, signature, _ = der.decode(encoded, der.SEQUENCE).children()
        _, subject, spki, *rest = info.children()
        attributes = dict(_attributes(rest))
        extensions = dict(_requested(attributes.get(algorithms.EXTENSION_REQUEST)))
    except (ValueError, IndexError) as exc:
        raise InvalidValue("csr", f"The signing request cannot be read: {exc}") from exc
    wanted = ParsedCertificate(
        encoded=encoded,
        serial=b"",
        issuer=subject.encoded,
        not_before=None,
        not_after=None,
        subject=subject.encoded,
        spki=spki.encoded,
        extensions=extensions,
    )
    return _describe(wanted, signature, tuple(_told_attributes(attributes)))


def _describe(certificate: ParsedCertificate, signature: Element, attributes: Lines = ()) -> Described:
    extensions = certificate.extensions
    return Described(
        facts=read_facts(certificate),
        key=key_text(certificate.spki),
        signature=_algorithm(signature, _SIGNATURES),
        uris=_uris(extensions.get(algorithms.SUBJECT_ALT_NAME)),
        key_identifier=_key_identifier(extensions.get(algorithms.SUBJECT_KEY_IDENTIFIER)),
        authority_key_identifier=_authority_key_identifier(extensions.get(algorithms.AUTHORITY_KEY_IDENTIFIER)),
        other_extensions=tuple(oid for oid in extensions if oid not in _TOLD_ELSEWHERE),
        attributes=attributes,
        fingerprints=(
            ("SHA-1", _octets(hashlib.sha1(certificate.encoded, usedforsecurity=False).digest())),
            ("SHA-256", _octets(hashlib.sha256(certificate.encoded).digest())),
        ),
    )


def _octets(content: bytes) -> str:
    return content.hex(":").upper()


def _algorithm(identifier: Element, names: Mapping[str, str]) -> str:
    try:
        oid = der.read_oid(identifier.children()[0])
    except (ValueError, IndexError):
        return "unreadable"
    return names.get(oid, oid)


def key_text(spki: bytes) -> str:
    """Type and size of a DER SubjectPublicKeyInfo in words."""
    try:
        identifier, key = der.decode(spki, der.SEQUENCE).children()
        oid, *parameters = identifier.children()
        kind = der.read_oid(oid)
        if kind == _RSA:
            modulus, _ = der.decode(key.content[1:], der.SEQUENCE).children()
            return f"RSA, {der.read_integer(modulus).bit_length()} bits"
    except ValueError:
        return "unreadable"
    return f"EC, {_curve(parameters)}" if kind == _EC else _KEY_TYPES.get(kind, kind)


def _curve(parameters: Iterable[Element]) -> str:
    try:
        (curve,) = (der.read_oid(parameter) for parameter in parameters)
    except ValueError:
        return "own curve"
    return _CURVES.get(curve, curve)


def _uris(alternative_names: bytes | None) -> tuple[str, ...]:
    if alternative_names is None:
        return ()
    try:
        names = der.decode(alternative_names).children()
    except DerError:
        return ()
    texts = (name.content.decode("latin-1") for name in names if name.tag == _URI_TAG)
    return tuple(text for text in texts if text.isprintable())


def _key_identifier(value: bytes | None) -> str:
    try:
        return "" if value is None else _octets(der.decode(value, der.OCTET_STRING).content)
    except DerError:
        return ""


def _authority_key_identifier(value: bytes | None) -> str:
    try:
        parts = () if value is None else der.decode(value, der.SEQUENCE).children()
    except DerError:
        return ""
    return next((_octets(part.content) for part in parts if part.tag == _KEY_IDENTIFIER_TAG), "")


def _attributes(fields: Iterable[Element]) -> Iterator[tuple[str, Element]]:
    for field in fields:
        for attribute in field.children():
            oid, values = attribute.children()
            yield der.read_oid(oid), values


def _requested(values: Element | None) -> Iterator[tuple[str, bytes]]:
    for wanted in values.children() if values is not None else ():
        for extension in wanted.children():
            parts = extension.children()
            yield der.read_oid(parts[0]), parts[-1].content


def _told_attributes(attributes: Mapping[str, Element]) -> Iterator[tuple[str, str]]:
    for oid, values in attributes.items():
        match oid:
            case algorithms.EXTENSION_REQUEST:
                continue
            case algorithms.CHALLENGE_PASSWORD:
                yield "challenge password", "set"
            case algorithms.FRIENDLY_NAME:
                texts = (der.read_text(value) for value in values.children())
                yield "friendly name", ", ".join(text for text in texts if text.isprintable())
            case _:
                yield "attribute", oid
