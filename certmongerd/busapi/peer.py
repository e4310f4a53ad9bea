"""The private socket: clients talk to the daemon without a bus."""

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import socket
import stat
import struct
from typing import Final

from certmongerd.api import DBUS_NAME, DBUS_PATH
from certmongerd.busapi.address import Address, InvalidAddress, parse_listen_address, private_address
from certmongerd.busapi.calls import CallQueues, Turn
from certmongerd.busapi.connection import Connection, log_failure
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.faults import ListenFailed
from certmongerd.busapi.sasl import AuthenticationRejected, ServerAuthentication
from certmongerd.busapi.service import Caller
from certmongerd.busapi.transport import Decoder, WireMessage, reply_to
from certmongerd.core.errors import RemoteProtocolError

_log = logging.getLogger(__name__)

_AUTHENTICATION_TIMEOUT_S: Final = 30.0
_RETRY_ACCEPT_S: Final = 0.5
_READ_BYTES: Final = 4096
_BACKLOG: Final = 64
_MAX_CLIENTS: Final = 256
_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_CREDENTIALS: Final = struct.Struct("3i")
_ONE_CLIENT: Final = ""
"""Key of the only call queue of a connection."""


def _peer_credentials(connected: socket.socket) -> Caller:
    """Process and user at the other end, as the kernel recorded them at connect time."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Caller(uid=uid, pid=pid)


class _PeerClient:
    """One client of the private socket."""

    def __init__(self, connection: Connection, caller: Caller, api: CertmongerApi) -> None:
        self._connection = connection
        self._caller = caller
        self._api = api
        self._calls = CallQueues(self._handle)
        self._matches = 0

    async def run(self) -> None:
        try:
            await self._connection.run(self._on_call, self._calls.idle)
        finally:
            self._api.detach(self)

    def emit(self, encoded: bytes) -> None:
        """Send a signal (SignalSink); a client that does not read is disconnected."""
        if not self._connection.lost.is_set() and not self._connection.send_signal(encoded):
            _log.warning("%s does not read its signals and is disconnected.", self._connection.label)
            self._connection.abort()

    async def _on_call(self, call: WireMessage, group: asyncio.TaskGroup) -> None:
        await self._calls.space(_ONE_CLIENT)
        self._calls.put(_ONE_CLIENT, call, group)

    async def _handle(self, call: WireMessage, turn: Turn) -> None:
        await self._connection.outgoing.room()
        reply = self._match_reply(call) or await self._api.handle(call, self._caller, pass_on=turn.pass_on)
        await turn.to_reply()
        if reply is not None and not call.no_reply_expected:
            self._connection.send(reply)

    def _match_reply(self, call: WireMessage) -> WireMessage | None:
        """Answer AddMatch and RemoveMatch as a bus would; any rule turns all signals on."""
        if call.interface != DBUS_NAME and not (call.interface is None and call.path == DBUS_PATH):
            return None
        if call.member == "AddMatch":
            self._matches += 1
            self._api.attach(self)
        elif call.member == "RemoveMatch" and self._matches:
            self._matches -= 1
            if not self._matches:
                self._api.detach(self)
        else:
            return None
        return reply_to(call)


class PeerServer:
    """Listens on the private socket. Made by `start`; the owner calls `close`."""

    def __init__(self, listener: socket.socket, address: Address, api: CertmongerApi) -> None:
        self._listener = listener
        self._api = api
        self._guid = secrets.token_hex(16)
        self.address = f"{address},guid={self._guid}"
        """For clients, with the GUID."""
        self._path = address.option("path")
        self._inode = _inode(self._path) if self._path else None
        self._clients = 0
        self._task = asyncio.create_task(self._accept(), name=f"private socket {address}")
        self._task.add_done_callback(log_failure)

    @classmethod
    async def start(cls, location: str | None, api: CertmongerApi) -> "PeerServer":
        """Listen at *location* (see `private_address`), by default at a random abstract name. Raises ListenFailed."""
        text = private_address(location, secrets.token_hex(16))
        try:
            address = parse_listen_address(text, random_name=secrets.token_hex(5))
        except InvalidAddress as exc:
            raise ListenFailed(text, exc.reason) from exc
        return cls(_listen(address), address, api)

    async def close(self) -> None:
        """Disconnect all clients and remove the socket."""
        self._task.cancel()
        await asyncio.wait({self._task})  # its failure, if any, is in the log
        self._listener.close()
        if self._path and self._inode and _inode(self._path) == self._inode:
            os.unlink(self._path)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    connected, _ = await loop.sock_accept(self._listener)
                except OSError as exc:
                    _log.warning("The private socket cannot accept a client now: %s", exc.strerror)
                    await asyncio.sleep(_RETRY_ACCEPT_S)
                    continue
                connected.settimeout(0)
                if self._clients >= _MAX_CLIENTS:
                    _log.warning("More than %d clients on the private socket; one is refused.", _MAX_CLIENTS)
                    connected.close()
                    continue
                self._clients += 1
                group.create_task(self._serve(connected))

    async def _serve(self, connected: socket.socket) -> None:
        try:
            caller = _peer_credentials(connected)
            reader, writer = await asyncio.open_unix_connection(sock=connected)
            await self._converse(caller, reader, writer)
        except OSError as exc:
            _log.debug("A client of the private socket went away: %s", exc)
            connected.close()
        except Exception:
            _log.exception("A client of the private socket is disconnected after an internal error")
        finally:
            self._clients -= 1

    async def _converse(self, caller: Caller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        label = f"private client (uid {caller.uid}, pid {caller.pid})"
        try:
            decoder = await self._authenticate(caller, reader, writer)
        except (AuthenticationRejected, RemoteProtocolError) as exc:
            _log.warning("%s is refused: %s", label, exc)
            decoder = None
        except (ConnectionError, TimeoutError) as exc:
            _log.debug("%s did not authenticate: %s", label, exc)
            decoder = None
        except BaseException:
            writer.close()
            raise
        if decoder is None:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            return
        await _PeerClient(Connection(reader, writer, label=label, decoder=decoder), caller, self._api).run()

    async def _authenticate(
        self, caller: Caller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Decoder | None:
        """The message stream behind the authentication; None when the client left."""
        allowed = {0, os.geteuid()}
        server = ServerAuthentication(
            guid=self._guid, peer_uid=-1 if caller.uid is None else caller.uid, allowed_uids=allowed
        )
        async with asyncio.timeout(_AUTHENTICATION_TIMEOUT_S):
            while not server.finished:
                data = await reader.read(_READ_BYTES)
                if not data:
                    return None
                writer.write(server.receive(data))
                await writer.drain()
        decoder = Decoder(max_message_bytes=_MAX_MESSAGE_BYTES)
        decoder.append(server.leftover())
        return decoder


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _listen(address: Address) -> socket.socket:
    """A listening socket; path sockets are for their owner only before anybody can connect. Raises ListenFailed."""
    name = address.socket_name()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        try:
            listener.bind(name)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or name.startswith("\0"):
                raise
            _remove_stale(address, name)
            listener.bind(name)
        if not name.startswith("\0"):
            os.chmod(name, 0o600)
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise ListenFailed(str(address), exc.strerror or str(exc)) from exc
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(address: Address, path: str) -> None:
    """Remove a socket that nobody listens on; raises ListenFailed for anything else."""
    if not stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
        raise ListenFailed(str(address), "the file exists and is not a socket; it is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError as exc:
            raise ListenFailed(str(address), f"the socket exists: {exc.strerror or exc}") from exc
    raise ListenFailed(str(address), "another process listens there")
