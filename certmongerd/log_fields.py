"""What a log record is about: fields that the work under way has, for structured logs.

They belong to the asyncio task (or thread) that sets them and to what it starts; see `contextvars`.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

_fields: Final[ContextVar[Mapping[str, str]]] = ContextVar("log_fields", default=MappingProxyType({}))


def set_log_fields(**fields: str) -> None:
    """Give *fields* (`request`, `ca`) to every record that this task logs from now on."""
    _fields.set(fields)


def log_fields() -> Mapping[str, str]:
    """The fields of the present task."""
    return _fields.get()
