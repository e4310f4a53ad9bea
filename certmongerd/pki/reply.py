"""What enrolment helpers print: issued certificates and CA certificates, in all accepted forms."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from certmongerd.core.errors import InvalidValue, RemoteProtocolError
from certmongerd.core.model import NamedCertificate
from certmongerd.pki.certs import (
    ParsedCertificate,
    is_certificate_label,
    parse_certificate,
    parse_der_certificate,
    to_pem,
)
from certmongerd.pki.chains import order_bag
from certmongerd.pki.pem import pem_blocks
from certmongerd.pki.pkcs7 import certificates_of, is_enveloped_data, is_signed_data

logger = logging.getLogger(__name__)

_PKCS7_LABELS: Final = frozenset({"PKCS7", "CMS", "PKCS #7 SIGNED DATA"})


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCertificates:
    """A certificate and what came with it."""

    certificate: str
    """PEM."""
    chain: tuple[NamedCertificate, ...] = ()
    """Kept beside the certificate; not trusted for anything."""
    roots: tuple[NamedCertificate, ...] = ()
    """Trust anchors; only a JSON reply names any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopedReply:
    """An encrypted reply, which only the request's key opens."""

    der: bytes
    """ContentInfo with EnvelopedData; may be BER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootLists:
    """A CA's certificates."""

    roots: tuple[NamedCertificate, ...] = ()
    other_roots: tuple[NamedCertificate, ...] = ()
    others: tuple[NamedCertificate, ...] = ()
    """Intermediates, which are not trusted by themselves."""


def parse_issued(output: bytes) -> IssuedCertificates | EnvelopedReply:
    """Read the output of a helper that issued a certificate.

    PEM with text around it, DER, several certificates in any order, PKCS #7 (PEM or DER), or one JSON object.
    `RemoteProtocolError` when there is no certificate in it, or a malformed one.
    """
    try:
        text = output.decode("utf-8", "replace").strip("\ufeff \t\r\n")
        if text.startswith("{"):
            return _issued_from_object(_json_object(text))
        is_der = output[:1] == b"\x30" and b"-----BEGIN " not in output  # text may begin with the digit 0, too
        found = _certificates_in_der(output) if is_der else _certificates_in_text(text)
        if isinstance(found, EnvelopedReply):
            return found
        leaf, others = _leaf_and_others(found)
    except InvalidValue as exc:
        raise RemoteProtocolError(exc.reason) from exc
    return IssuedCertificates(certificate=leaf, chain=_named(others, "chain #"))


def _leaf_and_others(found: list[ParsedCertificate]) -> tuple[str, list[str]]:
    if not found:
        raise RemoteProtocolError("There is no certificate in it.")
    ordered = order_bag(found)
    return to_pem(ordered.leaf), [to_pem(certificate) for certificate in ordered.chain]


def _named(pems: list[str], prefix: str) -> tuple[NamedCertificate, ...]:
    return tuple(NamedCertificate(nickname=f"{prefix}{number}", pem=pem) for number, pem in enumerate(pems, 1))


def _certificates_in_der(output: bytes) -> list[ParsedCertificate] | EnvelopedReply:
    if is_enveloped_data(output):
        return EnvelopedReply(der=output)
    if is_signed_data(output):
        return list(certificates_of(output))
    return [parse_der_certificate(output)]


def _certificates_in_text(text: str) -> list[ParsedCertificate] | EnvelopedReply:
    found: list[ParsedCertificate] = []
    for block in pem_blocks(text):
        if is_certificate_label(block.label):
            found.append(parse_der_certificate(block.der))
        elif block.label in _PKCS7_LABELS:
            inside = _certificates_in_der(block.der)
            if isinstance(inside, EnvelopedReply):
                return inside
            found += inside
    return found


def _json_object(text: str) -> dict[str, object]:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"It begins like a JSON object, but is none: {exc}") from exc
    if not isinstance(value, dict):
        raise RemoteProtocolError("It is no JSON object.")
    return value


