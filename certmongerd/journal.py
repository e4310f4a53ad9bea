"""Entries with fields for the journal of systemd, in its native protocol (systemd's "Native Journal Protocol")."""

import socket
from collections.abc import Mapping
from typing import Final

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
_LENGTH_BYTES: Final = 8


def encode_entry(fields: Mapping[str, str]) -> bytes:
    """One entry; names are upper-case ASCII, fields without a value are left out."""
    return b"".join(_encode_field(name, value.encode()) for name, value in fields.items() if value)


def _encode_field(name: str, value: bytes) -> bytes:
    """A field; a value with line ends is preceded by its length."""
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + len(value).to_bytes(_LENGTH_BYTES, "little") + value + b"\n"


def send_entry(fields: Mapping[str, str], path: str, timeout_s: float) -> None:
    """Send an entry to the journal's socket at *path*, as `send_datagram`."""
    send_datagram(encode_entry(fields), path, timeout_s)


def send_datagram(data: bytes, path: str, timeout_s: float) -> None:
    """Send *data* to the socket at *path*, blocking while it is full for at most *timeout_s*.

    Raises OSError: BlockingIOError at once when *timeout_s* is 0, TimeoutError when it is over.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(data, socket.MSG_DONTWAIT, path)
        except BlockingIOError:
            if not timeout_s:
                raise
            channel.settimeout(timeout_s)
            channel.sendto(data, path)
