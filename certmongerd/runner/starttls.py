"""Has a service begin TLS that speaks another protocol first.

What it says before TLS is not protected, and serves for nothing but to get there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from certmongerd.core.deployment import Opening
from certmongerd.core.errors import CertmongerError

_LONGEST_SHOWN: Final = 200
_LONGEST_MESSAGE: Final = 1 << 16
_LDAP_START_TLS: Final = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"
"""LDAPMessage with ID 1: an ExtendedRequest (RFC 4511, section 4.14.1)."""
_LDAP_EXTENDED_RESPONSE: Final = 0x78
_POSTGRES_SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""SSLRequest (PostgreSQL frontend/backend protocol 3.0)."""


class StartTlsFailed(CertmongerError):
    """The service does not begin TLS."""


async def open_tls(opening: Opening, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lead the conversation to the point where the next bytes are TLS. Raises StartTlsFailed, OSError."""
    try:
        await _CONVERSATIONS[opening](reader, writer)
    except asyncio.IncompleteReadError:
        raise StartTlsFailed("hung up before TLS began.") from None
    except (ValueError, asyncio.LimitOverrunError):
        raise StartTlsFailed(f"does not speak {opening.value}.") from None


async def _nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """TLS begins with the first byte."""


async def _smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 3207."""
    await _expect_smtp(reader, "220")
    writer.write(b"EHLO localhost\r\n")
    await _expect_smtp(reader, "250")
    writer.write(b"STARTTLS\r\n")
    await _expect_smtp(reader, "220")


async def _expect_smtp(reader: asyncio.StreamReader, code: str) -> None:
    while True:
        line = await _line(reader)
        if not line.startswith(code):
            raise _refusal(line)
        if line[3:4] != "-":
            return


async def _imap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 9051, section 6.2.1."""
    greeting = await _line(reader)
    if not greeting.upper().startswith("* OK"):
        raise _refusal(greeting)
    writer.write(b"c STARTTLS\r\n")
    while (line := await _line(reader)).startswith("*"):
        pass
    if not line.upper().startswith("C OK"):
        raise _refusal(line)


async def _pop3(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 2595, section 4."""
    for command in (b"STLS\r\n", b""):
        line = await _line(reader)
        if not line.startswith("+OK"):
            raise _refusal(line)
        writer.write(command)


async def _ldap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 4511, section 4.14."""
    writer.write(_LDAP_START_TLS)
    tag, message = await _ber_element(reader)
    _, _, rest = _split_element(message)  # the message's ID
    operation, response, _ = _split_element(rest)
    if tag != 0x30 or operation != _LDAP_EXTENDED_RESPONSE:
        raise StartTlsFailed("does not speak ldap.")
    _, result, rest = _split_element(response)
    code = int.from_bytes(result, "big")
    if code:
        _, _, rest = _split_element(rest)  # the name that matched
        _, text, _ = _split_element(rest)
        raise _refusal(f"LDAP result {code} {text.decode('utf-8', 'replace')}")


async def _ber_element(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    tag, length = await reader.readexactly(2)
    if length & 0x80:
        length = int.from_bytes(await reader.readexactly(length & 0x7F), "big")
    if length > _LONGEST_MESSAGE:
        raise ValueError("no LDAP message of this kind is so long")
    return tag, await reader.readexactly(length)


def _split_element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first BER element with a one-byte tag, and what follows it. Raises ValueError."""
    if len(data) < 2:
        raise ValueError("a BER element is missing")
    start, length = 2, data[1]
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        raise ValueError("a BER element is cut off")
    return data[0], data[start : start + length], data[start + length :]


async def _postgres(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_POSTGRES_SSL_REQUEST)
    if await reader.readexactly(1) != b"S":
        raise StartTlsFailed("does not offer TLS.")


async def _line(reader: asyncio.StreamReader) -> str:
    """One line without its end. Raises IncompleteReadError, LimitOverrunError."""
    return (await reader.readuntil(b"\n")).decode("utf-8", "replace").rstrip("\r\n")


def _refusal(line: str) -> StartTlsFailed:
    said = "".join(c if c.isprintable() else "�" for c in line)[:_LONGEST_SHOWN]
    return StartTlsFailed(f"does not begin TLS: {said}")


_Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_CONVERSATIONS: Final[Mapping[Opening, _Conversation]] = {
    Opening.TLS: _nothing,
    Opening.SMTP: _smtp,
    Opening.IMAP: _imap,
    Opening.POP3: _pop3,
    Opening.LDAP: _ldap,
    Opening.POSTGRES: _postgres,
}
