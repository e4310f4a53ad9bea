"""org.freedesktop.DBus.Properties, from the property rows of the node it is called on."""

from typing import Final

from certmongerd.api import PROPERTIES_INTERFACE
from certmongerd.busapi.node import Node
from certmongerd.busapi.refusal import CallRefused, invalid_args, request_bad_arg, unknown_property
from certmongerd.busapi.table import Answer, Arg, Arguments, Interface, Method, Signal, Subject
from certmongerd.busapi.transport import Variant


async def _get(subject: Subject[Node], arguments: Arguments) -> Answer:
    """A text that is not set gives an empty reply, which clients of certmonger test for."""
    interface, name = subject.value.with_properties(arguments.text(0)), arguments.text(1)
    if interface is None:
        raise request_bad_arg("Unrecognized property name.", name)
    variant = interface.get(name, with_secrets=arguments.with_secrets)
    return Answer("v", (variant,)) if variant is not None else Answer()


async def _get_all(subject: Subject[Node], arguments: Arguments) -> Answer:
    interface = subject.value.with_properties(arguments.text(0))
    if interface is None:
        return Answer("a{sv}", ({},))
    return Answer("a{sv}", (interface.get_all(with_secrets=arguments.with_secrets),))


async def _set(subject: Subject[Node], arguments: Arguments) -> Answer:
    interface, name, value = subject.value.with_properties(arguments.text(0)), arguments.text(1), arguments.body[2]
    if interface is None:
        raise unknown_property(arguments.text(0), name)
    if not isinstance(value, Variant):
        raise invalid_args('The third argument of "Set" must be a variant.')
    await interface.set(name, value, arguments.caller)
    return Answer()


def _get_misfit() -> CallRefused:
    return request_bad_arg("Error parsing arguments.", "")


_NAMES: Final = (Arg("interface_name", "s"), Arg("property_name", "s"))
_ALL: Final = (Arg("props", "a{sv}"),)

PROPERTIES: Final[Interface[Node]] = Interface(
    PROPERTIES_INTERFACE,
    (
        Method(name="Get", takes=_NAMES, gives=(Arg("value", "v"),), handle=_get, misfit=_get_misfit, only_reads=True),
        Method(name="Set", takes=(*_NAMES, Arg("value", "v")), handle=_set),
        Method(name="GetAll", takes=(Arg("interface_name", "s"),), gives=_ALL, handle=_get_all, only_reads=True),
        # The certificate role of linux-system-roles calls it by this name.
        Method(
            name="getAll",
            takes=(Arg("interface_name", "s"),),
            gives=_ALL,
            handle=_get_all,
            is_hidden=True,
            only_reads=True,
        ),
        Signal(
            name="PropertiesChanged",
            args=(
                Arg("interface_name", "s"),
                Arg("changed_properties", "a{sv}"),
                Arg("invalidated_properties", "as"),
            ),
        ),
    ),
)
"""`org.freedesktop.DBus.Properties`."""
