"""Lists of certificates with nicknames, and bare public keys, as state files spell them. No I/O."""

import re
from typing import Final

from certmongerd.core.model import NamedCertificate
from certmongerd.store.values import HEX, Codec, escape, read_pem, unescape

_BEGIN: Final = "-----BEGIN "
_END: Final = "-----END "
_LINE_BREAKS: Final = re.compile(r"[\r\n]+")


def read_certificates(text: str) -> tuple[NamedCertificate, ...]:
    """The certificates of *text*: each a line with its nickname, then its PEM lines.

    A certificate without nickname line gets an empty nickname; text outside that form is dropped.
    """
    certificates: list[NamedCertificate] = []
    nickname = ""
    block: list[str] | None = None
    for line in read_pem(text).split("\n"):
        if block is None:
            if line.startswith(_BEGIN):
                block = [line]
            elif line:
                nickname = unescape(_LINE_BREAKS.sub(" ", line))
            continue
        block.append(line)
        if line.startswith(_END):
            certificates.append(NamedCertificate(nickname=nickname, pem="\n".join(block) + "\n"))
            nickname, block = "", None
    return tuple(certificates)


def write_certificates(certificates: tuple[NamedCertificate, ...]) -> str:
    """The inverse of `read_certificates`; line breaks in nicknames become blanks."""
    return "\n".join([f"{_nickname_line(item.nickname)}\n{read_pem(item.pem)[:-1]}" for item in certificates])


def _nickname_line(nickname: str) -> str:
    line = escape(_LINE_BREAKS.sub(" ", nickname))
    return "\\" + line if line.startswith(_BEGIN) else line


CERTIFICATES: Final = Codec(read_certificates, write_certificates, is_block=True)


def _ignore(text: str) -> bytes:
    return b""


def bare_public_key(spki: bytes) -> bytes:
    """The content of the BIT STRING in a DER SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).

    That is an RSAPublicKey or an EC point. Empty when *spki* has another form.
    """
    content = _content(spki, 0, 0x30)
    if content is None:
        return b""
    algorithm = _content(spki, content[0], 0x30)
    bits = _content(spki, algorithm[1], 0x03) if algorithm is not None else None
    if bits is None or bits[1] != content[1] or spki[bits[0] : bits[0] + 1] != b"\0":
        return b""
    return spki[bits[0] + 1 : bits[1]]


def _content(der: bytes, offset: int, tag: int) -> tuple[int, int] | None:
    """Where the content of the DER element at *offset* starts and ends; None unless it has *tag*."""
    if len(der) < offset + 2 or der[offset] != tag:
        return None
    length, start = der[offset + 1], offset + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(der[start : start + count]), start + count
    return (start, start + length) if start + length <= len(der) else None


def _write_bare_key(spki: bytes) -> str:
    return HEX.write(bare_public_key(spki))


BARE_PUBLIC_KEY: Final = Codec(_ignore, _write_bare_key)
"""Written from a SubjectPublicKeyInfo; never read, because certmonger fills it with stray memory."""
