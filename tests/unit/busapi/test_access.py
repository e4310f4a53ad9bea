"""Who may do what, by user id: the daemon's own check, behind the policy of the bus."""

import grp
import os
import pwd
from dataclasses import replace

import pytest
from fakes.caller import Client, Recorder, s
from fakes.service import FakeService

from certmongerd.api import (
    CA_INTERFACE,
    ERROR_ACCESS_DENIED,
    EXTENDED_REQUEST_INTERFACE,
    INTROSPECTABLE_INTERFACE,
    OBJECT_MANAGER_INTERFACE,
    PEER_INTERFACE,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.access import AccessControl
from certmongerd.busapi.ca import CA
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.extended_request import EXTENDED_REQUEST
from certmongerd.busapi.manager import MANAGER
from certmongerd.busapi.request import REQUEST
from certmongerd.busapi.service import Caller
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import CaName, ObjectPath
from certmongerd.core.model import Ca

NOBODY = pwd.getpwnam("nobody")
NOBODYS_GROUP = grp.getgrgid(NOBODY.pw_gid).gr_name
STRANGER = Caller(uid=NOBODY.pw_uid, pid=7)
OWN_UID = 12345

ARGUMENTS: dict[str, tuple[object, ...]] = {
    "s": ("text",),
    "o": ("/o",),
    "ssas": ("new", "/bin/true", ()),
    "a{sv}": ({"NICKNAME": Variant("s", "changed")},),
    "": (),
}


@pytest.fixture
def group() -> list[str]:
    """The configured group, changeable."""
    return [NOBODYS_GROUP]


@pytest.fixture
def api(service: FakeService, group: list[str]) -> CertmongerApi:
    return CertmongerApi(service, access=AccessControl(lambda: group[0], own_uid=OWN_UID, keep_s=0))


@pytest.fixture
def reader(api: CertmongerApi) -> Client:
    return Client(api, STRANGER)


@pytest.fixture
async def objects(client: Client, service: FakeService, with_key: dict[str, Variant]) -> dict[str, str]:
    """One object of each interface, the request with a PIN and a challenge password."""
    secrets = {"KEY_PIN": s("the pin"), "template-challenge-password": s("the challenge")}
    request = await client.add(with_key | secrets)
    await service.change_request(
        ObjectPath(request), lambda known: replace(known, csr="a signing request"), restart=False
    )
    ca = await service.add_ca(Ca(id=CaName("c"), external_helper="/bin/true"))
    return {
        ROOT_INTERFACE: ROOT_PATH,
        REQUEST_INTERFACE: request,
        CA_INTERFACE: ca,
        EXTENDED_REQUEST_INTERFACE: request,
    }


CHANGING = {(ROOT_INTERFACE, name) for name in ("add_known_ca", "add_request", "remove_known_ca", "remove_request")} | {
    (REQUEST_INTERFACE, name) for name in ("modify", "rekey", "resubmit", "refresh")
}
CHANGING |= {(CA_INTERFACE, "refresh")}
TELLING_SECRETS = {(REQUEST_INTERFACE, "get_key_pin"), (REQUEST_INTERFACE, "get_csr_data")}
TALKING_TO_SERVERS = {(EXTENDED_REQUEST_INTERFACE, "get_crl"), (EXTENDED_REQUEST_INTERFACE, "get_cert")}
FOR_MASTERS = sorted(CHANGING | TELLING_SECRETS | TALKING_TO_SERVERS)
INTERFACES = (MANAGER, REQUEST, CA, EXTENDED_REQUEST)
ALL_METHODS = sorted((interface.name, name) for interface in INTERFACES for name in interface.methods)


def signature_of(interface: str, member: str) -> str:
    (row,) = [each.methods[member] for each in INTERFACES if each.name == interface]
    return row.input_signature


@pytest.mark.parametrize(("interface", "member"), ALL_METHODS)
async def test_a_reader_may_call_what_changes_nothing_and_tells_no_secret(
    reader: Client, service: FakeService, objects: dict[str, str], interface: str, member: str
) -> None:
    before = dict(service.requests()), dict(service.cas()), list(service.queries)
    signature = signature_of(interface, member)
    reply = await reader.reply(objects[interface], interface, member, signature, ARGUMENTS[signature])

    assert (reply.error_name == ERROR_ACCESS_DENIED) == ((interface, member) in FOR_MASTERS)
    assert (dict(service.requests()), dict(service.cas()), list(service.queries)) == before


async def test_a_reader_sees_no_secret_anywhere(reader: Client, client: Client, objects: dict[str, str]) -> None:
    request = objects[REQUEST_INTERFACE]
    for name in ("key-pin", "template-challenge-password", "csr"):
        error, body = await reader.error(request, PROPERTIES_INTERFACE, "Get", "ss", (REQUEST_INTERFACE, name))
        assert (error, name in str(body)) == (ERROR_ACCESS_DENIED, True)
    for everything in (
        await reader.get_all(request),
        await reader.call(request, PROPERTIES_INTERFACE, "getAll", "s", (REQUEST_INTERFACE,)),
        await reader.call(request, EXTENDED_REQUEST_INTERFACE, "explain"),
    ):
        assert "the pin" not in str(everything)
        assert "the challenge" not in str(everything)
    assert "csr" not in await reader.get_all(request)
    error, _ = await reader.error(ROOT_PATH, OBJECT_MANAGER_INTERFACE, "GetManagedObjects")
    assert error == ERROR_ACCESS_DENIED
    assert await client.get(request, "key-pin") == "the pin"
    assert await client.get(request, "csr") == "a signing request"


async def test_a_reader_may_set_no_property(reader: Client, service: FakeService, objects: dict[str, str]) -> None:
    before = dict(service.requests()), dict(service.cas())
    for interface in (REQUEST, CA):
        for name, row in interface.properties.items():
            value = Variant("b", True) if row.type == "b" else Variant("s", "x")
            error, _ = await reader.error(
                objects[interface.name], PROPERTIES_INTERFACE, "Set", "ssv", (interface.name, name, value)
            )
            assert error == ERROR_ACCESS_DENIED, name
    assert (dict(service.requests()), dict(service.cas())) == before


@pytest.mark.parametrize("caller", [STRANGER, Caller(uid=None)])
async def test_everybody_else_may_do_nothing(
    api: CertmongerApi, group: list[str], objects: dict[str, str], caller: Caller
) -> None:
    group[0] = ""
    somebody, recorder = Client(api, caller), Recorder(api)
    calls = [(objects[interface], interface, member) for interface, member in ALL_METHODS]
    calls += [(ROOT_PATH, OBJECT_MANAGER_INTERFACE, "GetManagedObjects"), ("/", INTROSPECTABLE_INTERFACE, "Introspect")]
    calls += [("/", PEER_INTERFACE, "Ping"), ("/no/such/object", ROOT_INTERFACE, "get_requests")]
    for path, interface, member in calls:
        known = (interface, member) in ALL_METHODS
        signature = signature_of(interface, member) if known else ""
        error, body = await somebody.error(path, interface, member, signature, ARGUMENTS[signature])
        assert (error, "Only root" in str(body)) == (ERROR_ACCESS_DENIED, True)
    assert recorder.signals == []


async def test_the_group_counts_as_it_is_configured_now(reader: Client, group: list[str]) -> None:
    assert await reader.call(ROOT_PATH, ROOT_INTERFACE, "get_requests") == ((),)

    group[0] = "no-such-group"
    error, body = await reader.error(ROOT_PATH, ROOT_INTERFACE, "get_requests")
    assert error == ERROR_ACCESS_DENIED
    assert str(NOBODY.pw_uid) in str(body)
    assert "no-such-group" in str(body)


async def test_who_is_no_member_of_the_group_may_not_read(api: CertmongerApi, group: list[str]) -> None:
    group[0] = "daemon"
    assert NOBODY.pw_gid != grp.getgrnam("daemon").gr_gid
    error, _ = await Client(api, STRANGER).error(ROOT_PATH, ROOT_INTERFACE, "get_requests")
    assert error == ERROR_ACCESS_DENIED


async def test_a_user_whom_the_host_does_not_know_may_not_read(api: CertmongerApi) -> None:
    error, _ = await Client(api, Caller(uid=4_000_000_000)).error(ROOT_PATH, ROOT_INTERFACE, "get_requests")
    assert error == ERROR_ACCESS_DENIED


async def test_the_daemons_own_user_may_do_everything(api: CertmongerApi, base: dict[str, Variant]) -> None:
    assert os.geteuid() != OWN_UID
    assert await Client(api, Caller(uid=OWN_UID)).add(base)
