"""Random well-formed messages of every kind on the private socket: the daemon goes on and answers the next call."""

import asyncio
from contextlib import closing

from any_messages import calls, other_messages
from fakes.service import FakeService
from fakes.sockets import RawClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certmongerd.api import PEER_INTERFACE, ROOT_PATH
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.peer import PeerServer
from certmongerd.busapi.transport import MessageKind, WireMessage, encode

LAST_SERIAL = 2**32 - 1


def answers_to(address: str, messages: list[WireMessage]) -> list[WireMessage]:
    """What comes back for *messages*, up to the answer to a Ping behind them."""
    with closing(RawClient(address).authenticate()) as client:
        for message in messages:
            client.socket.sendall(encode(message))
        client.serial = LAST_SERIAL - 1
        ping = client.send(ROOT_PATH, PEER_INTERFACE, "Ping")
        received = [client.receive()]
        while received[-1].reply_serial != ping:
            received.append(client.receive())
        return received[:-1]


@given(messages=st.lists(st.one_of(calls(), other_messages()), max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_client_sends_each_call_gets_its_answer_and_nothing_else_does(messages: list[WireMessage]) -> None:
    wanted = [
        message.serial
        for message in messages
        if message.kind is MessageKind.CALL and not message.no_reply_expected and message.serial != LAST_SERIAL
    ]

    async def play() -> list[WireMessage]:
        server = await PeerServer.start(None, CertmongerApi(FakeService()))
        try:
            return await asyncio.to_thread(answers_to, server.address, [m for m in messages if m.serial != LAST_SERIAL])
        finally:
            await server.close()

    replies = asyncio.run(play())
    assert [reply.reply_serial for reply in replies] == wanted
