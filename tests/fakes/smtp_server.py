"""An SMTP server (RFC 5321) with AUTH PLAIN and, where it has a certificate, STARTTLS or TLS from the start."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class SmtpServer:
    """Takes one message after another and remembers what was said."""

    refused_recipient: str = ""
    password: str = ""
    """Of the user `u`; empty means that nobody has to log in."""
    starttls: ssl.SSLContext | None = None
    said: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    was_encrypted: bool = False
    port: int = 0

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["SmtpServer"]:
        """Listen on a free port of the loopback interface."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.was_encrypted = writer.get_extra_info("ssl_object") is not None
        try:
            await self._answer(writer, "220 test ESMTP")
            while line := (await reader.readline()).decode().strip():
                self.said.append(line)
                if not await self._obey(line, reader, writer):
                    break
        except (ConnectionError, ssl.SSLError):
            pass  # a client that does not like the certificate hangs up
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, *lines: str) -> None:
        writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await writer.drain()

    async def _obey(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        verb = line.split()[0].upper()
        match verb:
            case "EHLO":
                tls = ["250-STARTTLS"] if self.starttls and not self.was_encrypted else []
                await self._answer(writer, "250-test", *tls, "250-AUTH PLAIN", "250 8BITMIME")
            case "STARTTLS":
                assert self.starttls is not None
                await self._answer(writer, "220 go ahead")
                await writer.start_tls(self.starttls)
                self.was_encrypted = True
            case "AUTH":
                expected = base64.b64encode(f"\0u\0{self.password}".encode()).decode()
                is_right = line.split()[-1] == expected
                await self._answer(writer, "235 welcome" if is_right else "535 go away")
            case "RCPT" if self.refused_recipient and self.refused_recipient in line:
                await self._answer(writer, "550 nobody is called that")
            case "DATA":
                await self._answer(writer, "354 go ahead")
                data = await reader.readuntil(b"\r\n.\r\n")
                self.messages.append(data[:-3])
                await self._answer(writer, "250 taken")
            case "QUIT":
                await self._answer(writer, "221 bye")
                return False
            case _:
                await self._answer(writer, "250 yes")
        return True
