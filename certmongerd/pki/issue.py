"""Issuing certificates for signing requests: what the internal self-signer and the local CA do.

Subject, public key and requested extensions are copied octet by octet, so nothing depends on
how strictly a library reads them. Times and serial numbers come in; nothing is stored.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import algorithms, der
from certmongerd.pki.algorithms import PrivateKey
from certmongerd.pki.der import DerError
from certmongerd.pki.keys import sign, spki_of_key
from certmongerd.pki.pem import pem_blocks

__all__ = [
    "Extension",
    "Issuer",
    "SigningRequest",
    "UnprovenRequest",
    "authority_extensions",
    "issue_certificate",
    "key_identifier",
    "parse_request",
    "self_signed",
]

MAX_SERIAL: Final = (1 << 159) - 1
"""Serial numbers have at most 20 octets and are positive (RFC 5280, section 4.1.2.2)."""

_ATTRIBUTES_TAG: Final = 0xA0
_ISSUER_UNIQUE_ID: Final = 0x81
_SUBJECT_UNIQUE_ID: Final = 0x82
_CA_KEY_USAGE: Final = "1000011"
"""digitalSignature, keyCertSign and cRLSign in bit order."""


class UnprovenRequest(InvalidValue):
    """A signing request whose signature was not made with the key it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One X.509 extension."""

    oid: str
    encoded: bytes
    """The whole Extension, DER."""

    @classmethod
    def build(cls, oid: str, value: bytes, *, critical: bool = False) -> "Extension":
        """An extension with the DER *value*."""
        flag = der.boolean(True) if critical else b""  # noqa: FBT003 - the value itself
        return cls(oid=oid, encoded=der.sequence(der.oid(oid), flag, der.octet_string(value)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRequest:
    """A PKCS#10 request whose signature proves possession of the key."""

    subject_der: bytes
    spki: bytes
    extensions: tuple[Extension, ...]
    """As requested, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who signs."""

    name_der: bytes
    key: PrivateKey
    identifier: bytes | None
    """Subject key identifier of the issuer's certificate; None leaves out the authority key identifier."""


def parse_request(pem: str) -> SigningRequest:
    """Read a PEM signing request.

    Raises InvalidValue when there is none or it cannot be read, UnprovenRequest when its signature does not
    verify.
    """
    found = next((block.der for block in pem_blocks(pem) if block.label.endswith("CERTIFICATE REQUEST")), None)
    if found is None:
        raise InvalidValue("csr", "There is no PEM signing request.")
    try:
        info, _, signature = der.decode(found, der.SEQUENCE).children()
        if signature.content[:1] != b"\0":
            raise DerError("a signature has no unused bits")
        _, subject, spki, *rest = info.children()
        attributes = next((element for element in rest if element.tag == _ATTRIBUTES_TAG), None)
        request = SigningRequest(
            subject_der=subject.encoded,
            spki=spki.encoded,
            extensions=tuple(_requested_extensions(attributes)) if attributes else (),
        )
        is_proven = _is_proven(x509.load_der_x509_csr(found))
    except (DerError, x509.InvalidVersion, ValueError, IndexError, TypeError) as exc:
        raise InvalidValue("csr", f"The signing request cannot be read: {exc}") from exc
    except UnsupportedAlgorithm as exc:
        raise InvalidValue("csr", f"The signing request uses an unsupported algorithm: {exc}") from exc
    if not is_proven:
        raise UnprovenRequest("csr", "The signing request is not signed with the key it asks a certificate for.")
    return request


