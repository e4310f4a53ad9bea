"""What people really use: busctl, dbus-send, Debian's getcert, python-dbus-like calls."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from fakes.message_bus import Bus
from fakes.service import FakeService

from certmongerd.api import BUS_NAME, REQUEST_INTERFACE, ROOT_INTERFACE, ROOT_PATH
from certmongerd.busapi.peer import PeerServer
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca


async def run(*argv: str, **environment: str) -> tuple[int | None, str]:
    """Exit status and output, errors included."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} | environment,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.fixture
async def tracked(service: FakeService) -> str:
    await service.add_ca(Ca(id=CaName("local"), external_helper="/bin/helper"))
    return await service.add_request(service.new_request())


@pytest.mark.usefixtures("on_bus", "tracked")
async def test_busctl_shows_the_whole_tree(bus: Bus) -> None:
    status, output = await run("busctl", f"--address={bus.address}", "tree", "--list", BUS_NAME)

    assert status == 0
    assert output.split() == [
        "/",
        "/org",
        "/org/fedorahosted",
        "/org/fedorahosted/certmonger",
        "/org/fedorahosted/certmonger/cas",
        "/org/fedorahosted/certmonger/cas/CA1",
        "/org/fedorahosted/certmonger/requests",
        "/org/fedorahosted/certmonger/requests/Request1",
    ]


@pytest.mark.usefixtures("on_bus")
async def test_busctl_introspects_reads_and_writes(bus: Bus, tracked: str) -> None:
    target = (f"--address={bus.address}",)
    status, output = await run("busctl", *target, "introspect", BUS_NAME, tracked)
    assert status == 0, output
    assert "template-hostname" in output

    written = await run(
        "busctl", *target, "set-property", BUS_NAME, tracked, REQUEST_INTERFACE, "template-hostname", "as", "1", "www"
    )
    assert written == (0, "")
    read = await run("busctl", *target, "get-property", BUS_NAME, tracked, REQUEST_INTERFACE, "template-hostname")
    assert read == (0, 'as 1 "www"\n')


@pytest.mark.usefixtures("on_bus")
async def test_dbus_send_gets_replies_and_errors(bus: Bus, tracked: str) -> None:
    base = ("dbus-send", f"--bus={bus.address}", f"--dest={BUS_NAME}", "--print-reply=literal")

    status, output = await run(*base, ROOT_PATH, f"{ROOT_INTERFACE}.get_requests")
    assert (status, output.split()) == (0, ["array", "[", tracked, "]"])
    status, output = await run(*base, ROOT_PATH, f"{ROOT_INTERFACE}.find_ca_by_nickname", "string:nobody")
    assert (status, output.strip()) == (0, "")
    status, output = await run(*base, ROOT_PATH, f"{ROOT_INTERFACE}.nope")
    assert status == 1
    assert "UnknownMethod" in output


@pytest.mark.usefixtures("tracked")
async def test_dbus_send_works_on_the_private_socket(peer: PeerServer) -> None:
    base = ("dbus-send", f"--peer={peer.address}", "--print-reply=literal")

    status, output = await run(*base, f"--dest={BUS_NAME}", ROOT_PATH, f"{ROOT_INTERFACE}.get_known_cas")

    assert (status, output.split()) == (0, ["array", "[", f"{ROOT_PATH}/cas/CA1", "]"])


@pytest.mark.usefixtures("on_bus")
@pytest.mark.parametrize("way", ["bus", "private"])
async def test_certmongers_own_getcert_is_content(
    way: str, bus: Bus, peer: PeerServer, service: FakeService, tmp_path: Path
) -> None:
    ca = await service.add_ca(Ca(id=CaName("local"), external_helper="/bin/helper"))
    environment = {"HOME": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": bus.address}
    arguments: tuple[str, ...] = ("-s",)
    if way == "private":
        environment = {"HOME": str(tmp_path), "CERTMONGER_PVT_ADDRESS": peer.address}
        arguments = ()
    options = f"-I web -c local -f {tmp_path}/a.crt -k {tmp_path}/a.key -N CN=www -D www.example.com"
    made = await run("getcert", "request", *arguments, *options.split(), "-U", "1.3.6.1.5.5.7.3.1", **environment)
    assert made == (0, 'New signing request "web" added.\n')
    (request,) = service.requests().values()
    assert (request.id, request.ca_name, request.template.hostname) == ("web", "local", ("www.example.com",))
    assert request.template.eku == ("1.3.6.1.5.5.7.3.1",)

    status, output = await run("getcert", "list", *arguments, **environment)
    assert status == 0, output
    assert "Request ID 'web':" in output
    assert "\tCA: local\n" in output

    await service.change_ca(ca, lambda old: Ca(id=old.id, is_default=True), refetch=False)
    status, output = await run("getcert", "list-cas", *arguments, **environment)
    assert status == 0, output
    assert "is-default: yes" in output

    assert (await run("getcert", "stop-tracking", *arguments, "-i", "web", **environment))[0] == 0
    assert not service.requests()
