"""Where metrics can be read: over HTTP on a Unix or loopback socket, and in a file for a collector to pick up."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from certmongerd.core.errors import InvalidValue
from certmongerd.observe.metrics import CONTENT_TYPE

TEXTFILE_EVERY_S: Final = 30.0
_UNIX: Final = "unix:"
_SOCKET_MODE: Final = 0o660


@dataclass(frozen=True, slots=True)
class Loopback:
    """A TCP port of this host, for programs of this host."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket in the file system; whoever may write to it may read the metrics."""

    path: str


def parse_place(text: str) -> Loopback | UnixSocket:
    """`unix:PATH`, `127.0.0.1:PORT` or `[::1]:PORT`. Raises InvalidValue, also for addresses that others can reach."""
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path.startswith("/"):
            raise InvalidValue("metrics", f'The metrics socket "{path}" is not an absolute path.')
        return UnixSocket(path)
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError:
        raise InvalidValue(
            "metrics", f'"{text}" is no place for metrics; give unix:PATH, 127.0.0.1:PORT or [::1]:PORT.'
        ) from None
    if not address.is_loopback:
        raise InvalidValue("metrics", f"Metrics are served on loopback addresses only, and {address} is none.")
    if not 0 <= number <= 65535:
        raise InvalidValue("metrics", f"{number} is not a port.")
    return Loopback(str(address), number)


@asynccontextmanager
async def serving(place: Loopback | UnixSocket, text: Callable[[], bytes]) -> AsyncIterator[str]:
    """Answer `GET /metrics` at *place* while the block runs; gives the address in use. Raises InvalidValue."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=text(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.router.add_get("/metrics", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        listener, address = _listen(place)
        await web.SockSite(runner, listener).start()
        yield address
    finally:
        await runner.cleanup()
        _remove(place)


def _listen(place: Loopback | UnixSocket) -> tuple[socket.socket, str]:
    """A socket bound to *place*, and its address."""
    family = socket.AF_UNIX
    if isinstance(place, Loopback):
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if isinstance(place, UnixSocket):
            _remove(place)  # left by a daemon that was killed: the lock says that there is no other
            listener.bind(place.path)
            os.chmod(place.path, _SOCKET_MODE)
            return listener, f"unix:{place.path}"
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((place.host, place.port))
    except OSError as error:
        listener.close()
        where = place.path if isinstance(place, UnixSocket) else f"{place.host}:{place.port}"
        raise InvalidValue("metrics", f"Metrics cannot be served at {where}: {error.strerror}.") from error
    return listener, f"{place.host}:{listener.getsockname()[1]}"


def _remove(place: Loopback | UnixSocket) -> None:
    """Take a Unix socket out of the file system."""
    if isinstance(place, UnixSocket):
        Path(place.path).unlink(missing_ok=True)


async def keep_file(path: str, text: Callable[[], bytes], write: Callable[[str, bytes], None]) -> None:
    """Write the metrics to file *path* now and then, for node_exporter's textfile collector; never returns.

    *write* replaces the file at once, so that nobody reads half of it.
    """
    while True:
        await asyncio.to_thread(write, path, text())
        await asyncio.sleep(TEXTFILE_EVERY_S)
