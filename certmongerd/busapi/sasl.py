"""D-Bus authentication (SASL, mechanism EXTERNAL only) without I/O: bytes in, bytes out, for both sides."""

from collections.abc import Collection
from enum import Enum
from typing import Final

from certmongerd.core.errors import CertmongerError, RemoteProtocolError

_MAX_LINE_BYTES: Final = 4096
_MAX_FAILURES: Final = 8


class AuthenticationRejected(CertmongerError):
    """The other side does not let us in, or is not let in."""


class _Lines:
    """Cuts CR LF lines out of received bytes."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def next_line(self) -> str | None:
        end = self.buffer.find(b"\r\n")
        if end > _MAX_LINE_BYTES or (end < 0 and len(self.buffer) > _MAX_LINE_BYTES):
            raise RemoteProtocolError(f"authentication line of more than {_MAX_LINE_BYTES} bytes")
        if end < 0:
            return None
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        try:
            return line.decode("ascii")
        except UnicodeDecodeError as exc:
            raise RemoteProtocolError("authentication line is not ASCII") from exc


class ClientAuthentication:
    """The client's side: identifies as *uid*, which the server checks against the socket."""

    def __init__(self, uid: int) -> None:
        self._uid = uid
        self._lines = _Lines()
        self.finished = False
        """Whether messages follow from here on."""
        self.server_guid = ""

    def start(self) -> bytes:
        """What to send first."""
        return b"\0AUTH EXTERNAL " + str(self._uid).encode().hex().encode() + b"\r\n"

    def receive(self, data: bytes) -> bytes:
        """Take what the server sent, return what to send. Raises AuthenticationRejected or RemoteProtocolError."""
        self._lines.buffer += data
        while not self.finished and (line := self._lines.next_line()) is not None:
            command, _, argument = line.partition(" ")
            if command == "OK":
                self.server_guid = argument.strip()
                self.finished = True
                return b"BEGIN\r\n"
            if command == "REJECTED":
                raise AuthenticationRejected(
                    f"the server does not admit user id {self._uid} (it offers: {argument or 'nothing'})"
                )
            raise RemoteProtocolError(f"unexpected answer to authentication: {line!r}")
        return b""

    def leftover(self) -> bytes:
        """Bytes that came behind the authentication: the start of the message stream."""
        return bytes(self._lines.buffer)


class _Phase(Enum):
    NUL = "waiting for the initial NUL"
    AUTH = "waiting for AUTH"
    DATA = "waiting for DATA"
    BEGIN = "waiting for BEGIN"
    FINISHED = "authenticated"


class ServerAuthentication:
    """The server's side. The uid comes from the socket; only *allowed_uids* get in."""

    def __init__(self, *, guid: str, peer_uid: int, allowed_uids: Collection[int]) -> None:
        self._guid = guid
        self._peer_uid = peer_uid
        self._allowed_uids = frozenset(allowed_uids)
        self._lines = _Lines()
        self._phase = _Phase.NUL
        self._failures = 0

    @property
    def finished(self) -> bool:
        """Whether messages follow from here on."""
        return self._phase is _Phase.FINISHED

    def receive(self, data: bytes) -> bytes:
        """Take what the client sent, return what to send. Raises AuthenticationRejected or RemoteProtocolError."""
        self._lines.buffer += data
        if self._phase is _Phase.NUL and self._lines.buffer:
            if self._lines.buffer[0] != 0:
                raise RemoteProtocolError("authentication does not begin with a NUL byte")
            del self._lines.buffer[0]
            self._phase = _Phase.AUTH
        answer = bytearray()
        while not self.finished and (line := self._lines.next_line()) is not None:
            reply = self._answer(line)
            answer += reply
            if reply.startswith((b"REJECTED", b"ERROR")):
                self._failures += 1
                if self._failures > _MAX_FAILURES:
                    raise AuthenticationRejected("too many failed attempts to authenticate")
        return bytes(answer)

    def _answer(self, line: str) -> bytes:
        words = line.split(" ")
        match self._phase, words:
            case _Phase.AUTH, ["AUTH", "EXTERNAL", identity]:
                return self._check(identity)
            case _Phase.AUTH, ["AUTH", "EXTERNAL"]:
                self._phase = _Phase.DATA
                return b"DATA\r\n"
            case _Phase.AUTH, ["AUTH", *_]:
                return b"REJECTED EXTERNAL\r\n"
            case _Phase.DATA, ["DATA"]:
                return self._check("")
            case _Phase.DATA, ["DATA", identity]:
                return self._check(identity)
            case _Phase.BEGIN, ["BEGIN"]:
                self._phase = _Phase.FINISHED
                return b""
            case _, ["BEGIN"]:
                raise RemoteProtocolError("BEGIN before authentication")
            case ((_Phase.DATA | _Phase.BEGIN), ["CANCEL" | "ERROR", *_]):
                self._phase = _Phase.AUTH
                return b"REJECTED EXTERNAL\r\n"
            case _Phase.AUTH, ["ERROR", *_]:
                return b"REJECTED EXTERNAL\r\n"
            case _, ["NEGOTIATE_UNIX_FD"]:
                return b'ERROR "File descriptors cannot be passed here"\r\n'
            case _:
                return b'ERROR "Unknown or unexpected command"\r\n'

    def _check(self, identity_hex: str) -> bytes:
        """Compare the claimed identity (hex of the decimal uid, empty for "who the socket says") with the socket."""
        self._phase = _Phase.AUTH
        try:
            claimed = bytes.fromhex(identity_hex).decode("ascii")
        except ValueError:
            return b"REJECTED EXTERNAL\r\n"
        if claimed not in ("", str(self._peer_uid)) or self._peer_uid not in self._allowed_uids:
            return b"REJECTED EXTERNAL\r\n"
        self._phase = _Phase.BEGIN
        return f"OK {self._guid}\r\n".encode()

    def leftover(self) -> bytes:
        """Bytes that came behind BEGIN: the start of the message stream."""
        return bytes(self._lines.buffer)
