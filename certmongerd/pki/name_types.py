"""Attribute types of distinguished names: what they are called, and which string type their values take."""

import re
from collections.abc import Mapping
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der

SHOWN: Final[Mapping[str, str]] = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.15": "businessCategory",
    "2.5.4.16": "postalAddress",
    "2.5.4.17": "postalCode",
    "2.5.4.41": "name",
    "2.5.4.42": "givenName",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "1.2.840.113549.1.9.1": "E",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.3": "MAIL",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.3.6.1.4.1.311.60.2.1.1": "incorporationLocality",
    "1.3.6.1.4.1.311.60.2.1.2": "incorporationState",
    "1.3.6.1.4.1.311.60.2.1.3": "incorporationCountry",
}
"""Attribute types that are shown by name; the others as `OID.` and the number."""

_ALSO_TYPED: Final[Mapping[str, str]] = {
    "commonname": "2.5.4.3",
    "surname": "2.5.4.4",
    "countryname": "2.5.4.6",
    "localityname": "2.5.4.7",
    "s": "2.5.4.8",
    "stateorprovincename": "2.5.4.8",
    "streetaddress": "2.5.4.9",
    "organizationname": "2.5.4.10",
    "organizationalunitname": "2.5.4.11",
    "t": "2.5.4.12",
    "description": "2.5.4.13",
    "telephonenumber": "2.5.4.20",
    "gn": "2.5.4.42",
    "dnq": "2.5.4.46",
    "organizationidentifier": "2.5.4.97",
    "email": "1.2.840.113549.1.9.1",
    "emailaddress": "1.2.840.113549.1.9.1",
    "unstructuredname": "1.2.840.113549.1.9.2",
    "unstructuredaddress": "1.2.840.113549.1.9.8",
    "userid": "0.9.2342.19200300.100.1.1",
    "domaincomponent": "0.9.2342.19200300.100.1.25",
}
TYPED: Final[Mapping[str, str]] = {**{name.lower(): oid for oid, name in SHOWN.items()}, **_ALSO_TYPED}
"""Object identifiers by what may be typed, in lower case."""

_IA5_TYPES: Final = {"1.2.840.113549.1.9.1", "1.2.840.113549.1.9.2", "0.9.2342.19200300.100.1.25"}
_PRINTABLE_TYPES: Final = {"2.5.4.3", "2.5.4.5", "2.5.4.6", "2.5.4.20", "2.5.4.46", "1.3.6.1.4.1.311.60.2.1.3"}
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*\Z")


def fits_printable_string(value: str) -> bool:
    """Whether *value* keeps to the character set of PrintableString (X.680, 41.4)."""
    return _PRINTABLE.match(value) is not None


def attribute_string(oid: str, value: str) -> bytes:
    """Value of a typed attribute: IA5String or PrintableString where they are customary and fit, else UTF8String."""
    if oid in _IA5_TYPES and value.isascii():
        return der.text(der.IA5_STRING, value)
    if oid in _PRINTABLE_TYPES and fits_printable_string(value):
        return der.text(der.PRINTABLE_STRING, value)
    try:
        return der.text(der.UTF8_STRING, value)
    except der.DerError as exc:
        raise InvalidValue("template-subject", f"The subject name cannot be encoded: {exc}") from exc
