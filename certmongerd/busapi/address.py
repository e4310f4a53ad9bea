"""D-Bus server addresses: reading, writing, and the defaults of the buses and the private socket."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from certmongerd.core.errors import CertmongerError

SYSTEM_BUS_DEFAULT: Final = "unix:path=/run/dbus/system_bus_socket"
PRIVATE_ADDRESS_PREFIX: Final = "unix:abstract=/run/certmonger/listen-"

_UNESCAPED: Final = frozenset(b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz/.\\*")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_GUID: Final = re.compile(r"[0-9A-Fa-f]{32}")
_MAX_SOCKET_NAME_BYTES: Final = 107


class InvalidAddress(CertmongerError):
    """A D-Bus address that cannot be used."""

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f'D-Bus address "{address}": {reason}')


@dataclass(frozen=True, slots=True)
class Address:
    """One entry of a D-Bus address list."""

    transport: str
    options: tuple[tuple[str, str], ...]
    """Unescaped, in the order given."""

    def option(self, key: str) -> str | None:
        """The value of *key*, None when it is absent."""
        return dict(self.options).get(key)

    @property
    def guid(self) -> str | None:
        """The server's GUID, when the address tells it."""
        return self.option("guid")

    def __str__(self) -> str:
        return f"{self.transport}:" + ",".join(f"{key}={_escape(value)}" for key, value in self.options)

    def socket_name(self) -> str:
        """What to connect or bind an AF_UNIX socket to; abstract names begin with NUL. Raises InvalidAddress."""
        if self.transport != "unix":
            raise InvalidAddress(str(self), f'transport "{self.transport}" is not supported, only unix is')
        path, abstract = self.option("path"), self.option("abstract")
        if (path is None) == (abstract is None):
            raise InvalidAddress(str(self), "exactly one of path= and abstract= has to be given")
        name = path if path is not None else "\0" + (abstract or "")
        if not path and not abstract:
            raise InvalidAddress(str(self), "the socket name is empty")
        if "\0" in name[1:] or (path is not None and "\0" in path):
            raise InvalidAddress(str(self), "the socket name holds a NUL character")
        if len(name.encode("utf-8", "surrogateescape")) > _MAX_SOCKET_NAME_BYTES:
            raise InvalidAddress(str(self), f"the socket name is longer than {_MAX_SOCKET_NAME_BYTES} bytes")
        return name


def _escape(value: str) -> str:
    raw = value.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _UNESCAPED else f"%{byte:02x}" for byte in raw)


def _unescape(value: str) -> str:
    raw = value.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), raw).decode("utf-8", "surrogateescape")


def _parse_entry(entry: str, whole: str) -> Address:
    transport, colon, rest = entry.partition(":")
    if not colon or not transport:
        raise InvalidAddress(whole, "a transport such as unix: has to come first")
    options: dict[str, str] = {}
    for pair in rest.split(",") if rest else ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidAddress(whole, f'"{pair}" is not of the form key=value')
        if key in options:
            raise InvalidAddress(whole, f'key "{key}" is given twice')
        if _BAD_ESCAPE.search(value):
            raise InvalidAddress(whole, f'"{value}" has an incomplete %-escape')
        options[key] = _unescape(value)
    guid = options.get("guid")
    if guid is not None and not _GUID.fullmatch(guid):
        raise InvalidAddress(whole, f'guid "{guid}" is not 32 hexadecimal digits')
    return Address(transport, tuple(options.items()))


def parse_addresses(text: str) -> tuple[Address, ...]:
    """All entries of an address list, separated by `;`. Raises InvalidAddress; there is at least one entry."""
    entries = tuple(_parse_entry(entry, text) for entry in text.split(";") if entry)
    if not entries:
        raise InvalidAddress(text, "it is empty")
    return entries


def parse_listen_address(text: str, *, random_name: str) -> Address:
    """The address to listen on; `tmpdir=` and `dir=` become a path with *random_name* in it. Raises InvalidAddress."""
    address = parse_addresses(text)[0]
    for key in ("tmpdir", "dir"):
        directory = address.option(key)
        if directory is not None and address.transport == "unix":
            address = Address("unix", (("path", f"{directory.rstrip('/')}/dbus-{random_name}"),))
    address = Address(address.transport, tuple(pair for pair in address.options if pair[0] != "guid"))
    address.socket_name()
    return address


def private_address(location: str | None, uuid: str) -> str:
    """Where the private socket listens: *location* of the command line, or an abstract name made of *uuid*.

    A location that begins with `/` is a path; anything else follows `unix:`.
    *uuid* is 32 lower-case hexadecimal digits.
    """
    if not location:
        return PRIVATE_ADDRESS_PREFIX + uuid
    if location.startswith("/"):
        return f"unix:path={_escape(location)}"
    return f"unix:{location}"


def system_bus_address(environment: Mapping[str, str]) -> str:
    """The system bus as *environment* has it, or its usual place."""
    return environment.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS_DEFAULT


def session_bus_address(environment: Mapping[str, str]) -> str | None:
    """The session bus as *environment* has it; None when there is none."""
    address = environment.get("DBUS_SESSION_BUS_ADDRESS")
    if address and not address.startswith("autolaunch:"):
        return address
    runtime = environment.get("XDG_RUNTIME_DIR")
    return f"unix:path={_escape(runtime)}/bus" if runtime else None
