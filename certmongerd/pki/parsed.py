"""Certificates taken apart without a library's judgement.

Some certificates in use break the rules: certmonger itself put `*` and `_` into
PrintableStrings, and pyca's parser refuses the whole certificate for it. Such a
certificate still has to be monitored, renewed and stored.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.der import DerError, Element

logger = logging.getLogger(__name__)

_VERSION_TAG: Final = 0xA0
_EXTENSIONS_TAG: Final = 0xA3


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCertificate:
    """The parts of a certificate (RFC 5280, 4.1) with their own bytes; names, key and extensions are not judged."""

    encoded: bytes
    """DER of the whole."""
    serial: bytes
    """Content octets of the INTEGER."""
    issuer: bytes
    """DER Name."""
    not_before: datetime | None
    """None when it is not readable."""
    not_after: datetime | None
    subject: bytes
    """DER Name."""
    spki: bytes
    extensions: Mapping[str, bytes]
    """Value of each readable extension by OID; of a repeated one the first."""

    @classmethod
    def read(cls, encoded: bytes) -> "ParsedCertificate":
        """Take a DER certificate apart; `InvalidValue` when even its outline is wrong."""
        return _take_apart(encoded)

    @property
    def not_valid_after_utc(self) -> datetime:
        """End of the validity; `InvalidValue` when it is not readable."""
        if self.not_after is None:
            raise InvalidValue("certificate", "The end of the certificate's validity cannot be read.")
        return self.not_after


@lru_cache(maxsize=8)  # whoever signs, stores or shows a certificate asks for its parts several times
def _take_apart(encoded: bytes) -> ParsedCertificate:
    try:
        parts = list(der.decode(encoded, der.SEQUENCE).children()[0].children())
        if parts[0].tag == _VERSION_TAG:
            del parts[0]
        serial, _signature, issuer, validity, subject, spki, *optional = parts
        start, end = validity.children()
        for element in (issuer, subject, spki):
            element.children()
    except (ValueError, IndexError) as exc:
        raise InvalidValue("certificate", f"The certificate cannot be read: {exc}") from exc
    return ParsedCertificate(
        encoded=encoded,
        serial=serial.content,
        issuer=issuer.encoded,
        not_before=_time(start),
        not_after=_time(end),
        subject=subject.encoded,
        spki=spki.encoded,
        extensions=MappingProxyType(dict(reversed(list(_extensions(optional))))),
    )


def _extensions(optional: list[Element]) -> Iterator[tuple[str, bytes]]:
    for field in optional:
        if field.tag == _EXTENSIONS_TAG:
            for extension in der.readable_elements(b"".join(e.content for e in der.readable_elements(field.content))):
                parts = tuple(der.readable_elements(extension.content))
                if len(parts) in (2, 3) and parts[-1].tag == der.OCTET_STRING:
                    try:
                        yield der.read_oid(parts[0]), parts[-1].content
                    except DerError as exc:
                        logger.debug("An extension is left out: %s", exc)


def _time(element: Element) -> datetime | None:
    """UTCTime or GeneralizedTime in UTC, with or without seconds; None for anything else."""
    digits = element.content.decode("latin-1").removesuffix("Z")
    if not digits.isascii() or not digits.isdigit():
        return None
    if element.tag == der.UTC_TIME:
        digits = ("20" if digits < "50" else "19") + digits
    if len(digits) == 12:
        digits += "00"
    if len(digits) != 14:
        return None
    month, day, hour, minute, second = (int(digits[place : place + 2]) for place in range(4, 14, 2))
    try:
        return datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
