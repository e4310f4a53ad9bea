"""The orders in which `list` can show requests. Each is total: the same requests always come in the same order."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from getcert.entries import RequestEntry, object_number

_DIGITS: Final = re.compile(r"(\d+)")
_NEVER: Final = 2**63

Key = tuple[object, ...]


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """Compares numbers inside texts by value, and letters without regard to case: `a2` comes before `A10`."""
    pieces = _DIGITS.split(text.casefold())
    return tuple((int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces)


def _added(entry: RequestEntry) -> Key:
    return (object_number(entry.path), entry.path)


def _id(entry: RequestEntry) -> Key:
    return (natural_key(entry.nickname), *_added(entry))


def _expires(entry: RequestEntry) -> Key:
    return (entry.properties.number("not-valid-after") or _NEVER, *_id(entry))


def _status(entry: RequestEntry) -> Key:
    return (not entry.is_stuck, entry.status, *_id(entry))


_KEYS: Final[Mapping[str, Callable[[RequestEntry], Key]]] = {
    "added": _added,
    "id": _id,
    "expires": _expires,
    "status": _status,
}
ORDERS: Final = tuple(_KEYS)
"""Names of the orders; the first is the usual one."""


def in_order(entries: Iterable[RequestEntry], order: str) -> list[RequestEntry]:
    """*entries* in one of ORDERS: as the daemon numbers them, by ID, by expiry, or what is stuck first."""
    return sorted(entries, key=_KEYS[order])
