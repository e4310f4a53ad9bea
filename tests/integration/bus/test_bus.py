"""On a real dbus-daemon."""

import asyncio
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.message_bus import Bus
from fakes.service import FakeService
from fakes.sockets import RawClient, file_request

from certmongerd.api import (
    BUS_NAME,
    DBUS_NAME,
    DBUS_PATH,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.blocking import BlockingConnection, BusError
from certmongerd.busapi.bus import BusConnection
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.faults import BusUnavailable, NameTaken
from certmongerd.busapi.transport import Variant, WireMessage
from certmongerd.core.ids import ObjectPath
from certmongerd.core.states import State


def connected(address: str) -> BlockingConnection:
    connection = BlockingConnection.connect(address)
    connection.hello()
    return connection


def call_once(address: str, path: str, interface: str, member: str, signature: str = "", *body: object) -> object:
    with connected(address) as connection:
        return connection.call(BUS_NAME, path, interface, member, signature, body)


@pytest.mark.usefixtures("on_bus")
async def test_calls_are_answered_under_the_well_known_name(bus: Bus, service: FakeService, tmp_path: Path) -> None:
    entries = file_request(f"{tmp_path}/a.crt") | {"cert-postsave-command": Variant("s", "/bin/true")}

    added = await asyncio.to_thread(call_once, bus.address, ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", entries)

    assert added == (True, f"{ROOT_PATH}/requests/Request1")
    (request,) = service.requests().values()
    assert request.post_save.uid == str(os.geteuid())


@pytest.mark.usefixtures("on_bus")
async def test_errors_keep_their_whole_body(bus: Bus) -> None:
    with pytest.raises(BusError) as refused:
        await asyncio.to_thread(
            call_once, bus.address, ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", {"x": Variant("s", "y")}
        )

    assert refused.value.name == "org.fedorahosted.certmonger.missing_arg"
    assert refused.value.body == ("Certificate storage type not specified.", "CERT_STORAGE")


@pytest.mark.usefixtures("on_bus")
async def test_signals_are_broadcast(bus: Bus, service: FakeService) -> None:
    path = await service.add_request(service.new_request())
    with await asyncio.to_thread(connected, bus.address) as listener:
        await asyncio.to_thread(listener.add_match, f"type='signal',interface='{PROPERTIES_INTERFACE}'")
        service.set_state(path, State.NEED_KEY_PAIR)
        signal = await _next_of(listener, "PropertiesChanged")

    assert (signal.path, signal.body[1]) == (path, {"status": Variant("s", "NEED_KEY_PAIR")})


async def _next_of(listener: BlockingConnection, member: str) -> WireMessage:
    while True:
        signal = await asyncio.to_thread(listener.next_signal, 20)
        assert signal is not None
        if signal.member == member:
            return signal


async def test_a_taken_name_is_a_clear_error(bus: Bus, on_bus: BusConnection, api: CertmongerApi) -> None:
    with pytest.raises(NameTaken, match=r"org\.fedorahosted\.certmonger"):
        await BusConnection.connect(bus.address, api)

    assert on_bus.unique_name
    owner = await asyncio.to_thread(call_bus, bus.address, "GetNameOwner", BUS_NAME)
    assert owner == (on_bus.unique_name,)


def call_bus(address: str, member: str, *body: str) -> tuple[object, ...]:
    with connected(address) as connection:
        return connection.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, member, "s" * len(body), body)


async def test_closing_frees_the_name(bus: Bus, api: CertmongerApi) -> None:
    connection = await BusConnection.connect(bus.address, api)
    await connection.close()

    second = await BusConnection.connect(bus.address, api)
    await second.close()


@pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", "tcp:host=localhost,port=1", "nonsense"])
async def test_no_bus_is_a_clear_error(address: str, api: CertmongerApi) -> None:
    with pytest.raises(BusUnavailable) as failure:
        await BusConnection.connect(address, api)

    assert address in str(failure.value)


async def test_losing_the_bus_is_noticed(bus: Bus, on_bus: BusConnection, service: FakeService) -> None:
    path = await service.add_request(service.new_request())
    bus.stop()

    async with asyncio.timeout(10):
        await on_bus.lost.wait()
    service.set_state(path, State.NEED_KEY_PAIR)  # announced to nobody, without trouble


@pytest.mark.usefixtures("on_bus")
async def test_a_slow_call_keeps_nobody_else_waiting(bus: Bus, service: FakeService, tmp_path: Path) -> None:
    service.gate = asyncio.Event()
    with await asyncio.to_thread(connected, bus.address) as slow:
        pending = asyncio.create_task(
            asyncio.to_thread(
                slow.call,
                BUS_NAME,
                ROOT_PATH,
                ROOT_INTERFACE,
                "add_request",
                "a{sv}",
                (file_request(f"{tmp_path}/a.crt"),),
            )
        )
        assert await asyncio.to_thread(call_once, bus.address, ROOT_PATH, ROOT_INTERFACE, "get_requests") == ((),)
        assert not pending.done()
        service.gate.set()
        assert await pending == (True, f"{ROOT_PATH}/requests/Request1")


@pytest.mark.usefixtures("on_bus")
async def test_five_hundred_pipelined_calls_are_all_answered(bus: Bus, service: FakeService) -> None:
    path = await service.add_request(service.new_request())
    service.set_request(path, replace(service.requests()[path], csr="x" * 5000))

    def converse() -> list[int | None]:
        with closing(RawClient(bus.address)) as client:
            client.authenticate().send(DBUS_PATH, DBUS_NAME, "Hello", destination=DBUS_NAME)
            wanted = [client.send(path, REQUEST_INTERFACE, "get_csr_data", destination=BUS_NAME) for _ in range(500)]
            found: list[int | None] = []
            while len(found) < len(wanted):
                reply = client.receive()
                if reply.reply_serial in wanted:
                    assert reply.body == ("x" * 5000,)
                    found.append(reply.reply_serial)
            return found

    assert await asyncio.to_thread(converse) == list(range(2, 502))


@pytest.mark.usefixtures("on_bus")
async def test_a_client_that_left_is_forgotten_quietly(bus: Bus, service: FakeService, tmp_path: Path) -> None:
    def leave() -> None:
        client = RawClient(bus.address).authenticate()
        client.send(DBUS_PATH, DBUS_NAME, "Hello", destination=DBUS_NAME)
        client.send(
            ROOT_PATH,
            ROOT_INTERFACE,
            "add_request",
            "a{sv}",
            (file_request(f"{tmp_path}/a.crt"),),
            destination=BUS_NAME,
        )
        client.close()

    for _ in range(5):
        await asyncio.to_thread(leave)

    found = await asyncio.to_thread(call_once, bus.address, ROOT_PATH, ROOT_INTERFACE, "get_requests")
    assert isinstance(found, tuple)


async def test_a_cancelled_call_leaves_no_reply_handler(on_bus: BusConnection) -> None:
    connection = on_bus._connection
    before = connection.pending_replies
    calls = [asyncio.create_task(connection.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, "ListNames")) for _ in range(20)]
    await asyncio.sleep(0)
    assert connection.pending_replies == before + 20
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    assert connection.pending_replies == before
    with pytest.raises(TimeoutError):
        await connection.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, "ListNames", timeout_s=0)
    assert connection.pending_replies == before
    (names,) = await connection.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, "ListNames")
    assert isinstance(names, tuple)
    assert BUS_NAME in names


async def test_a_call_that_waits_when_the_bus_goes_away_fails(bus: Bus, on_bus: BusConnection) -> None:
    call = asyncio.create_task(on_bus._connection.call(on_bus.unique_name, "/", "a.b", "Never"))
    await asyncio.sleep(0)
    bus.stop()

    with pytest.raises((BusUnavailable, BusError)):
        await call


async def test_property_names_with_hyphens_work_from_outside(
    bus: Bus, on_bus: BusConnection, service: FakeService
) -> None:
    path = await service.add_request(service.new_request())

    for body in ((REQUEST_INTERFACE, "template-ca-path-length"), ("", "key-size")):
        found = await asyncio.to_thread(call_once, bus.address, path, PROPERTIES_INTERFACE, "Get", "ss", *body)
        assert isinstance(found, tuple)
        assert isinstance(found[0], Variant)
    assert on_bus.unique_name
    assert ObjectPath(path) in service.requests()
