"""Random well-formed calls: each is answered as it asks to be, none does harm, and an error changes nothing."""

import asyncio
from dataclasses import replace

from any_messages import calls
from fakes.caller import ROOT_USER, through_the_wire
from fakes.service import FakeService
from hypothesis import given, settings

from certmongerd.api import ERROR_CA_INTERNAL, ERROR_INTERNAL, ERROR_REQUEST_INTERNAL
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.transport import MessageKind, WireMessage
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import Ca, CertStorage, Request, StorageType

INTERNAL = {ERROR_INTERNAL, ERROR_CA_INTERNAL, ERROR_REQUEST_INTERNAL}
LIMIT_S = 20


async def peopled() -> FakeService:
    service = FakeService()
    for name in ("IPA", "local"):
        await service.add_ca(Ca(id=CaName(name), external_helper="/bin/helper"))
    for name in ("web", "mail"):
        storage = CertStorage(type=StorageType.FILE, location=f"/tmp/{name}.crt")
        await service.add_request(Request(id=Nickname(name), cert_storage=storage, ca_name=CaName("local")))
    return service


def everything(service: FakeService) -> object:
    """All that a call can change."""
    return (
        dict(service.requests()),
        dict(service.cas()),
        list(service.commands),
        list(service.restarted),
        list(service.refetched),
    )


async def answer(service: FakeService, call: WireMessage) -> WireMessage | None:
    signals: list[bytes] = []

    class Sink:
        def emit(self, encoded: bytes) -> None:
            signals.append(encoded)

    api = CertmongerApi(service)
    api.attach(Sink())
    async with asyncio.timeout(LIMIT_S):
        reply = await api.handle(call, ROOT_USER)
    if reply is not None and reply.kind is MessageKind.ERROR:
        assert signals == []
    return reply


@given(call=calls())
@settings(max_examples=500, deadline=None)
def test_every_call_is_answered_and_an_error_changes_nothing(call: WireMessage) -> None:
    arrived = through_the_wire(call)
    assert arrived == call

    async def play() -> None:
        service = await peopled()
        before = everything(service)
        reply = await answer(service, arrived)
        if call.no_reply_expected:
            assert reply is None
            return
        assert reply is not None
        assert reply.reply_serial == call.serial
        decoded = through_the_wire(replace(reply, serial=1))  # what cannot be sent would be no answer
        if reply.kind is MessageKind.ERROR:
            assert reply.error_name not in INTERNAL, reply.body
            assert isinstance(decoded.body[0], str)
            assert everything(service) == before

    asyncio.run(play())
