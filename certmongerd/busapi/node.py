"""One node of the object tree, with its interfaces bound to what it stands for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

from certmongerd.busapi.marshal import Marshalled, marshal_properties
from certmongerd.busapi.refusal import (
    CallRefused,
    access_denied,
    invalid_args,
    property_read_only,
    request_bad_arg,
    unknown_property,
)
from certmongerd.busapi.service import Caller
from certmongerd.busapi.table import Answer, Arguments, Context, Interface, M, Method, Signal, Subject
from certmongerd.busapi.table import Property as PropertyRow
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import ObjectPath
from certmongerd.core.model import Ca, Request


@dataclass(frozen=True, slots=True)
class BoundMethod:
    """A method of one object."""

    name: str
    input_signature: str
    misfit: Callable[[], CallRefused] | None
    only_reads: bool
    invoke: Callable[[Arguments], Awaitable[Answer]]

    def require_signature(self, signature: str) -> None:
        """Raises CallRefused when arguments of types *signature* do not fit; surplus is ignored by getters."""
        if signature == self.input_signature or not self.input_signature:
            return
        if self.misfit is not None:
            raise self.misfit()
        raise invalid_args(f'Method "{self.name}" takes arguments of type "{self.input_signature}", not "{signature}".')


class BoundInterface(Generic[M]):
    """An interface together with the object it is used on."""

    def __init__(self, interface: Interface[M], subject: Subject[M]) -> None:
        self.interface = interface
        self._subject = subject

    @property
    def name(self) -> str:
        """The interface's name."""
        return self.interface.name

    @property
    def rows(self) -> tuple["Method[M] | PropertyRow[M] | Signal", ...]:
        """The interface's rows."""
        return self.interface.rows

    def method(self, member: str) -> BoundMethod | None:
        """The method called *member*."""
        row = self.interface.methods.get(member)
        if row is None:
            return None
        handle, subject = row.handle, self._subject
        return BoundMethod(
            row.name,
            row.input_signature,
            row.misfit,
            row.only_reads,
            lambda arguments: handle(subject, arguments),
        )

    def get(self, name: str, *, with_secrets: bool) -> Variant | None:
        """The property *name*, None for a text that is not set. Raises CallRefused."""
        row = self.interface.properties.get(name)
        if row is None:
            raise request_bad_arg("Unrecognized property name.", name)
        if (row.is_secret or row.is_private) and not with_secrets:
            raise access_denied(f'The property "{name}" is told to root only.')
        return row.variant(self._subject.value, self._subject.service)

    def get_all(self, *, with_secrets: bool) -> Marshalled:
        """All properties that are set."""
        value, service = self._subject.value, self._subject.service
        return marshal_properties(
            lambda buffer: self.interface.marshal_properties(
                buffer, value, service, with_secrets=with_secrets, with_private=with_secrets
            )
        )

    async def set(self, name: str, value: Variant, caller: Caller) -> None:
        """Set the property *name*. Raises CallRefused."""
        row = self.interface.properties.get(name)
        if row is None:
            raise unknown_property(self.name, name)
        if row.write is None:
            raise property_read_only(name)
        await row.write(self._subject, value, caller)


AnyInterface = BoundInterface[Request] | BoundInterface[Ca] | BoundInterface[None]
"""An interface of the project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One existing path."""

    path: str
    context: Context
    own: AnyInterface | None = None
    """certmonger's interface on this node; group and ancestor nodes have none."""
    extension: AnyInterface | None = None
    """What goes beyond it."""
    standard: tuple[Interface["Node"], ...]
    """org.freedesktop.DBus interfaces, in the order of the introspection data."""
    children: tuple[str, ...]
    """Names of the child nodes."""
    managed: Callable[[], Awaitable[Marshalled]]
    """Objects below, for org.freedesktop.DBus.ObjectManager."""

    def interfaces(
        self,
    ) -> tuple["BoundInterface[Request] | BoundInterface[Ca] | BoundInterface[None] | BoundInterface[Node]", ...]:
        """All interfaces, in the order of the introspection data."""
        from_standard = tuple(BoundInterface(interface, self._as_subject()) for interface in self.standard)
        return (*from_standard, *(each for each in (self.own, self.extension) if each is not None))

    def _as_subject(self) -> Subject["Node"]:
        return Subject(ObjectPath(self.path), self, self.context)

    def method(self, interface: str | None, member: str) -> BoundMethod | None:
        """The method *member* of *interface*, or of any interface when that is None."""
        for candidate in self.interfaces():
            if interface in (None, candidate.name):
                found = candidate.method(member)
                if found is not None:
                    return found
        return None

    def with_properties(self, interface: str) -> AnyInterface | None:
        """The interface of this node called *interface* that has properties; the empty name means certmonger's."""
        if self.own is not None and interface in ("", self.own.name):
            return self.own
        return self.extension if self.extension is not None and interface == self.extension.name else None
