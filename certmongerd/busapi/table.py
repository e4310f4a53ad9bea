"""Interfaces as tables: dispatch, properties, signals and introspection are read from the same rows."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Generic, Protocol, TypeVar

from certmongerd.busapi.marshal import PropertyWriter
from certmongerd.busapi.refusal import CallRefused
from certmongerd.busapi.service import Caller, Service
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import ObjectPath
from certmongerd.core.model import Ca, Request

M = TypeVar("M")
"""What an object stands for: Request, Ca, or None for the root object."""

EMITS_CHANGED: Final = ("org.freedesktop.DBus.Property.EmitsChangedSignal", "true")


class Announcer(Protocol):
    """Where methods say which properties their caller named."""

    def announcing(self, path: ObjectPath, names: tuple[str, ...]) -> AbstractContextManager[None]:
        """Inside, the next change signal of *path* carries *names* too; at the end they are sent if none came."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every method can reach."""

    service: Service
    announcer: Announcer
    pending: list[Request] = field(default_factory=list)
    """Requests on their way into the service; they count for uniqueness already."""
    pending_cas: list[Ca] = field(default_factory=list)
    applying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a document is applied."""


@dataclass(frozen=True, slots=True)
class Subject(Generic[M]):
    """The object a call is made on."""

    path: ObjectPath
    value: M
    context: Context

    @property
    def service(self) -> Service:
        """The daemon."""
        return self.context.service


@dataclass(frozen=True, slots=True)
class Answer:
    """Signature and arguments of a reply."""

    signature: str = ""
    body: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Arguments:
    """What came with a call whose signature was checked already."""

    body: tuple[object, ...]
    caller: Caller
    pass_on: Callable[[], None] = lambda: None
    """Lets the caller's next call begin before this one is answered."""
    with_secrets: bool = True
    """Whether the caller may be told PINs and passwords."""

    def text(self, index: int) -> str:
        """Argument *index*, of type s or o."""
        return str(self.body[index])


@dataclass(frozen=True, slots=True)
class Arg:
    """One declared argument."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Generic[M]):
    """One method. Without declared input, surplus arguments are ignored, as libdbus services do."""

    name: str
    takes: tuple[Arg, ...] = ()
    gives: tuple[Arg, ...] = ()
    """As declared; replies may deviate, see the getters of requests."""
    handle: Callable[[Subject[M], Arguments], Awaitable[Answer]]
    is_hidden: bool = False
    """Not in the introspection data."""
    only_reads: bool = False
    """Changes nothing and tells no secret: also for callers who may only read."""
    misfit: Callable[[], CallRefused] | None = None
    """The error for arguments of other types, instead of the usual InvalidArgs."""

    @property
    def input_signature(self) -> str:
        """Types of all input arguments."""
        return "".join(arg.type for arg in self.takes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal."""

    name: str
    args: tuple[Arg, ...] = ()


def never(_: object) -> bool:
    """No."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Property(Generic[M]):
    """One property."""

    name: str
    type: str
    get: Callable[[M, Service], object]
    """The value; an empty string or tuple stands for "not set"."""
    source: str
    """Fields of the model, between blanks, that the value comes from: while they are the same, the value is."""
    write: Callable[[Subject[M], Variant, Caller], Awaitable[None]] | None = None
    """Raises CallRefused."""
    shows_empty: bool = False
    """Whether an empty string is a value rather than "not set"."""
    is_known: Callable[[M], bool] = never
    """Whether an empty list is what was found, which `GetAll` tells, rather than "not set"."""
    is_secret: bool = False
    """Never part of a signal."""
    is_private: bool = False
    """Not told to callers who may only read."""
    annotations: tuple[tuple[str, str], ...] = ()

    def variant(self, value: M, service: Service) -> Variant | None:
        """The present value; None for a string or path that is not set. Unset lists are empty lists."""
        plain = self.get(value, service)
        if plain == "" and not self.shows_empty:
            return None
        return Variant(self.type, plain)

    def is_set(self, value: M, plain: object) -> bool:
        """Whether `GetAll` tells the present value *plain*."""
        if plain == "":
            return self.shows_empty
        return plain != () or self.is_known(value)


@dataclass(frozen=True, slots=True)
class Changes:
    """Content of one change signal."""

    changed: dict[str, object]
    """Values by name."""
    invalidated: tuple[str, ...]
    """Not set any more, or secret."""


class Interface(Generic[M]):
    """One interface: its rows in the order of the introspection data."""

    def __init__(self, name: str, rows: tuple[Method[M] | Property[M] | Signal, ...]) -> None:
        self.name = name
        self.rows = rows
        self.methods = {row.name: row for row in rows if isinstance(row, Method)}
        self.properties = {row.name: row for row in rows if isinstance(row, Property)}
        self._of_field: dict[str, list[Property[M]]] = {}
        for row in self.properties.values():
            for source in row.source.split():
                self._of_field.setdefault(source, []).append(row)
        self._writers: tuple[tuple[Property[M], PropertyWriter], ...] = tuple(
            (row, PropertyWriter(row.name, row.type)) for row in self.properties.values()
        )
        self._writer_of = {row.name: writer for row, writer in self._writers}
        self._affected_by = lru_cache(maxsize=256)(self._find_affected)
        self._writers_of = lru_cache(maxsize=16)(self._choose_writers)

    def _find_affected(self, fields: tuple[str, ...]) -> dict[str, Property[M]]:
        """The properties that come from *fields*, of which a request's changes know few combinations."""
        return {row.name: row for field in fields for row in self._of_field.get(field, ())}

    def _choose_writers(self, names: frozenset[str]) -> tuple[tuple[Property[M], PropertyWriter], ...]:
        return tuple((row, writer) for row, writer in self._writers if row.name in names)

    def marshal_properties(
        self,
        buffer: bytearray,
        value: M,
        service: Service,
        *,
        with_secrets: bool = False,
        with_private: bool = True,
        names: frozenset[str] | None = None,
    ) -> None:
        """Append every property that is set as a dictionary entry, secrets if wanted; empty lists count as not set.

        Of all, or those called *names*.
        """
        for row, writer in self._writers if names is None else self._writers_of(names):
            if (row.is_secret and not with_secrets) or (row.is_private and not with_private):
                continue
            plain = row.get(value, service)
            if row.is_set(value, plain):
                writer.append(buffer, plain)

    def marshal_values(self, buffer: bytearray, values: Iterable[tuple[str, object]]) -> None:
        """Append properties, by name, as dictionary entries."""
        for name, value in values:
            self._writer_of[name].append(buffer, value)

    def changes(
        self, old: M, new: M, fields: tuple[str, ...], service: Service, *, named: Collection[str] = ()
    ) -> Changes | None:
        """What differs between *old* and *new*, plus the *named* properties in any case; None when nothing does.

        Runs for every state change, so it looks only at what comes from *fields*, those that may differ.
        """
        affected = self._affected_by(fields)
        if named:
            affected = affected | {name: self.properties[name] for name in named if name in self.properties}
        if not affected:
            return None
        changed: dict[str, object] = {}
        invalidated: list[str] = []
        for name, row in affected.items():
            present = row.get(new, service)
            if name not in named and row.get(old, service) == present:
                continue
            if row.is_secret or (present == "" and not row.shows_empty):
                invalidated.append(name)
            else:
                changed[name] = present
        if not changed and not invalidated:
            return None
        return Changes(changed, tuple(invalidated))
