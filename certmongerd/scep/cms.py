"""The outlines of SignedData and EnvelopedData (RFC 5652 sections 5 and 6): which member stands where.

Everything here takes definite lengths and raises ValueError for what has another outline. Members that nobody needs may
be anything.
"""

from dataclasses import dataclass
from typing import Final

from cryptography import x509

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.pki import der
from certmongerd.pki.der import Element
from certmongerd.scep.asn1 import CertificateId, certificate_id
from certmongerd.scep.certificates import key_identifiers
from certmongerd.scep.oids import ENVELOPED_DATA, SIGNED_DATA

IMPLICIT_0: Final = 0x80
_EXPLICIT_0: Final = 0xA0
_CERTIFICATES: Final = 0xA0
_CRLS: Final = 0xA1
_ORIGINATOR_INFO: Final = 0xA0
_SIGNED_ATTRIBUTES: Final = 0xA0
_UNSIGNED_ATTRIBUTES: Final = 0xA1
_UNPROTECTED_ATTRIBUTES: Final = 0xA1


def content_info(kind: str, content: bytes) -> bytes:
    """DER ContentInfo of type *kind* with the DER *content*."""
    return der.sequence(der.oid(kind), der.context(0, content))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedData:
    """The members of a SignedData."""

    content_type: str
    content: bytes | None
    certificates: tuple[Element, ...]
    crls: tuple[Element, ...]
    signer_infos: tuple[Element, ...]

    @classmethod
    def read(cls, encoded: bytes) -> "SignedData | None":
        """From a ContentInfo; None when that holds something else."""
        members = _content_of(encoded, SIGNED_DATA)
        if members is None:
            return None
        _version, _digests, encapsulated, *optional, signer_infos = members
        choices = _optional(optional, _CERTIFICATES, _CRLS)
        content_type, *rest = encapsulated.expect(der.SEQUENCE).children()
        content = None
        if rest:
            (wrapper,) = rest
            # An OCTET STRING. PKCS #7 allows others; what is signed then is the content, too (RFC 2315 section 9.3).
            (inner,) = wrapper.expect(_EXPLICIT_0).children()
            content = inner.content
        return cls(
            content_type=der.read_oid(content_type),
            content=content,
            certificates=_children(choices.get(_CERTIFICATES)),
            crls=_children(choices.get(_CRLS)),
            signer_infos=signer_infos.expect(der.SET).children(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerInfo:
    """One SignerInfo as it was sent."""

    identifier: "Identifier"
    digest_algorithm: str
    signature_algorithm: str
    signature_parameters: bytes
    """DER AlgorithmIdentifier of the signature."""
    signed_attributes: bytes | None
    """Content octets of the SET as sent; None when there are none."""
    signature: bytes

    @classmethod
    def read(cls, element: Element) -> "SignerInfo":
        """From an element of signerInfos."""
        _version, identifier, digest_algorithm, *rest = element.expect(der.SEQUENCE).children()
        attributes = rest.pop(0) if rest[0].tag == _SIGNED_ATTRIBUTES else None
        algorithm, signature, *unsigned = rest
        _optional(unsigned, _UNSIGNED_ATTRIBUTES)
        return cls(
            identifier=Identifier.read(identifier),
            digest_algorithm=_read_algorithm(digest_algorithm)[0],
            signature_algorithm=_read_algorithm(algorithm)[0],
            signature_parameters=algorithm.encoded,
            signed_attributes=None if attributes is None else attributes.content,
            signature=signature.expect(der.OCTET_STRING).content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopedData:
    """The members of an EnvelopedData."""

    recipients: tuple["KeyTransport", ...]
    """Those of key transport; others cannot be meant for an RSA key."""
    content_type: str
    algorithm: str
    parameters: bytes
    """DER of the content encryption algorithm's parameters; empty when absent."""
    ciphertext: bytes

    @classmethod
    def read(cls, encoded: bytes) -> "EnvelopedData | None":
        """From a ContentInfo; None when that holds something else. Raises RemoteProtocolError without content."""
        members = _content_of(encoded, ENVELOPED_DATA)
        if members is None:
            return None
        _version, *rest = members
        if rest[0].tag == _ORIGINATOR_INFO:
            del rest[0]
        recipients, encrypted, *unprotected = rest
        _optional(unprotected, _UNPROTECTED_ATTRIBUTES)
        content_type, encryption, *content = encrypted.expect(der.SEQUENCE).children()
        algorithm, parameters = _read_algorithm(encryption)
        ciphertext = _optional(content, IMPLICIT_0).get(IMPLICIT_0)
        if ciphertext is None:
            raise RemoteProtocolError("The envelope has no content")
        return cls(
            recipients=tuple(
                KeyTransport.read(each) for each in recipients.expect(der.SET).children() if each.tag == der.SEQUENCE
            ),
            content_type=der.read_oid(content_type),
            algorithm=algorithm,
            parameters=parameters,
            ciphertext=ciphertext.content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTransport:
    """One KeyTransRecipientInfo."""

    identifier: "Identifier"
    algorithm: str
    algorithm_der: bytes
    """AlgorithmIdentifier of the key transport."""
    encrypted_key: bytes

    @classmethod
    def read(cls, element: Element) -> "KeyTransport":
        """From an element of recipientInfos."""
        _version, identifier, algorithm, encrypted_key = element.children()
        return cls(
            identifier=Identifier.read(identifier),
            algorithm=_read_algorithm(algorithm)[0],
            algorithm_der=algorithm.encoded,
            encrypted_key=encrypted_key.expect(der.OCTET_STRING).content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """SignerIdentifier or RecipientIdentifier: how a certificate is named."""

    certificate_id: CertificateId | None
    """None when it is named by key identifier."""
    key_identifier: bytes

    @classmethod
    def read(cls, element: Element) -> "Identifier":
        """From either of its forms."""
        if element.tag == IMPLICIT_0:
            return cls(certificate_id=None, key_identifier=element.content)
        issuer, serial = element.expect(der.SEQUENCE).children()
        named = CertificateId(issuer=issuer.encoded, serial=der.read_integer(serial))
        return cls(certificate_id=named, key_identifier=b"")

    def names(self, certificate: x509.Certificate) -> bool:
        """Whether *certificate* is the one that is meant."""
        if self.certificate_id is not None:
            return self.certificate_id.names(certificate_id(certificate))
        return self.key_identifier in key_identifiers(certificate)


def _read_algorithm(element: Element) -> tuple[str, bytes]:
    """Object identifier and DER parameters, empty when absent, of an AlgorithmIdentifier."""
    algorithm, *parameters = element.expect(der.SEQUENCE).children()
    if len(parameters) > 1:
        raise ValueError("an AlgorithmIdentifier has two members at most")
    return der.read_oid(algorithm), parameters[0].encoded if parameters else b""


def _content_of(encoded: bytes, kind: str) -> tuple[Element, ...] | None:
    """The members of the content of a ContentInfo, if it is of *kind*."""
    content_type, wrapper = der.decode(encoded, der.SEQUENCE).children()
    if der.read_oid(content_type) != kind:
        return None
    (content,) = wrapper.expect(_EXPLICIT_0).children()
    return content.expect(der.SEQUENCE).children()


def _optional(elements: list[Element], *tags: int) -> dict[int, Element]:
    """The optional members by tag; each may be there once."""
    found = {element.tag: element for element in elements}
    if len(found) != len(elements) or not found.keys() <= set(tags):
        raise ValueError("unexpected members")
    return found


def _children(element: Element | None) -> tuple[Element, ...]:
    return () if element is None else element.children()
