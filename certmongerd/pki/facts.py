"""What the daemon remembers of a certificate, read leniently: what cannot be understood is left out."""

import ipaddress
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import CertificateFacts
from certmongerd.pki import algorithms, der
from certmongerd.pki.der import DerError, Element
from certmongerd.pki.names import format_name
from certmongerd.pki.parsed import ParsedCertificate

logger = logging.getLogger(__name__)

_URI_TAG: Final = 0x86

_UNLIMITED: Final = -2


def read_facts(certificate: ParsedCertificate) -> CertificateFacts:
    """Facts of *certificate*; what cannot be read keeps its default."""
    facts = CertificateFacts(
        issuer_der=certificate.issuer,
        issuer=_name_text(certificate.issuer),
        serial=certificate.serial.hex().upper(),
        subject_der=certificate.subject,
        subject=_name_text(certificate.subject),
        spki=certificate.spki,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
    )
    for oid, value in certificate.extensions.items():
        reader = _READERS.get(oid)
        if reader is None:
            continue
        try:
            facts = reader(facts, der.decode(value))
        except (ValueError, IndexError) as exc:
            logger.debug("Extension %s is left out: %s", oid, exc)
    return facts


def _name_text(name: bytes) -> str:
    try:
        return format_name(name)
    except InvalidValue as exc:
        logger.debug("A name is shown as nothing: %s", exc)
        return ""


def _with_alternative_names(facts: CertificateFacts, value: Element) -> CertificateFacts:
    hostname: list[str] = []
    email: list[str] = []
    principal: list[str] = []
    ip_address: list[str] = []
    for name in value.children():
        try:
            match name.tag:
                case 0x82:  # dNSName
                    hostname += _texts(name.content)
                case 0x81:  # rfc822Name
                    email += _texts(name.content)
                case 0x87:  # iPAddress
                    ip_address.append(str(ipaddress.ip_address(name.content)))
                case 0xA0:  # otherName
                    principal += _principals(name)
                case _:
                    continue
        except (ValueError, IndexError) as exc:
            logger.debug("A subject alternative name is left out: %s", exc)
    return replace(
        facts,
        hostname=tuple(hostname),
        email=tuple(email),
        principal=tuple(dict.fromkeys(principal)),
        ip_address=tuple(ip_address),
    )


def _texts(content: bytes) -> list[str]:
    """The text, unless it is empty or has control characters, which neither the bus nor a state file can carry."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return [text] if text and not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text) else []


def _principals(name: Element) -> list[str]:
    kind, wrapped = name.children()
    value = der.decode(wrapped.content)
    match der.read_oid(kind):
        case algorithms.MS_UPN:
            return _texts(value.content)
        case algorithms.KRB5_PRINCIPAL_NAME:
            realm, principal_name = value.children()
            _name_type, strings = der.decode(principal_name.content).children()
            components = [_escaped(part.content) for part in der.decode(strings.content).children()]
            return _texts(f"{'/'.join(components)}@{_escaped(der.decode(realm.content).content)}".encode())
        case _:
            return []


def _escaped(content: bytes) -> str:
    text = content.decode("utf-8", "replace")
    return "".join("\\" + char if char in "\\/@" else char for char in text)


def _with_key_usage(facts: CertificateFacts, value: Element) -> CertificateFacts:
    return replace(facts, ku=der.read_bits(value))


def _with_extended_key_usage(facts: CertificateFacts, value: Element) -> CertificateFacts:
    return replace(facts, eku=tuple(der.read_oid(usage) for usage in value.children()))


def _with_basic_constraints(facts: CertificateFacts, value: Element) -> CertificateFacts:
    parts = value.children()
    is_ca = bool(parts) and parts[0].tag == der.BOOLEAN and any(parts[0].content)
    if not is_ca:
        return facts
    path_length = der.read_integer(parts[1]) if len(parts) > 1 else _UNLIMITED
    if not _UNLIMITED <= path_length < 2**31:
        raise DerError("a path length has to be small")
    return replace(facts, is_ca=True, ca_path_length=path_length)


def _with_crldp(facts: CertificateFacts, value: Element) -> CertificateFacts:
    return replace(facts, crldp=_distribution_points(value))


def _with_freshest_crl(facts: CertificateFacts, value: Element) -> CertificateFacts:
    return replace(facts, freshest_crl=_distribution_points(value))


def _distribution_points(value: Element) -> tuple[str, ...]:
    uris: list[str] = []
    for point in value.children():
        for part in point.children():
            if part.tag == 0xA0:  # distributionPoint
                for full_name in (choice for choice in part.children() if choice.tag == 0xA0):
                    uris += _uris(full_name.children())
    return tuple(uris)


def _uris(names: tuple[Element, ...]) -> list[str]:
    return [text for name in names if name.tag == _URI_TAG for text in _texts(name.content)]


def _with_ocsp(facts: CertificateFacts, value: Element) -> CertificateFacts:
    uris: list[str] = []
    for description in value.children():
        method, location = description.children()
        if der.read_oid(method) == algorithms.ACCESS_METHOD_OCSP:
            uris += _uris((location,))
    return replace(facts, ocsp=tuple(uris))


def _with_ns_comment(facts: CertificateFacts, value: Element) -> CertificateFacts:
    return replace(facts, ns_comment="".join(_texts(value.content)))


def _with_profile(facts: CertificateFacts, value: Element) -> CertificateFacts:
    return replace(facts, profile="".join(_texts(der.read_text(value).encode())))


def _with_no_ocsp_check(facts: CertificateFacts, _value: Element) -> CertificateFacts:
    return replace(facts, no_ocsp_check=True)


def _with_ns_certtype(facts: CertificateFacts, value: Element) -> CertificateFacts:
    words = zip(der.read_bits(value), algorithms.NETSCAPE_CERT_TYPES, strict=False)
    return replace(facts, ns_certtype=",".join(word for bit, word in words if bit == "1"))


_READERS: Final[Mapping[str, Callable[[CertificateFacts, Element], CertificateFacts]]] = {
    algorithms.SUBJECT_ALT_NAME: _with_alternative_names,
    algorithms.KEY_USAGE: _with_key_usage,
    algorithms.EXTENDED_KEY_USAGE: _with_extended_key_usage,
    algorithms.BASIC_CONSTRAINTS: _with_basic_constraints,
    algorithms.CRL_DISTRIBUTION_POINTS: _with_crldp,
    algorithms.FRESHEST_CRL: _with_freshest_crl,
    algorithms.AUTHORITY_INFO_ACCESS: _with_ocsp,
    algorithms.NETSCAPE_COMMENT: _with_ns_comment,
    algorithms.NETSCAPE_CERT_TYPE: _with_ns_certtype,
    algorithms.MS_CERTIFICATE_TYPE: _with_profile,
    algorithms.OCSP_NO_CHECK: _with_no_ocsp_check,
}
