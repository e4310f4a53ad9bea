"""org.certmongerd.ca: all that certmonger tells by methods, as properties."""

from dataclasses import replace

from fakes.caller import Client, Recorder
from fakes.service import FakeService

from certmongerd.api import (
    CA_INTERFACE,
    EXTENDED_CA_INTERFACE,
    OBJECT_MANAGER_INTERFACE,
    PROPERTIES_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaType

SELF = Ca(id=CaName("SelfSign"), type=CaType.INTERNAL_SELF, internal_serial="0A")
EXTERNAL = Ca(id=CaName("c"), external_helper="/bin/true", internal_serial="01")


async def told(client: Client, path: str) -> dict[str, object]:
    (found,) = await client.call(path, PROPERTIES_INTERFACE, "GetAll", "s", (EXTENDED_CA_INTERFACE,))
    return {name: variant.value for name, variant in found.items()}  # type: ignore[attr-defined]


async def test_the_properties_say_what_the_methods_say(client: Client, service: FakeService) -> None:
    for ca in (SELF, EXTERNAL):
        path = await service.add_ca(ca)
        answers = [
            await client.call(path, CA_INTERFACE, f"get_{name}") for name in ("type", "serial", "config_file_path")
        ]
        properties = await told(client, path)
        assert [
            (properties[name],) if name in properties else () for name in ("type", "next-serial", "file")
        ] == answers


async def test_all_objects_in_one_call_have_them(client: Client, service: FakeService) -> None:
    path = await service.add_ca(SELF)
    (objects,) = await client.call(ROOT_PATH, OBJECT_MANAGER_INTERFACE, "GetManagedObjects")
    assert {name: variant.value for name, variant in objects[path][EXTENDED_CA_INTERFACE].items()} == await told(  # type: ignore[index]
        client, path
    )


async def test_changes_are_announced(api: CertmongerApi, client: Client, service: FakeService) -> None:
    path = await service.add_ca(SELF)
    recorder = Recorder(api)
    await service.change_ca(path, lambda ca: replace(ca, internal_serial="0B"), refetch=False)
    (signal,) = [signal for signal in recorder.signals if signal.body[0] == EXTENDED_CA_INTERFACE]
    assert signal.body[1:] == ({"next-serial": Variant("s", "0B")}, ())
