"""The outlines of SignedData and EnvelopedData (RFC 5652 sections 5 and 6): which member stands where.

Everything here takes definite lengths and raises ValueError for what has another outline. Members that nobody needs may
be anything.
"""

from dataclasses import dataclass
from typing import Final

from certmongerd.pki import der
from certmongerd.pki.der import Element
from certmongerd.scep.asn1 import CertificateId
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
        _expect((encapsulated, der.SEQUENCE), (signer_infos, der.SET))
        choices = _optional(optional, _CERTIFICATES, _CRLS)
        content_type, *rest = encapsulated.children()
        content = None
        if rest:
            (wrapper,) = rest
            _expect((wrapper, _EXPLICIT_0))
            # An OCTET STRING. PKCS #7 allows others; what is signed then is the content, too (RFC 2315 section 9.3).
            (inner,) = wrapper.children()
            content = inner.content
        return cls(
            content_type=der.read_oid(content_type),
            content=content,
            certificates=_children(choices.get(_CERTIFICATES)),
            crls=_children(choices.get(_CRLS)),
            signer_infos=signer_infos.children(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerInfo:
    """The members of a SignerInfo."""

    identifier: "Identifier"
    digest_algorithm: Element
    signed_attributes: Element | None
    signature_algorithm: Element
    signature: bytes

    @classmethod
    def read(cls, element: Element) -> "SignerInfo":
        """From an element of signerInfos."""
        _version, identifier, digest_algorithm, *rest = element.children()
        attributes = rest.pop(0) if rest[0].tag == _SIGNED_ATTRIBUTES else None
        algorithm, signature, *unsigned = rest
        _expect((element, der.SEQUENCE), (digest_algorithm, der.SEQUENCE))
        _expect((algorithm, der.SEQUENCE), (signature, der.OCTET_STRING))
        _optional(unsigned, _UNSIGNED_ATTRIBUTES)
        return cls(
            identifier=Identifier.read(identifier),
            digest_algorithm=digest_algorithm,
            signed_attributes=attributes,
            signature_algorithm=algorithm,
            signature=signature.content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopedData:
    """The members of an EnvelopedData."""

    key_transports: tuple[Element, ...]
    """The recipients that are KeyTransRecipientInfo."""
    content_type: str
    algorithm: str
    parameters: bytes
    """DER; empty when absent."""
    content: bytes | None

    @classmethod
    def read(cls, encoded: bytes) -> "EnvelopedData | None":
        """From a ContentInfo; None when that holds something else."""
        members = _content_of(encoded, ENVELOPED_DATA)
        if members is None:
            return None
        _version, *rest = members
        if rest[0].tag == _ORIGINATOR_INFO:
            del rest[0]
        recipients, encrypted, *unprotected = rest
        _expect((recipients, der.SET), (encrypted, der.SEQUENCE))
        _optional(unprotected, _UNPROTECTED_ATTRIBUTES)
        content_type, encryption, *content = encrypted.children()
        _expect((encryption, der.SEQUENCE))
        algorithm, parameters = read_algorithm(encryption)
        ciphertext = _optional(content, IMPLICIT_0).get(IMPLICIT_0)
        return cls(
            key_transports=tuple(each for each in recipients.children() if each.tag == der.SEQUENCE),
            content_type=der.read_oid(content_type),
            algorithm=algorithm,
            parameters=parameters,
            content=None if ciphertext is None else ciphertext.content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTransport:
    """The members of a KeyTransRecipientInfo."""

    identifier: "Identifier"
    algorithm: Element
    encrypted_key: bytes

    @classmethod
    def read(cls, element: Element) -> "KeyTransport":
        """From an element of recipientInfos."""
        _version, identifier, algorithm, encrypted_key = element.children()
        _expect((algorithm, der.SEQUENCE), (encrypted_key, der.OCTET_STRING))
        return cls(identifier=Identifier.read(identifier), algorithm=algorithm, encrypted_key=encrypted_key.content)


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
        _expect((element, der.SEQUENCE))
        issuer, serial = element.children()
        named = CertificateId(issuer=issuer.encoded, serial=der.read_integer(serial))
        return cls(certificate_id=named, key_identifier=b"")


def read_algorithm(element: Element) -> tuple[str, bytes]:
    """Object identifier and DER parameters, empty when absent, of an AlgorithmIdentifier."""
    algorithm, *parameters = element.children()
    if len(parameters) > 1:
        raise ValueError("an AlgorithmIdentifier has two members at most")
    return der.read_oid(algorithm), parameters[0].encoded if parameters else b""


def _content_of(encoded: bytes, kind: str) -> tuple[Element, ...] | None:
    """The members of the content of a ContentInfo, if it is of *kind*."""
    content_type, wrapper = der.decode(encoded, der.SEQUENCE).children()
    if der.read_oid(content_type) != kind:
        return None
    _expect((wrapper, _EXPLICIT_0))
    (content,) = wrapper.children()
    _expect((content, der.SEQUENCE))
    return content.children()


def _expect(*members: tuple[Element, int]) -> None:
    """Compare each element with the tag it has to have."""
    for element, tag in members:
        if element.tag != tag:
            raise ValueError(f"tag {element.tag:#x} where {tag:#x} was expected")


def _optional(elements: list[Element], *tags: int) -> dict[int, Element]:
    """The optional members by tag; each may be there once."""
    found = {element.tag: element for element in elements}
    if len(found) != len(elements) or not found.keys() <= set(tags):
        raise ValueError("unexpected members")
    return found


def _children(element: Element | None) -> tuple[Element, ...]:
    return () if element is None else element.children()
