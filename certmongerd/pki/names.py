"""Distinguished names: DER, and the text that people type and read.

Typed text is in DER order (`CN=www,O=Org` puts the CN first); shown text is
the other way round, most specific RDN first, as certmonger has always done.
"""

import re
from collections.abc import Mapping
from typing import Final

from cryptography import x509

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der

_SHOWN: Final[Mapping[str, str]] = {
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
_TYPED: Final[Mapping[str, str]] = {**{name.lower(): oid for oid, name in _SHOWN.items()}, **_ALSO_TYPED}

_IA5_TYPES: Final = {"1.2.840.113549.1.9.1", "1.2.840.113549.1.9.2", "0.9.2342.19200300.100.1.25"}
_PRINTABLE_TYPES: Final = {"2.5.4.3", "2.5.4.5", "2.5.4.6", "2.5.4.20", "2.5.4.46", "1.3.6.1.4.1.311.60.2.1.3"}
_STRING_TAGS: Final = {
    der.UTF8_STRING,
    der.PRINTABLE_STRING,
    der.T61_STRING,
    der.IA5_STRING,
    der.VISIBLE_STRING,
    der.GENERAL_STRING,
    der.UNIVERSAL_STRING,
    der.BMP_STRING,
    0x12,
}
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*\Z")
_DOTTED: Final = re.compile(r"(?i:OID\.)?([0-9]+(?:\.[0-9]+)+)\Z")
_NEEDS_QUOTES: Final = re.compile(r"[,+=<>;#]|  |\A | \Z")


def fits_printable_string(value: str) -> bool:
    """Whether *value* keeps to the character set of PrintableString (X.680, 41.4)."""
    return _PRINTABLE.match(value) is not None


def parse_name(text: str) -> x509.Name:
    """As `encode_name`, for builders of certificates that take the library's Name."""
    return name_from_der(encode_name(text))


def encode_name(text: str) -> bytes:
    """DER Name for a typed subject.

    RDNs are separated by commas and kept in order; `+` joins the values of one RDN. Values follow RFC 4514 or stand
    in quotation marks; attribute types are names or OIDs. Text without any `=` is a common name; empty text is the
    empty Name. Everything else raises `InvalidValue("template-subject", …)`.
    """
    if "=" not in text:
        rdns = [[("2.5.4.3", _string("2.5.4.3", text.strip()))]] if text.strip() else []
    else:
        rdns = _TextReader(text).rdns()
    return der.sequence(*(der.set_of(*(der.sequence(der.oid(oid), value) for oid, value in rdn)) for rdn in rdns))


def name_from_der(name: bytes) -> x509.Name:
    """The library's Name for DER bytes, string types preserved; `InvalidValue` when they are no Name.

    The library has no such constructor, so the name travels in a request that is never signed or used.
    """
    _read_name(name)
    null = der.encode(der.NULL)
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.11"), null)
    spki = der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1"), null), der.bit_string(b""))
    info = der.sequence(der.integer(0), name, spki, der.context(0))
    try:
        return x509.load_der_x509_csr(der.sequence(info, algorithm, der.bit_string(b""))).subject
    except ValueError as exc:
        raise InvalidValue("name", f"The name cannot be used: {exc}") from exc


def format_name(name: x509.Name | bytes) -> str:
    """Text of a Name or its DER, most specific RDN first, values quoted where RFC 1779 wants it.

    Control characters are shown as backslash and two hexadecimal digits an octet; values that are no strings as `#`
    and the hexadecimal DER. `InvalidValue` for bytes that are no Name.
    """
    encoded = name if isinstance(name, bytes) else name.public_bytes()
    rdns = _read_name(encoded)
    return ",".join("+".join(_format_value(oid, value) for oid, value in rdn) for rdn in reversed(rdns))


def _read_name(name: bytes) -> list[list[tuple[str, der.Element]]]:
    try:
        rdns: list[list[tuple[str, der.Element]]] = []
        for rdn in der.decode(name, der.SEQUENCE).children():
            if rdn.tag != der.SET:
                raise der.DerError("an RDN is a SET")
            pairs: list[tuple[str, der.Element]] = []
            for attribute in rdn.children():
                oid, value = attribute.children()
                pairs.append((der.read_oid(oid), value))
            rdns.append(pairs)
    except ValueError as exc:  # DerError is one; so is a wrong number of children
        raise InvalidValue("name", f"The name cannot be read: {exc}") from exc
    return rdns


def _format_value(oid: str, value: der.Element) -> str:
    shown_type = _SHOWN.get(oid) or f"OID.{oid}"
    text = der.read_text(value) if value.tag in _STRING_TAGS else "\N{REPLACEMENT CHARACTER}"
    if "\N{REPLACEMENT CHARACTER}" in text:
        return f"{shown_type}=#{value.encoded.hex().upper()}"
    escaped = "".join(_escape(char) for char in text)
    return f'{shown_type}="{escaped}"' if _NEEDS_QUOTES.search(text) else f"{shown_type}={escaped}"


def _escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or char in "\u2028\u2029":
        return "".join(f"\\{octet:02x}" for octet in char.encode())
    return char


def _string(oid: str, value: str) -> bytes:
    if oid in _IA5_TYPES and value.isascii():
        return der.text(der.IA5_STRING, value)
    if oid in _PRINTABLE_TYPES and fits_printable_string(value):
        return der.text(der.PRINTABLE_STRING, value)
    try:
        return der.text(der.UTF8_STRING, value)
    except der.DerError as exc:
        raise InvalidValue("template-subject", f"The subject name cannot be encoded: {exc}") from exc


class _TextReader:
    """Reads `type=value` pairs; the position is always at the next unread character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rdns(self) -> list[list[tuple[str, bytes]]]:
        rdns = [[self._pair()]]
        while self._at < len(self._text):
            separator = self._text[self._at]
            self._at += 1
            if separator == "+":
                rdns[-1].append(self._pair())
            else:
                rdns.append([self._pair()])
        return rdns

    def _refuse(self, reason: str) -> InvalidValue:
        return InvalidValue("template-subject", f'The subject name "{self._text}" cannot be used: {reason}.')

    def _pair(self) -> tuple[str, bytes]:
        equals = self._text.find("=", self._at)
        word = self._text[self._at : equals if equals >= 0 else None].strip()
        if equals < 0:
            raise self._refuse(f'"{word}" is no type=value pair (a comma inside a value needs a backslash)')
        self._at = equals + 1
        oid = self._type(word)
        self._skip_blanks()
        rest = self._text[self._at :]
        if rest.startswith("#"):
            return oid, self._hexadecimal()
        return oid, _string(oid, self._quoted() if rest.startswith('"') else self._plain())

    def _type(self, word: str) -> str:
        if word.lower() in _TYPED:
            return _TYPED[word.lower()]
        dotted = _DOTTED.match(word)
        if dotted is None:
            raise self._refuse(f'"{word}" is not a known attribute type')
        try:
            der.oid(dotted[1])
        except der.DerError as exc:
            raise self._refuse(str(exc)) from exc
        return dotted[1]

    def _skip_blanks(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1

    def _hexadecimal(self) -> bytes:
        match = re.compile(r"#([0-9A-Fa-f]*)\s*(?=[,+]|\Z)").match(self._text, self._at)
        try:
            if match is None:
                raise ValueError("no hexadecimal digits after #")
            encoded = bytes.fromhex(match[1])
            der.decode(encoded)
        except ValueError as exc:
            raise self._refuse(f"{exc} (a value that begins with # needs quotation marks)") from exc
        self._at = match.end()
        return encoded

    def _quoted(self) -> str:
        self._at += 1
        octets = bytearray()
        while self._text[self._at : self._at + 1] != '"':
            if self._at >= len(self._text):
                raise self._refuse("a quotation mark is not closed")
            octets += self._character()
        self._at += 1
        self._skip_blanks()
        if self._text[self._at : self._at + 1] not in ("", ",", "+"):
            raise self._refuse("text follows a closing quotation mark")
        return self._decoded(octets)

    def _plain(self) -> str:
        octets = bytearray()
        significant = 0
        while self._at < len(self._text) and self._text[self._at] not in ",+":
            if self._text[self._at] == '"':
                raise self._refuse("a quotation mark inside a value needs a backslash")
            is_escaped = self._text[self._at] == "\\"
            octets += self._character()
            if is_escaped or not self._text[self._at - 1].isspace():
                significant = len(octets)
        return self._decoded(octets[:significant])

    def _character(self) -> bytes:
        """One character, escaped or not, as UTF-8; an escaped octet may be part of a character."""
        char = self._text[self._at]
        self._at += 1
        if char != "\\":
            return char.encode("utf-8", "surrogatepass")
        pair = self._text[self._at : self._at + 2]
        if re.fullmatch(r"[0-9A-Fa-f]{2}", pair):
            self._at += 2
            return bytes.fromhex(pair)
        if not pair:
            raise self._refuse("it ends with a backslash")
        self._at += 1
        return pair[0].encode("utf-8", "surrogatepass")

    def _decoded(self, octets: bytes | bytearray) -> str:
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise self._refuse("it is not UTF-8") from exc
