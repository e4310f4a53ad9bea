"""Reading distinguished names as people type them."""

import re
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.name_types import TYPED, attribute_string

_DOTTED: Final = re.compile(r"(?i:OID\.)?([0-9]+(?:\.[0-9]+)+)\Z")
_BLANKS: Final = (" ", "\t", "\r", "\n")
"""What is trimmed; other white space may be meant."""


class NameReader:
    """Reads `type=value` pairs; the position is always at the next unread character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rdns(self) -> list[list[tuple[str, bytes]]]:
        """OID and encoded value of each pair, RDN by RDN, in the order of the text."""
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
        word = self._text[self._at : equals if equals >= 0 else None].strip("".join(_BLANKS))
        if equals < 0:
            raise self._refuse(f'"{word}" is no type=value pair (a comma inside a value needs a backslash)')
        self._at = equals + 1
        oid = self._type(word)
        self._skip_blanks()
        rest = self._text[self._at :]
        if rest.startswith("#"):
            return oid, self._hexadecimal()
        return oid, attribute_string(oid, self._quoted() if rest.startswith('"') else self._plain())

    def _type(self, word: str) -> str:
        if word.lower() in TYPED:
            return TYPED[word.lower()]
        dotted = _DOTTED.match(word)
        if dotted is None:
            raise self._refuse(f'"{word}" is not a known attribute type')
        try:
            der.oid(dotted[1])
        except der.DerError as exc:
            raise self._refuse(str(exc)) from exc
        return dotted[1]

    def _skip_blanks(self) -> None:
        while self._text[self._at : self._at + 1] in _BLANKS:
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
            if is_escaped or self._text[self._at - 1] not in _BLANKS:
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
