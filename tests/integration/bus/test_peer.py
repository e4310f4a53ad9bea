"""The private socket."""

import asyncio
import logging
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.service import FakeService
from fakes.sockets import RawClient, file_request, until

from certmongerd.api import DBUS_NAME, DBUS_PATH, REQUEST_INTERFACE, ROOT_INTERFACE, ROOT_PATH
from certmongerd.busapi.address import parse_addresses
from certmongerd.busapi.blocking import BlockingConnection, BusError, BusUnavailable
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.faults import ListenFailed
from certmongerd.busapi.peer import PeerServer
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import ObjectPath
from certmongerd.core.model import Request
from certmongerd.core.states import State


def with_csr(csr: str) -> Callable[[Request], Request]:
    return lambda request: replace(request, csr=csr)


def requests_of(address: str, *, destination: str | None = None) -> tuple[object, ...]:
    with BlockingConnection.connect(address) as connection:
        return connection.call(destination, ROOT_PATH, ROOT_INTERFACE, "get_requests")


async def test_the_address_is_abstract_random_and_tells_the_guid(peer: PeerServer, api: CertmongerApi) -> None:
    other = await PeerServer.start(None, api)
    await other.close()

    (address,) = parse_addresses(peer.address)
    assert address.socket_name().startswith("\0/run/certmonger/listen-")
    assert address.guid is not None
    assert other.address != peer.address


@pytest.mark.parametrize("destination", [None, "org.fedorahosted.certmonger", "a.b", ":1.5"])
async def test_the_destination_does_not_matter_and_may_be_missing(destination: str | None, peer: PeerServer) -> None:
    assert await asyncio.to_thread(requests_of, peer.address, destination=destination) == ((),)


async def test_a_path_socket_is_private_and_goes_away(api: CertmongerApi, tmp_path: Path) -> None:
    path = tmp_path / "my socket"
    server = await PeerServer.start(str(path), api)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await asyncio.to_thread(requests_of, server.address) == ((),)
    finally:
        await server.close()

    assert not path.exists()


async def test_a_temporary_directory_works(api: CertmongerApi, tmp_path: Path) -> None:
    server = await PeerServer.start(f"tmpdir={tmp_path}", api)
    try:
        assert await asyncio.to_thread(requests_of, server.address) == ((),)
    finally:
        await server.close()

    assert os.listdir(tmp_path) == []


