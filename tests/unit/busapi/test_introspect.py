"""The introspection data is certmonger's, additions apart."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import pytest
from fakes.caller import Client
from fakes.service import FakeService

from certmongerd.api import (
    EXTENDED_CA_INTERFACE,
    EXTENDED_MANAGER_INTERFACE,
    EXTENDED_REQUEST_INTERFACE,
    INTROSPECTABLE_INTERFACE,
    OBJECT_MANAGER_INTERFACE,
    PEER_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca

RECORDED: Final = Path(__file__).parents[2] / "data" / "introspection"
ADDITIONS: Final = {
    OBJECT_MANAGER_INTERFACE,
    PEER_INTERFACE,
    EXTENDED_CA_INTERFACE,
    EXTENDED_REQUEST_INTERFACE,
    EXTENDED_MANAGER_INTERFACE,
}


async def introspected(client: Client, path: str) -> str:
    (document,) = await client.call(path, INTROSPECTABLE_INTERFACE, "Introspect")
    return str(document)


def described(element: ET.Element) -> object:
    """*element* as nested values, order kept."""
    return element.tag, dict(element.attrib), [described(child) for child in element]


def interfaces(document: str) -> dict[str, object]:
    return {element.attrib["name"]: described(element) for element in ET.fromstring(document).findall("interface")}


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("root", ROOT_PATH),
        ("ca", f"{ROOT_PATH}/cas/CA1"),
        ("request", f"{ROOT_PATH}/requests/Request1"),
        ("cas", f"{ROOT_PATH}/cas"),
        ("requests", f"{ROOT_PATH}/requests"),
    ],
)
async def test_documents_equal_the_recorded_ones(
    file: str, path: str, service: FakeService, client: Client, base: dict[str, Variant]
) -> None:
    for name in ("SelfSign", "IPA", "dogtag-ipa-renew-agent", "local"):
        await service.add_ca(Ca(id=CaName(name)))
    await client.add(base)
    recorded = (RECORDED / f"{file}.xml").read_text()

    document = await introspected(client, path)

    found = interfaces(document)
    for name in ADDITIONS:
        found.pop(name, None)
    assert found == interfaces(recorded)
    nodes = [node.attrib for node in ET.fromstring(document).findall("node")]
    assert nodes == [node.attrib for node in ET.fromstring(recorded).findall("node")]
    assert ET.fromstring(document).attrib == ET.fromstring(recorded).attrib
    if file in ("cas", "requests"):
        assert document == recorded


async def test_ancestors_lead_to_the_root_object(client: Client) -> None:
    for path, child in (("/", "org"), ("/org", "fedorahosted"), ("/org/fedorahosted", "certmonger")):
        document = ET.fromstring(await introspected(client, path))
        assert [node.attrib["name"] for node in document.findall("node")] == [child]


@pytest.mark.parametrize("path", ["/foo", f"{ROOT_PATH}/requests/Request1", f"{ROOT_PATH}/cas/CA1/x"])
async def test_a_path_that_does_not_exist_has_an_empty_document(path: str, client: Client) -> None:
    document = ET.fromstring(await introspected(client, path))

    assert (document.tag, document.attrib, list(document)) == ("node", {}, [])


async def test_a_nameless_interface_finds_introspect_too(client: Client) -> None:
    assert await client.call(ROOT_PATH, None, "Introspect", "s", ("surplus",)) == (
        await introspected(client, ROOT_PATH),
    )
