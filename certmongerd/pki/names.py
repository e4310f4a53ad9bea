"""Distinguished names: DER, and the text that people type and read.

Typed text is in DER order (`CN=www,O=Org` puts the CN first); shown text is
the other way round, most specific RDN first, as certmonger has always done.
"""

import re
from typing import Final

from cryptography import x509

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.name_reader import NameReader
from certmongerd.pki.name_types import SHOWN, attribute_string, fits_printable_string

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
_NEEDS_QUOTES: Final = re.compile(r"[,+=<>;#]|  |\A | \Z")


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
        common_name = text.strip(" \t\r\n")
        rdns = [[("2.5.4.3", attribute_string("2.5.4.3", common_name))]] if common_name else []
    else:
        rdns = NameReader(text).rdns()
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


def repaired_name(name: bytes) -> bytes:
    """*name* with each PrintableString that holds other characters (`*`, `_`, `@`) turned into a UTF8String.

    certmonger has requested such names, CAs have issued them, and strict CAs refuse to see them again. Names are
    compared without regard to the string type (RFC 5280, section 7.1). `InvalidValue` when *name* is no Name.
    """
    return der.sequence(
        *(
            der.set_of(*(der.sequence(der.oid(oid), _repaired_value(value)) for oid, value in rdn))
            for rdn in _read_name(name)
        )
    )


def _repaired_value(value: der.Element) -> bytes:
    if value.tag != der.PRINTABLE_STRING:
        return value.encoded
    text = _decoded(value)
    return value.encoded if fits_printable_string(text) else der.text(der.UTF8_STRING, text)


def _decoded(value: der.Element) -> str:
    """Text of a PrintableString that may hold anything, UTF-8 most likely."""
    try:
        return value.content.decode("utf-8")
    except UnicodeDecodeError:
        return der.read_text(value)


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
    shown_type = SHOWN.get(oid) or f"OID.{oid}"
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
