"""Calls: lookup, failures, activity."""

import asyncio
import logging
from pathlib import Path

import pytest
from fakes.caller import Client, s
from fakes.service import FakeService

from certmongerd.api import PEER_INTERFACE, REQUEST_INTERFACE, ROOT_INTERFACE, ROOT_PATH
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.service import RequestCommand
from certmongerd.busapi.transport import MessageKind, Variant
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca


async def test_the_interface_may_be_left_out(client: Client, base: dict[str, Variant]) -> None:
    path = await client.add(base)

    assert await client.call(ROOT_PATH, None, "get_requests") == ((path,),)
    assert await client.call(path, None, "get_status") == ("NEWLY_ADDED", False)


async def test_peer_answers_on_every_path(client: Client) -> None:
    for path in ("/", ROOT_PATH, "/does/not/exist"):
        assert await client.call(path, PEER_INTERFACE, "Ping") == ()
    (identity,) = await client.call("/", PEER_INTERFACE, "GetMachineId")
    assert len(str(identity)) == 32

    name, body = await client.error("/", PEER_INTERFACE, "Nope")
    assert name == "org.freedesktop.DBus.Error.UnknownMethod"
    assert body == ("Unknown method invoked on org.freedesktop.DBus.Peer interface",)


async def test_lists_are_in_ascending_order(client: Client, service: FakeService, tmp_path: Path) -> None:
    for number in range(12):
        await service.add_ca(Ca(id=CaName(str(number))))
        await client.add({"CERT_STORAGE": s("FILE"), "CERT_LOCATION": s(f"{tmp_path}/{number}")})

    (requests,) = await client.call(ROOT_PATH, ROOT_INTERFACE, "get_requests")
    (cas,) = await client.call(ROOT_PATH, ROOT_INTERFACE, "get_known_cas")

    assert requests == tuple(f"{ROOT_PATH}/requests/Request{number}" for number in range(1, 13))
    assert cas == tuple(f"{ROOT_PATH}/cas/CA{number}" for number in range(1, 13))


async def test_capabilities_are_told(client: Client) -> None:
    assert await client.call(ROOT_PATH, ROOT_INTERFACE, "get_supported_key_types") == (
        ("RSA", "EC", "Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"),
    )
    for member in ("get_supported_key_storage", "get_supported_cert_storage"):
        assert await client.call(ROOT_PATH, ROOT_INTERFACE, member) == (("NSSDB", "FILE"),)


async def test_objects_are_found_by_exact_nickname(
    client: Client, service: FakeService, base: dict[str, Variant]
) -> None:
    ca = await service.add_ca(Ca(id=CaName("IPA")))
    path = await client.add(base | {"NICKNAME": s("Web")})

    assert await client.call(ROOT_PATH, ROOT_INTERFACE, "find_request_by_nickname", "s", ("Web",)) == (path,)
    assert await client.call(ROOT_PATH, ROOT_INTERFACE, "find_ca_by_nickname", "s", ("IPA",)) == (ca,)


@pytest.mark.parametrize(
    ("member", "command", "accepted"),
    [
        ("resubmit", RequestCommand.RESUBMIT, True),
        ("rekey", RequestCommand.REKEY, True),
        ("refresh", RequestCommand.REFRESH, False),
    ],
)
async def test_commands_go_to_the_state_machine(
    member: str,
    command: RequestCommand,
    accepted: bool,
    client: Client,
    service: FakeService,
    base: dict[str, Variant],
) -> None:
    path = await client.add(base)

    assert await client.call(path, REQUEST_INTERFACE, member) == (accepted,)
    assert service.commands == [(path, command)]


async def test_a_known_ca_needs_all_three_arguments(client: Client, service: FakeService) -> None:
    for signature, body in (("s", ("x",)), ("ss", ("x", "y")), ("sss", ("x", "y", "z")), ("", ())):
        name, _ = await client.error(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", signature, body)
        assert name == "org.freedesktop.DBus.Error.InvalidArgs"
    name, _ = await client.error(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", ("", "/bin/x", ()))
    assert name == "org.fedorahosted.certmonger.bad_arg"

    added = await client.call(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", ("new", "/bin/x", ("CN=a",)))
    assert added == (True, f"{ROOT_PATH}/cas/CA1")
    (ca,) = service.cas().values()
    assert (ca.external_helper, ca.issuer_names) == ("/bin/x", ("CN=a",))


async def test_two_cas_added_at_once_do_not_get_the_same_nickname(client: Client, service: FakeService) -> None:
    service.gate = asyncio.Event()
    first = asyncio.create_task(client.call(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", ("a", "", ())))
    await asyncio.sleep(0)
    second = await client.reply(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", ("A", "", ()))
    service.gate.set()

    assert second.error_name == "org.fedorahosted.certmonger.duplicate"
    assert (await first)[0] is True


async def test_an_internal_failure_tells_a_number_and_nothing_else(
    client: Client, service: FakeService, base: dict[str, Variant], caplog: pytest.LogCaptureFixture
) -> None:
    path = await client.add(base)
    service.failure = RuntimeError("the secret cause")

    with caplog.at_level(logging.ERROR):
        name, body = await client.error(path, REQUEST_INTERFACE, "resubmit")

    assert name == "org.fedorahosted.certmonger.request.internal"
    assert str(body[0]).startswith("An internal error has occurred.")
    assert "1" in str(body[0])
    assert "secret cause" not in str(body)
    assert "Internal error 1" in caplog.text
    assert "the secret cause" in caplog.text
    service.failure = None
    assert await client.call(path, REQUEST_INTERFACE, "resubmit") == (True,)


async def test_a_request_removed_while_the_call_waited_is_unknown(
    client: Client, service: FakeService, base: dict[str, Variant]
) -> None:
    path = await client.add(base)
    service.gate = asyncio.Event()
    removing = asyncio.create_task(client.call(ROOT_PATH, ROOT_INTERFACE, "remove_request", "o", (path,)))
    refreshing = asyncio.create_task(client.reply(path, REQUEST_INTERFACE, "refresh"))
    await asyncio.sleep(0)
    service.gate.set()

    assert await removing == (True,)
    assert (await refreshing).error_name == "org.freedesktop.DBus.Error.UnknownMethod"


async def test_a_caller_that_wants_no_reply_gets_none(client: Client, service: FakeService) -> None:
    body = ("quiet", "", ())

    assert await client.message(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", body, no_reply=True) is None
    assert await client.message(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", body, no_reply=True) is None
    assert len(service.cas()) == 1


async def test_activity_is_every_call_but_ping(service: FakeService) -> None:
    calls: list[int] = []
    client = Client(CertmongerApi(service, activity=lambda: calls.append(1)))

    await client.call("/", PEER_INTERFACE, "Ping")
    assert calls == []
    await client.reply("/nope", "a.b", "nope")
    await client.call(ROOT_PATH, ROOT_INTERFACE, "get_requests")
    message = await client.message(ROOT_PATH, PEER_INTERFACE, "GetMachineId")
    assert message is not None
    assert message.kind is MessageKind.REPLY
    assert len(calls) == 3