async def test_a_stale_socket_is_replaced(api: CertmongerApi, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    server = await PeerServer.start(str(path), api)
    try:
        assert await asyncio.to_thread(requests_of, server.address) == ((),)
    finally:
        await server.close()


async def test_other_files_and_living_sockets_are_left_alone(api: CertmongerApi, tmp_path: Path) -> None:
    file, living = tmp_path / "file", tmp_path / "living"
    file.write_text("precious")
    server = await PeerServer.start(str(living), api)
    try:
        for path, reason in ((file, "not a socket"), (living, "another process"), (tmp_path / "no/x", "No such file")):
            with pytest.raises(ListenFailed, match=reason):
                await PeerServer.start(str(path), api)
    finally:
        await server.close()

    assert file.read_text() == "precious"


@pytest.mark.parametrize("location", ["tcp", "tcp:host=localhost", "path=", "", "abstract=" + "x" * 200])
async def test_bad_locations_are_refused(location: str, api: CertmongerApi) -> None:
    if location:
        with pytest.raises(ListenFailed):
            await PeerServer.start(location, api)
    else:
        server = await PeerServer.start(location, api)  # empty means the default
        await server.close()
        assert "abstract" in server.address


async def test_the_callers_uid_is_the_sockets(peer: PeerServer, service: FakeService, tmp_path: Path) -> None:
    """certmonger stores the process id."""

    def add() -> None:
        entries = file_request(f"{tmp_path}/a.crt") | {"cert-presave-command": Variant("s", "/bin/true")}
        with BlockingConnection.connect(peer.address) as connection:
            connection.call(None, ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (entries,))

    await asyncio.to_thread(add)

    (request,) = service.requests().values()
    assert request.pre_save.uid == str(os.geteuid())


async def test_signals_come_after_a_match_and_stop_without(
    peer: PeerServer, service: FakeService, tmp_path: Path
) -> None:
    connection = await asyncio.to_thread(BlockingConnection.connect, peer.address)
    with connection:
        entries = file_request(f"{tmp_path}/a.crt")
        added = await asyncio.to_thread(
            connection.call, None, ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (entries,)
        )
        path = ObjectPath(str(added[1]))
        assert await asyncio.to_thread(connection.next_signal, 0) is None

        await asyncio.to_thread(connection.add_match, "type='signal'")
        service.set_state(path, State.NEED_KEY_PAIR)
        signal_ = await asyncio.to_thread(connection.next_signal, 20)
        assert signal_ is not None
        assert signal_.body == (REQUEST_INTERFACE, {"status": Variant("s", "NEED_KEY_PAIR")}, ())

        rule = ("type='signal'",)
        await asyncio.to_thread(connection.call, DBUS_NAME, DBUS_PATH, DBUS_NAME, "RemoveMatch", "s", rule)
        service.set_state(path, State.HAVE_KEY_PAIR)
        assert await asyncio.to_thread(connection.call, None, ROOT_PATH, ROOT_INTERFACE, "get_known_cas") == ((),)
        assert connection.next_signal(0) is None


async def test_the_private_socket_is_no_bus(peer: PeerServer) -> None:
    def hello() -> str:
        with BlockingConnection.connect(peer.address) as connection, pytest.raises(BusError) as refused:
            connection.hello()
        return refused.value.name

    assert await asyncio.to_thread(hello) == "org.freedesktop.DBus.Error.UnknownMethod"


async def test_calls_of_one_client_are_answered_in_order_and_others_do_not_wait(
    peer: PeerServer, service: FakeService, tmp_path: Path
) -> None:
    service.gate = asyncio.Event()
    slow = await asyncio.to_thread(lambda: RawClient(peer.address).authenticate())
    first = slow.send(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (file_request(f"{tmp_path}/a.crt"),))
    second = slow.send(ROOT_PATH, ROOT_INTERFACE, "nope")
    third = slow.send(ROOT_PATH, ROOT_INTERFACE, "get_requests")

    assert await asyncio.to_thread(requests_of, peer.address) == ((),)
    service.gate.set()

    replies = [await asyncio.to_thread(slow.receive) for _ in range(3)]
    slow.close()
    assert [reply.reply_serial for reply in replies] == [first, second, third]
    assert replies[2].body == ((f"{ROOT_PATH}/requests/Request1",),)


async def test_five_hundred_large_replies_reach_a_client_that_reads_slowly(
    peer: PeerServer, service: FakeService, tmp_path: Path
) -> None:
    """A full socket must make the daemon wait, not drop the connection."""
    path = await service.add_request(service.new_request())
    large = "x" * 5000
    await service.change_request(path, with_csr(large), restart=False)
    client = await asyncio.to_thread(lambda: RawClient(peer.address, receive_buffer=4096).authenticate())

    def converse() -> list[object]:
        for _ in range(500):
            client.send(path, REQUEST_INTERFACE, "get_csr_data")
        found: list[object] = []
        for number in range(500):
            if number % 50 == 0:
                time.sleep(0.02)
            reply = client.receive()
            found.append((reply.reply_serial, reply.body))
        return found

    found = await asyncio.to_thread(converse)
    client.close()

    assert found == [(serial, (large,)) for serial in range(1, 501)]


async def test_a_client_that_does_not_read_its_signals_is_disconnected(
    peer: PeerServer, service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    path = await service.add_request(service.new_request())
    client = await asyncio.to_thread(lambda: RawClient(peer.address, receive_buffer=4096).authenticate())
    client.send(DBUS_PATH, DBUS_NAME, "AddMatch", "s", ("",))
    assert (await asyncio.to_thread(client.receive)).body == ()

    with caplog.at_level(logging.WARNING):
        for number in range(200):
            await service.change_request(path, with_csr(f"{number}" + "x" * 200_000), restart=False)

    assert "does not read its signals" in caplog.text
    assert await asyncio.to_thread(client.is_closed)
    client.close()


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0AUTH EXT", b"\0AUTH EXTERNAL 30\r\nBEG", b"GET / HTTP/1.0\r\n\r\n", b"\0" + b"A" * 10_000]
)
async def test_a_client_leaving_during_authentication_leaves_nothing_behind(data: bytes, peer: PeerServer) -> None:
    before = len(asyncio.all_tasks())
    client = await asyncio.to_thread(RawClient, peer.address)
    client.socket.sendall(data)
    client.close()

    assert await asyncio.to_thread(requests_of, peer.address) == ((),)
    await until(lambda: len(asyncio.all_tasks()) <= before)  # the client's task has ended, it does not spin


@pytest.mark.parametrize("garbage", [b"x" * 100, b"l\1\0\1" + b"\xff" * 100, b"l\1\0\1" + b"\0" * 60])
async def test_garbage_ends_the_connection_and_nothing_else(garbage: bytes, peer: PeerServer) -> None:
    client = await asyncio.to_thread(lambda: RawClient(peer.address).authenticate())
    client.socket.sendall(garbage)

    assert await asyncio.to_thread(client.is_closed)
    client.close()
    assert await asyncio.to_thread(requests_of, peer.address) == ((),)


async def test_a_call_in_progress_is_finished_when_its_client_leaves(
    peer: PeerServer, service: FakeService, tmp_path: Path
) -> None:
    service.gate = asyncio.Event()
    client = await asyncio.to_thread(lambda: RawClient(peer.address).authenticate())
    client.send(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (file_request(f"{tmp_path}/a.crt"),))
    client.close()
    assert await asyncio.to_thread(requests_of, peer.address) == ((),)
    service.gate.set()

    await until(lambda: bool(service.requests()))


FOREIGN = """
import os, sys
from certmongerd.busapi.blocking import BlockingConnection, BusUnavailable
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    BlockingConnection.connect(sys.argv[1], timeout_s=10)
except BusUnavailable as refusal:
    print(refusal.reason)
"""


async def test_other_users_are_refused(peer: PeerServer) -> None:
    """Needs root, as the daemon's tests on a system do."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FOREIGN, peer.address, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, errors = await process.communicate()

    assert (errors, process.returncode) == (b"", 0)
    assert b"does not admit user id 65534" in out


async def test_nobody_listening_is_said_so() -> None:
    with pytest.raises(BusUnavailable, match="refused"):
        await asyncio.to_thread(BlockingConnection.connect, "unix:abstract=/nobody/listens/here")


async def test_closing_the_server_disconnects_clients(api: CertmongerApi) -> None:
    server = await PeerServer.start(None, api)
    client = await asyncio.to_thread(lambda: RawClient(server.address).authenticate())

    await server.close()

    assert await asyncio.to_thread(client.is_closed)
    client.close()
