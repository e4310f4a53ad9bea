"""http-01 (RFC 8555, section 8.3): files below a web server's root, or a listener of our own."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certmonger_helpers.acme.account import locked
from certmonger_helpers.acme.challenges import Challenge
from certmonger_helpers.acme.keeper import Keeper, Task
from certmonger_helpers.outcome import Unconfigured
from certmongerd.store.files import write_durably

_log = logging.getLogger(__name__)

_PATH: Final = ".well-known/acme-challenge"
_REQUEST_LIMIT_S: Final = 10.0
_MAX_REQUEST_BYTES: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Webroot:
    """Puts the answers where a web server that runs already delivers them."""

    directory: Path
    keeper: Keeper | None = None
    """Does it instead of this process, which may not write there any more."""
    kind: str = "http-01"

    @property
    def tasks(self) -> Mapping[str, Task]:
        """What a keeper is asked to do."""
        return {"publish": self._publish, "withdraw": self._withdraw}

    @asynccontextmanager
    async def answering(self, challenges: Sequence[Challenge]) -> AsyncIterator[None]:
        """Write the files, readable for everybody, and remove them afterwards."""
        written: list[str] = []
        try:
            for challenge in challenges:
                await self._do("publish", challenge.token, challenge.key_authorization)
                written.append(challenge.token)
            yield
        finally:
            for token in written:
                await self._do("withdraw", token)

    async def _do(self, task: str, *words: str) -> None:
        if self.keeper is not None:
            await self.keeper.do(task, *words)
        else:
            await self.tasks[task](*words)

    async def _publish(self, token: str, text: str) -> None:
        """Write the file of a challenge. Raises Unconfigured."""
        folder = self.directory / _PATH
        if not self.directory.is_dir():
            raise Unconfigured(f"The directory {self.directory} (--webroot) does not exist")
        try:
            for level in (folder.parent, folder):
                if not level.is_dir():
                    level.mkdir()
                    level.chmod(0o755)
            write_durably(folder / token, text.encode(), mode=0o644)
        except OSError as exc:
            raise Unconfigured(f"{exc.filename or folder} cannot be written: {exc.strerror}") from exc

    async def _withdraw(self, token: str) -> None:
        """Remove the file of a challenge."""
        (self.directory / _PATH / token).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Listens for the server's requests; runs of the helper take turns."""

    address: str | None
    """None: all addresses of the host."""
    port: int
    lock: Path
    kind: str = "http-01"

    @asynccontextmanager
    async def answering(self, challenges: Sequence[Challenge]) -> AsyncIterator[None]:
        """Listen while the server validates."""
        answers = {f"/{_PATH}/{each.token}": each.key_authorization for each in challenges}

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _serve(reader, writer, answers)

        async with locked(self.lock):
            try:
                server = await asyncio.start_server(serve, self.address, self.port, limit=_MAX_REQUEST_BYTES)
            except OSError as exc:
                reason = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc)
                raise Unconfigured(
                    f"Port {self.port} cannot be listened on: {reason}; where a web server has it, use --webroot"
                ) from exc
            try:
                yield
            finally:
                server.close()
                await server.wait_closed()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Mapping[str, str]) -> None:
    """Answer one request."""
    try:
        async with asyncio.timeout(_REQUEST_LIMIT_S):
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, *_ = [*head.split(b"\r\n", 1)[0].decode("ascii", "replace").split(" "), "", ""]
            _log.info("asked for %s %s", method, path[:200])
            answer = answers.get(path) if method in ("GET", "HEAD") else None
            body = b"" if answer is None or method == "HEAD" else answer.encode()
            status = "404 Not Found" if answer is None else "200 OK"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        _log.info("a request was not answered: %s", type(exc).__name__)
    finally:
        writer.close()