def _is_proven(csr: x509.CertificateSigningRequest) -> bool:
    """Whether *csr* is signed with the key it holds."""
    if csr.is_signature_valid:
        return True
    # pyca answers False for SHA-1 and MD5, which administrators can still configure for signing requests.
    # Nothing is lost by it: only the requester could make the text that is signed here.
    key, digest = csr.public_key(), csr.signature_hash_algorithm
    if not isinstance(digest, hashes.SHA1 | hashes.MD5):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(csr.signature, csr.tbs_certrequest_bytes, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(csr.signature, csr.tbs_certrequest_bytes, ec.ECDSA(digest))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _requested_extensions(attributes: der.Element) -> Iterable[Extension]:
    """The extensions of the extensionRequest attribute (RFC 2985, section 5.4.2); the first one of each kind."""
    seen: set[str] = set()
    for attribute in attributes.children():
        kind, values = attribute.children()
        if der.read_oid(kind) != algorithms.EXTENSION_REQUEST:
            continue
        for extension in values.children()[0].children():
            oid = der.read_oid(extension.children()[0])
            if oid not in seen:
                seen.add(oid)
                yield Extension(oid=oid, encoded=extension.encoded)


def key_identifier(spki: bytes) -> bytes:
    """SHA-1 of the subjectPublicKey's bits (RFC 5280, section 4.2.1.2, method 1)."""
    _, bits = der.decode(spki, der.SEQUENCE).children()
    return hashlib.sha1(bits.content[1:], usedforsecurity=False).digest()


def issue_certificate(
    *,
    subject_der: bytes,
    spki: bytes,
    extensions: Iterable[Extension],
    issuer: Issuer,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    digest: str = "sha256",
    unique_id: bytes | None = None,
) -> x509.Certificate:
    """Sign a certificate.

    The extensions are taken as they are, but for an authority key identifier, which is the issuer's affair.
    Without a basicConstraints extension the certificate is marked as no CA (critical); a missing subject key
    identifier is added. *unique_id*, for certificates that a key issues to itself, becomes issuerUniqueID and
    subjectUniqueID, which RFC 5280, section 4.1.2.8, wants nobody to make. Raises InvalidValue for a serial or a
    digest that cannot be used.
    """
    if not 0 < serial <= MAX_SERIAL:
        raise InvalidValue("serial", "A serial number has to be positive and at most 20 octets long.")
    algorithm = algorithms.signature_algorithm(issuer.key, digest)
    to_be_signed = der.sequence(
        der.context(0, der.integer(2)),
        der.integer(serial),
        algorithm,
        issuer.name_der,
        der.sequence(der.time(not_before), der.time(not_after)),
        subject_der,
        spki,
        _unique_ids(unique_id),
        der.context(3, der.sequence(*(entry.encoded for entry in _complete(extensions, spki, issuer)))),
    )
    try:
        signature = sign(issuer.key, to_be_signed, digest)
        return x509.load_der_x509_certificate(der.sequence(to_be_signed, algorithm, der.bit_string(signature)))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise InvalidValue("certificate", f"The certificate cannot be signed: {exc}") from exc


def _unique_ids(value: bytes | None) -> bytes:
    """issuerUniqueID and subjectUniqueID, both the same BIT STRING, or nothing."""
    if value is None:
        return b""
    return der.encode(_ISSUER_UNIQUE_ID, b"\0" + value) + der.encode(_SUBJECT_UNIQUE_ID, b"\0" + value)


def _complete(extensions: Iterable[Extension], spki: bytes, issuer: Issuer) -> list[Extension]:
    """What was asked for, and what every certificate has."""
    complete = [extension for extension in extensions if extension.oid != algorithms.AUTHORITY_KEY_IDENTIFIER]
    kinds = {extension.oid for extension in complete}
    if algorithms.BASIC_CONSTRAINTS not in kinds:
        complete.append(Extension.build(algorithms.BASIC_CONSTRAINTS, der.sequence(), critical=True))
    if issuer.identifier is not None:
        value = der.sequence(der.encode(0x80, issuer.identifier))
        complete.append(Extension.build(algorithms.AUTHORITY_KEY_IDENTIFIER, value))
    if algorithms.SUBJECT_KEY_IDENTIFIER not in kinds:
        value = der.octet_string(key_identifier(spki))
        complete.append(Extension.build(algorithms.SUBJECT_KEY_IDENTIFIER, value))
    return complete


def authority_extensions(spki: bytes) -> tuple[Extension, ...]:
    """Extensions of a CA's own certificate, without the authority key identifier."""
    is_ca = der.sequence(der.boolean(True))  # noqa: FBT003 - the value itself
    return (
        Extension.build(algorithms.BASIC_CONSTRAINTS, is_ca, critical=True),
        Extension.build(algorithms.SUBJECT_KEY_IDENTIFIER, der.octet_string(key_identifier(spki))),
        Extension.build(algorithms.KEY_USAGE, der.named_bits(_CA_KEY_USAGE), critical=True),
    )


def self_signed(
    csr_pem: str,
    key: PrivateKey,
    *,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    digest: str = "sha256",
    unique_id: bytes | None = None,
) -> x509.Certificate:
    """The certificate that *key* issues to itself for its own signing request; *unique_id* as in `issue_certificate`.

    Raises InvalidValue when the request cannot be read or is for another key.
    """
    request = parse_request(csr_pem)
    if request.spki != spki_of_key(key):
        raise InvalidValue("csr", "The signing request was made for another key.")
    return issue_certificate(
        subject_der=request.subject_der,
        spki=request.spki,
        extensions=request.extensions,
        issuer=Issuer(name_der=request.subject_der, key=key, identifier=None),
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        digest=digest,
        unique_id=unique_id,
    )
