"""Services that speak something else before TLS begins: just enough of each protocol to get there, or to refuse."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

LDAP_OID: Final = b"1.3.6.1.4.1.1466.20037"
PROTOCOLS: Final = ("smtp", "imap", "pop3", "ldap", "postgres")


async def _smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, refuses: bool) -> bool:
    writer.write(b"220-mail.example.org\r\n220 ESMTP\r\n")
    assert (await reader.readline()).startswith(b"EHLO ")
    writer.write(b"250-mail.example.org\r\n250-STARTTLS\r\n250 8BITMIME\r\n")
    assert await reader.readline() == b"STARTTLS\r\n"
    writer.write(b"454 TLS not available\r\n" if refuses else b"220 go ahead\r\n")
    return not refuses


async def _imap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, refuses: bool) -> bool:
    writer.write(b"* OK [CAPABILITY IMAP4rev2 STARTTLS] ready\r\n")
    tag, command = (await reader.readline()).split()
    assert command == b"STARTTLS"
    writer.write(b"* NOTICE of no interest\r\n%s %s\r\n" % (tag, b"BAD no certificate" if refuses else b"OK begin"))
    return not refuses


async def _pop3(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, refuses: bool) -> bool:
    writer.write(b"+OK POP3\r\n")
    assert await reader.readline() == b"STLS\r\n"
    writer.write(b"-ERR no certificate\r\n" if refuses else b"+OK begin\r\n")
    return not refuses


async def _ldap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, refuses: bool) -> bool:
    header = await reader.readexactly(2)
    assert header[0] == 0x30
    assert LDAP_OID in await reader.readexactly(header[1])
    text = b"no certificate" if refuses else b""
    response = b"\x0a\x01%c\x04\x00\x04%c%s" % (52 if refuses else 0, len(text), text)
    # Active Directory writes lengths in this long form.
    message = b"\x02\x01\x01\x78\x84\x00\x00\x00%c%s" % (len(response), response)
    writer.write(b"\x30\x84\x00\x00\x00%c%s" % (len(message), message))
    return not refuses


async def _postgres(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, refuses: bool) -> bool:
    length, code = await reader.readexactly(4), await reader.readexactly(4)
    assert (int.from_bytes(length, "big"), int.from_bytes(code, "big")) == (8, 80877103)
    writer.write(b"N" if refuses else b"S")
    return not refuses


_CONVERSATIONS: Final = {"smtp": _smtp, "imap": _imap, "pop3": _pop3, "ldap": _ldap, "postgres": _postgres}


@asynccontextmanager
async def serving(context: Callable[[], ssl.SSLContext], *, refuses: bool = False) -> AsyncIterator[dict[str, int]]:
    """One service for each protocol, on the loopback interface; their ports. *context* is asked at each connection."""

    async def talk(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await _CONVERSATIONS[name](reader, writer, refuses=refuses):
                await writer.drain()
                await writer.start_tls(context())
        except OSError:  # no certificate yet, or the client has seen enough
            pass
        finally:
            writer.close()

    async with AsyncExitStack() as stack:
        ports = {}
        for name in PROTOCOLS:
            server = await asyncio.start_server(partial(talk, name), "127.0.0.1", 0)
            await stack.enter_async_context(server)
            ports[name] = server.sockets[0].getsockname()[1]
        yield ports


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[int]:
    """A service that says *answer* and hangs up; its port."""

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(answer)
            await writer.drain()
        except OSError:  # the client was faster
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
