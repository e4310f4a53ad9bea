"""The extensions that a signing request asks for.

Their order and encodings are certmonger's, so that a CA which looks closely sees
no difference. Values that cannot be encoded raise `InvalidValue` naming the
setting: a certificate without a name somebody asked for helps nobody.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import Template
from certmongerd.pki import algorithms, der
from certmongerd.pki.issue import Extension

_EMAIL_TAG: Final = 0x81
_DNS_TAG: Final = 0x82
_URI_TAG: Final = 0x86
_IP_TAG: Final = 0x87
_NT_PRINCIPAL: Final = 1
_MS_TEMPLATE: Final = re.compile(r"([0-9.]+):(-?[0-9]{1,10})(?::(-?[0-9]{1,10}))?\Z")
_KEY_USAGE: Final = re.compile(r"[01]{0,9}\Z")


def requested_extensions(template: Template, *, subject_key_identifier: bytes | None = None) -> tuple[Extension, ...]:
    """What *template* asks for; `basicConstraints` is always there, the key identifier when it is given.

    A critical `basicConstraints` says "no CA" outright, because some CAs copy nothing else from a request.
    """
    return tuple(_extensions(template, subject_key_identifier))


def _extensions(template: Template, subject_key_identifier: bytes | None) -> Iterator[Extension]:
    yield from _usages(template)
    constraints = _basic_constraints(template)
    yield Extension.build(algorithms.BASIC_CONSTRAINTS, constraints, critical=True)
    if subject_key_identifier is not None:
        yield Extension.build(algorithms.SUBJECT_KEY_IDENTIFIER, der.octet_string(subject_key_identifier))
    yield from _locations(template)
    if template.ns_comment:
        comment = der.encode(der.IA5_STRING, template.ns_comment.encode())  # certmonger puts UTF-8 here, too
        yield Extension.build(algorithms.NETSCAPE_COMMENT, comment)
    if template.no_ocsp_check:
        yield Extension.build(algorithms.OCSP_NO_CHECK, der.encode(der.NULL))
    if template.profile:
        yield Extension.build(algorithms.MS_CERTIFICATE_TYPE, _text(der.BMP_STRING, template.profile, "profile"))
    if template.certificate_template:
        yield Extension.build(algorithms.MS_CERTIFICATE_TEMPLATE, _ms_template(template.certificate_template))
    if bits := _certtype_bits(template.ns_certtype):
        yield Extension.build(algorithms.NETSCAPE_CERT_TYPE, der.named_bits(bits))


def _usages(template: Template) -> Iterator[Extension]:
    if not _KEY_USAGE.match(template.ku):
        raise InvalidValue(
            "template-ku", f'The key usage "{template.ku}" does not consist of up to nine digits 0 or 1.'
        )
    if "1" in template.ku:
        yield Extension.build(algorithms.KEY_USAGE, der.named_bits(template.ku))
    if names := tuple(_alternative_names(template)):
        yield Extension.build(algorithms.SUBJECT_ALT_NAME, der.sequence(*names))
    if template.eku:
        usages = (_oid(usage, "template-eku") for usage in template.eku)
        yield Extension.build(algorithms.EXTENDED_KEY_USAGE, der.sequence(*usages))


def _basic_constraints(template: Template) -> bytes:
    if not template.is_ca:
        return der.sequence()
    is_ca = der.boolean(True)  # noqa: FBT003 - the value itself
    if template.ca_path_length < 0:
        return der.sequence(is_ca)
    return der.sequence(is_ca, der.integer(template.ca_path_length))


def _locations(template: Template) -> Iterator[Extension]:
    if template.ocsp:
        method = der.oid(algorithms.ACCESS_METHOD_OCSP)
        descriptions = (der.sequence(method, _uri(uri, "template-ocsp")) for uri in template.ocsp)
        yield Extension.build(algorithms.AUTHORITY_INFO_ACCESS, der.sequence(*descriptions))
    if template.crldp:
        points = _distribution_points(template.crldp, "template-crldp")
        yield Extension.build(algorithms.CRL_DISTRIBUTION_POINTS, points)
    if template.freshest_crl:
        points = _distribution_points(template.freshest_crl, "template-freshest-crl")
        yield Extension.build(algorithms.FRESHEST_CRL, points)


def _alternative_names(template: Template) -> Iterator[bytes]:
    for hostname in template.hostname:
        if not hostname.isascii():
            raise InvalidValue(
                "template-hostname", f'The DNS name "{hostname}" has to be given in its ASCII form (xn--…).'
            )
        yield der.encode(_DNS_TAG, hostname.encode("ascii"))
    for email in template.email:
        if not email.isascii():
            raise InvalidValue("template-email", f'The mail address "{email}" may contain only ASCII characters.')
        yield der.encode(_EMAIL_TAG, email.encode("ascii"))
    for principal in template.principal:
        yield from _principal_names(principal)
    for address in template.ip_address:
        try:
            yield der.encode(_IP_TAG, ipaddress.ip_address(address).packed)
        except ValueError:
            raise InvalidValue("template-ip-address", f'"{address}" is not an IP address.') from None


def _principal_names(principal: str) -> Iterator[bytes]:
    """An MS UPN, and the Kerberos name when there is exactly one unescaped `@`."""
    upn = _text(der.UTF8_STRING, principal, "principal")
    yield der.context(0, der.oid(algorithms.MS_UPN), der.context(0, upn))
    parts = _split_principal(principal)
    if parts is not None:
        components, realm = parts
        strings = (der.encode(der.GENERAL_STRING, component.encode()) for component in components)
        name = der.sequence(der.context(0, der.integer(_NT_PRINCIPAL)), der.context(1, der.sequence(*strings)))
        value = der.sequence(der.context(0, der.encode(der.GENERAL_STRING, realm.encode())), der.context(1, name))
        yield der.context(0, der.oid(algorithms.KRB5_PRINCIPAL_NAME), der.context(0, value))


def _split_principal(principal: str) -> tuple[list[str], str] | None:
    """Components and realm; a backslash takes the meaning from the character behind it."""
    fields = [""]
    separators = ""
    characters = iter(principal)
    for char in characters:
        if char == "\\":
            fields[-1] += next(characters, "")
        elif char == "@" or (char == "/" and "@" not in separators):
            separators += char
            fields.append("")
        else:
            fields[-1] += char
    return (fields[:-1], fields[-1]) if separators.count("@") == 1 else None


def _distribution_points(uris: Iterable[str], what: str) -> bytes:
    return der.sequence(*(der.sequence(der.context(0, der.context(0, _uri(uri, what)))) for uri in uris))


def _uri(uri: str, what: str) -> bytes:
    if not uri.isascii():
        raise InvalidValue(what, f'The URI "{uri}" may contain only ASCII characters.')
    return der.encode(_URI_TAG, uri.encode("ascii"))


def _oid(dotted: str, what: str) -> bytes:
    try:
        return der.oid(dotted)
    except der.DerError as exc:
        raise InvalidValue(what, f'"{dotted}" is not an object identifier.') from exc


def _text(tag: int, value: str, what: str) -> bytes:
    try:
        return der.text(tag, value)
    except der.DerError as exc:
        raise InvalidValue(f"template-{what}", f'The {what} "{value!r}" cannot be encoded.') from exc


def _ms_template(specifier: str) -> bytes:
    """Template OID and version (MS-WCCE, 2.2.2.7.7.2)."""
    match = _MS_TEMPLATE.match(specifier)
    if match is None:
        raise InvalidValue(
            "template-ms-certificate-template", f'"{specifier}" is not of the form OID:MAJOR-VERSION[:MINOR-VERSION].'
        )
    oid = _oid(match[1], "template-ms-certificate-template")
    return der.sequence(oid, *(der.integer(int(version)) for version in match.groups()[1:] if version))


def _certtype_bits(words: str) -> str:
    wanted = {word.strip().lower() for word in words.split(",")}
    bits = "".join("1" if word.lower() in wanted else "0" for word in algorithms.NETSCAPE_CERT_TYPES)
    return bits.rstrip("0")
