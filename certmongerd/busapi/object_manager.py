"""org.freedesktop.DBus.ObjectManager on the root object: an addition to certmonger's interface."""

from typing import Final

from certmongerd.api import OBJECT_MANAGER_INTERFACE
from certmongerd.busapi.marshal import MANAGED_OBJECTS
from certmongerd.busapi.node import Node
from certmongerd.busapi.table import Answer, Arg, Arguments, Interface, Method, Signal, Subject


async def _get_managed_objects(subject: Subject[Node], _: Arguments) -> Answer:
    """Everything in one call, without PINs and passwords, but with signing requests: not for those who only read."""
    return Answer(MANAGED_OBJECTS, (await subject.value.managed(),))


OBJECT_MANAGER: Final[Interface[Node]] = Interface(
    OBJECT_MANAGER_INTERFACE,
    (
        Method(
            name="GetManagedObjects",
            gives=(Arg("objpath_interfaces_and_properties", MANAGED_OBJECTS),),
            handle=_get_managed_objects,
        ),
        Signal(
            name="InterfacesAdded",
            args=(Arg("object_path", "o"), Arg("interfaces_and_properties", "a{sa{sv}}")),
        ),
        Signal(name="InterfacesRemoved", args=(Arg("object_path", "o"), Arg("interfaces", "as"))),
    ),
)
"""`org.freedesktop.DBus.ObjectManager`."""