def _issued_from_object(reply: dict[str, object]) -> IssuedCertificates:
    certificate = reply.get("certificate")
    if not isinstance(certificate, str):
        raise RemoteProtocolError('The JSON object has no text "certificate".')
    found = _certificates_in_text(certificate)
    if isinstance(found, EnvelopedReply):
        raise RemoteProtocolError('The JSON member "certificate" is encrypted, which is not supported.')
    leaf, beside = _leaf_and_others(found)
    return IssuedCertificates(
        certificate=leaf,
        chain=(*_named(beside, "chain #0."), *_members(reply.get("chain"), "chain #")),
        roots=tuple(_members(reply.get("roots"), "root #")),
    )


def _members(value: object, prefix: str) -> Iterator[NamedCertificate]:
    """Array members with a text `certificate`; anything else is ignored. Nicknames are made up where missing."""
    for number, member in enumerate(value if isinstance(value, list) else [], 1):
        if isinstance(member, dict) and isinstance(pem := member.get("certificate"), str):
            nickname = _one_line(member.get("nickname")) or f"{prefix}{number}"
            yield NamedCertificate(nickname=nickname, pem=to_pem(parse_certificate(pem)))


def _one_line(nickname: object) -> str:
    """A nickname that fits the line it gets in the state file."""
    return " ".join(nickname.split()) if isinstance(nickname, str) else ""


def parse_roots(output: bytes) -> RootLists:
    """Read a helper's list of CA certificates: text (nickname line and PEM, lists separated by blank lines) or JSON.

    Two blank lines stand for an empty list between them. Empty output means that there are none.
    `RemoteProtocolError` when the output does not have this form; then nothing of it should be used.
    """
    text = output.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        if text.lstrip().startswith("{"):
            return _roots_from_object(_json_object(text))
        lists = _root_lists(text.splitlines())
    except InvalidValue as exc:
        raise RemoteProtocolError(exc.reason) from exc
    return RootLists(roots=tuple(lists[0]), other_roots=tuple(lists[1]), others=tuple(lists[2]))


def _roots_from_object(reply: dict[str, object]) -> RootLists:
    lists = [tuple(_fully_named(reply.get(key))) for key in ("roots", "other-roots", "other")]
    return RootLists(roots=lists[0], other_roots=lists[1], others=lists[2])


def _fully_named(value: object) -> Iterator[NamedCertificate]:
    for member in value if isinstance(value, list) else []:
        if not isinstance(member, dict):
            continue
        pem, nickname = member.get("certificate"), _one_line(member.get("nickname"))
        if isinstance(pem, str) and nickname:
            yield NamedCertificate(nickname=nickname, pem=to_pem(parse_certificate(pem)))
        else:
            logger.warning("A CA certificate without nickname or certificate is left out")


def _root_lists(lines: list[str]) -> list[list[NamedCertificate]]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    lists: list[list[NamedCertificate]] = [[], [], []]
    current = 0
    rest = iter(lines)
    for line in rest:
        if not line.strip():
            current += 1
        if current >= len(lists) or (current > 0 and not lists[0]):
            raise RemoteProtocolError("The list of CA certificates has a blank line where none belongs.")
        if not line.strip():
            continue
        if line.startswith("-----"):
            raise RemoteProtocolError("A CA certificate has no line with a nickname before it.")
        lists[current].append(NamedCertificate(nickname=_one_line(line), pem=_next_pem(rest)))
    return lists


def _next_pem(lines: Iterator[str]) -> str:
    block: list[str] = []
    for line in lines:
        block.append(line)
        if not block[0].startswith("-----BEGIN "):
            raise RemoteProtocolError("A nickname is not followed by a PEM certificate.")
        if line.startswith("-----END "):
            return to_pem(parse_certificate("\n".join(block)))
    raise RemoteProtocolError("The last PEM certificate is not complete.")
