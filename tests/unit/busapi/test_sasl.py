"""Authentication of both sides, byte by byte."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.busapi.sasl import AuthenticationRejected, ClientAuthentication, ServerAuthentication
from certmongerd.core.errors import RemoteProtocolError

GUID = "0123456789abcdef0123456789abcdef"
HEX_1000 = b"31303030"


def a_server(peer_uid: int = 1000) -> ServerAuthentication:
    return ServerAuthentication(guid=GUID, peer_uid=peer_uid, allowed_uids={0, 1000})


def test_client_and_server_agree() -> None:
    server, client = a_server(), ClientAuthentication(1000)

    answer = server.receive(client.start())
    begin = client.receive(answer)
    rest = server.receive(begin + b"l\1\0\1")

    assert (client.finished, server.finished) == (True, True)
    assert client.server_guid == GUID
    assert rest == b""
    assert server.leftover() == b"l\1\0\1"


def test_bytes_may_arrive_one_at_a_time() -> None:
    server = a_server()
    answers = b"".join(server.receive(bytes([byte])) for byte in b"\0AUTH EXTERNAL " + HEX_1000 + b"\r\nBEGIN\r\n")

    assert answers == f"OK {GUID}\r\n".encode()
    assert server.finished


def test_the_socket_says_who_the_client_is_when_it_does_not() -> None:
    server = a_server()

    assert server.receive(b"\0AUTH EXTERNAL\r\n") == b"DATA\r\n"
    assert server.receive(b"DATA\r\n").startswith(b"OK ")


@pytest.mark.parametrize(
    ("peer_uid", "line"),
    [
        (1000, b"AUTH EXTERNAL 30"),  # claims to be root
        (1001, b"AUTH EXTERNAL 31303031"),  # is somebody else
        (1001, b"AUTH EXTERNAL "),
        (1000, b"AUTH EXTERNAL zz"),
        (1000, b"AUTH ANONYMOUS"),
        (1000, b"AUTH DBUS_COOKIE_SHA1 31303030"),
        (1000, b"AUTH"),
    ],
)
def test_others_and_other_mechanisms_are_rejected(peer_uid: int, line: bytes) -> None:
    server = a_server(peer_uid)

    assert server.receive(b"\0" + line + b"\r\n") == b"REJECTED EXTERNAL\r\n"
    assert not server.finished


def test_descriptor_passing_is_declined_and_authentication_goes_on() -> None:
    server = a_server()
    server.receive(b"\0AUTH EXTERNAL " + HEX_1000 + b"\r\n")

    assert server.receive(b"NEGOTIATE_UNIX_FD\r\n").startswith(b"ERROR")
    server.receive(b"BEGIN\r\n")
    assert server.finished


def test_root_is_let_in() -> None:
    assert a_server(peer_uid=0).receive(b"\0AUTH EXTERNAL 30\r\n").startswith(b"OK ")


def test_cancel_starts_again() -> None:
    server = a_server()
    server.receive(b"\0AUTH EXTERNAL " + HEX_1000 + b"\r\n")

    assert server.receive(b"CANCEL\r\n") == b"REJECTED EXTERNAL\r\n"
    with pytest.raises(RemoteProtocolError):
        server.receive(b"BEGIN\r\n")


@pytest.mark.parametrize("data", [b"AUTH EXTERNAL 30\r\n", b"\0BEGIN\r\n", b"\0" + b"A" * 9000, b"\0\xff\r\n"])
def test_nonsense_ends_the_conversation(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        a_server().receive(data)


def test_patience_with_failures_is_limited() -> None:
    with pytest.raises(AuthenticationRejected):
        a_server().receive(b"\0" + b"AUTH FOO\r\n" * 50)


def test_a_rejected_client_says_so() -> None:
    with pytest.raises(AuthenticationRejected, match="1000"):
        ClientAuthentication(1000).receive(b"REJECTED EXTERNAL\r\n")


def test_a_client_understands_only_known_answers() -> None:
    with pytest.raises(RemoteProtocolError):
        ClientAuthentication(1000).receive(b"HELLO\r\n")


@given(st.binary(max_size=300))
def test_a_server_raises_nothing_undeclared(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError, AuthenticationRejected):
        a_server().receive(data)
