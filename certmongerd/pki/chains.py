"""Sorting a bag of certificates into a chain."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import algorithms, der
from certmongerd.pki.certs import AnyCertificate, ParsedCertificate, certificate_facts, parsed

C = TypeVar("C", bound=AnyCertificate)

_KEY_IDENTIFIER_TAG = 0x80
_ISSUER_TAG = 0xA1
_SERIAL_TAG = 0x82
_DIRECTORY_NAME_TAG = 0xA4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered(Generic[C]):
    """A bag of certificates, sorted."""

    leaf: C
    """Issued none of the others."""
    chain: tuple[C, ...]
    """All others: the leaf's issuer first, the top last; what is not connected stands behind the linked part."""
    top: C | None
    """Issued by none of the others, self-signed if possible; None when there is only the leaf."""


def order_bag(certificates: Iterable[C]) -> Ordered[C]:
    """Sort certificates that came in any order; repeated ones count once.

    Only names and identifiers are compared, no signatures: this is order, not trust. `InvalidValue` for an empty bag.
    """
    bag = list({parsed(certificate).encoded: certificate for certificate in certificates}.values())
    if not bag:
        raise InvalidValue("certificate", "There is no certificate.")
    leaf = _leaf(bag)
    rest = [certificate for certificate in bag if certificate is not leaf]
    if not rest:
        return Ordered(leaf=leaf, chain=(), top=None)
    top = _top(bag, rest)
    linked: list[C] = []
    last = leaf
    while issuers := [candidate for candidate in rest if is_issued_by(last, candidate)]:
        last = next((candidate for candidate in issuers if candidate is not top), issuers[0])
        linked.append(last)
        rest.remove(last)
    stray = [certificate for certificate in rest if certificate is not top]
    if top in linked:
        return Ordered(leaf=leaf, chain=(*linked, *stray), top=top)
    return Ordered(leaf=leaf, chain=(*linked, *stray, top), top=top)


def _leaf(bag: list[C]) -> C:
    """The first that issued none of the others, rather not a CA; in a ring the first that is no CA."""
    candidates = [
        certificate
        for certificate in bag
        if not any(other is not certificate and is_issued_by(other, certificate) for other in bag)
    ]
    pool = candidates or bag
    return next((certificate for certificate in pool if not certificate_facts(certificate).is_ca), pool[0])


def _top(bag: list[C], rest: list[C]) -> C:
    """One of *rest* that no other of the bag issued, a self-signed one first."""
    candidates = [
        certificate
        for certificate in rest
        if not any(other is not certificate and is_issued_by(certificate, other) for other in bag)
    ]
    own_issuers = [certificate for certificate in candidates if _is_self_issued(certificate)]
    return next(iter((*own_issuers, *candidates, rest[-1])))


def _is_self_issued(certificate: AnyCertificate) -> bool:
    fields = parsed(certificate)
    return fields.issuer == fields.subject


def is_issued_by(certificate: AnyCertificate, issuer: AnyCertificate) -> bool:
    """Whether *certificate* names *issuer* as its issuer.

    Key identifiers decide when both have one, else issuer and serial number of the authority key identifier, else
    the names.
    """
    child, parent = parsed(certificate), parsed(issuer)
    authority = _authority(child)
    subject_identifier = _subject_identifier(parent)
    if authority.key_identifier and subject_identifier:
        return authority.key_identifier == subject_identifier
    if authority.serial:
        return (authority.issuer, authority.serial) == (parent.issuer, parent.serial)
    return child.issuer == parent.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class _Authority:
    key_identifier: bytes = b""
    issuer: bytes = b""
    serial: bytes = b""


def _authority(certificate: ParsedCertificate) -> _Authority:
    """The authority key identifier (RFC 5280, 4.2.1.1); empty where it says nothing or cannot be read."""
    value = certificate.extensions.get(algorithms.AUTHORITY_KEY_IDENTIFIER, b"")
    parts: dict[int, bytes] = {}
    for field in der.readable_elements(value):
        parts.update((part.tag, part.content) for part in der.readable_elements(field.content))
    names = [name for name in der.readable_elements(parts.get(_ISSUER_TAG, b"")) if name.tag == _DIRECTORY_NAME_TAG]
    serial = parts.get(_SERIAL_TAG, b"")
    return _Authority(
        key_identifier=parts.get(_KEY_IDENTIFIER_TAG, b""),
        issuer=names[0].content if names else b"",
        serial=serial if names else b"",
    )


def _subject_identifier(certificate: ParsedCertificate) -> bytes:
    value = certificate.extensions.get(algorithms.SUBJECT_KEY_IDENTIFIER, b"")
    return next((element.content for element in der.readable_elements(value)), b"")
