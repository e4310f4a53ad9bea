"""Messages to bytes and back, with either library, and their known traps."""

import contextlib
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.busapi import transport
from certmongerd.busapi.transport import (
    Decoder,
    MessageKind,
    UndecodableMessage,
    UnencodableMessage,
    Variant,
    WireMessage,
    encode,
    with_serial,
)
from certmongerd.core.errors import CertmongerError, RemoteProtocolError

pytestmark = pytest.mark.usefixtures("library")


def a_call(signature: str = "", *body: object) -> WireMessage:
    return WireMessage(
        kind=MessageKind.CALL,
        serial=7,
        path="/a/b",
        interface="a.b",
        member="c",
        destination=":1.5",
        signature=signature,
        body=body,
    )


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("", ()),
        ("s", ("grün",)),
        ("ybnqiuxtd", (1, True, -2, 3, -4, 5, -6, 7, 0.5)),
        ("og", ("/a", "a{sv}")),
        ("as", (("a", "b"),)),
        ("ay", (b"\0\1",)),
        ("a(ss)", ((("n", "pem"), ("m", "pem")),)),
        ("a{sv}", ({"template-subject": Variant("s", "CN=x"), "l": Variant("as", ())},)),
        ("v", (Variant("a{sv}", {"deep": Variant("v", Variant("(sx)", ("a", -1)))}),)),
        ("a{oa{sa{sv}}}", ({"/a": {"i.f": {"cert-chain": Variant("a(ss)", (("a", "b"),))}}},)),
    ],
)
def test_bodies_survive_the_wire(signature: str, body: tuple[object, ...]) -> None:
    message = a_call(signature, *body)

    assert Decoder().feed(encode(message)) == [message]


@pytest.mark.parametrize(
    "message",
    [
        WireMessage(kind=MessageKind.REPLY, serial=1, reply_serial=2, destination=":1.1"),
        WireMessage(
            kind=MessageKind.ERROR, serial=1, reply_serial=2, error_name="a.b", signature="ss", body=("text", "key")
        ),
        WireMessage(kind=MessageKind.SIGNAL, serial=1, path="/a", interface="a.b", member="S", no_reply_expected=True),
    ],
)
def test_every_kind_survives_the_wire(message: WireMessage) -> None:
    assert Decoder().feed(encode(message)) == [message]


def test_messages_arriving_byte_by_byte_are_put_together() -> None:
    data = encode(a_call("s", "one")) + encode(a_call("s", "two"))
    decoder = Decoder()

    found = [message for byte in data for message in decoder.feed(bytes([byte]))]

    assert [message.body for message in found] == [("one",), ("two",)]


def test_a_signal_can_be_renumbered_without_encoding_it_again() -> None:
    (message,) = Decoder().feed(with_serial(encode(a_call()), 4711))

    assert message.serial == 4711


def test_garbage_is_a_protocol_error() -> None:
    with pytest.raises(RemoteProtocolError):
        Decoder().feed(b"GET / HTTP/1.1\r\n\r\n")


def test_a_message_longer_than_the_limit_is_refused_before_it_is_read() -> None:
    head = encode(a_call())[:4] + (2**27).to_bytes(4, "little") + encode(a_call())[8:16]

    with pytest.raises(RemoteProtocolError, match="limit"):
        Decoder(max_message_bytes=1000).feed(head)


def test_after_an_undecodable_message_the_next_one_is_read() -> None:
    bad = encode(a_call("s", "name")).replace(b"name", b"\xff\xff\xff\xff")
    decoder = Decoder(is_from_bus=True)

    with pytest.raises(UndecodableMessage):
        decoder.feed(bad + encode(a_call("s", "good")))

    assert [message.body for message in decoder.feed(b"")] == [("good",)]


def test_a_string_with_nul_is_refused() -> None:
    bad = encode(a_call("s", "name")).replace(b"name", b"n\0me")

    for is_from_bus in (False, True):
        with pytest.raises(RemoteProtocolError, match="NUL"):
            Decoder(is_from_bus=is_from_bus).feed(bad)


def test_text_no_bus_would_accept_is_made_acceptable() -> None:
    (message,) = Decoder().feed(encode(a_call("ss", "a\0b", "c\udcffd")))

    assert message.body == ("a\N{REPLACEMENT CHARACTER}b", "c?d")


def test_unknown_message_types_are_ignored() -> None:
    unknown = bytearray(encode(a_call()))
    unknown[1] = 77

    assert Decoder().feed(bytes(unknown) + encode(a_call())) == [a_call()]


def test_deeply_nested_variants_are_an_error_and_nothing_worse() -> None:
    depth = 20_000
    nested = b"\1v\0" * depth + b"\1y\0\5"
    whole = encode(a_call("v", Variant("y", 5)))
    body_length = 4
    forged = whole[:4] + len(nested).to_bytes(4, "little") + whole[8:-body_length] + nested

    for is_from_bus in (False, True):
        with pytest.raises(RemoteProtocolError):
            Decoder(is_from_bus=is_from_bus).feed(forged)


@pytest.mark.parametrize(
    ("signature", "body"),
    [("s", (1,)), ("x", ("text",)), ("s", ()), ("", ("surplus",)), ("q(", (1,)), ("o", ("no path",))],
)
def test_a_body_that_does_not_match_is_an_error_of_ours(signature: str, body: tuple[object, ...], library: str) -> None:
    if library == "dbus_fast" and signature == "o":
        body = (17,)  # this library leaves the syntax of paths to its caller

    with pytest.raises(UnencodableMessage):
        encode(a_call(signature, *body))


def test_a_message_without_serial_is_an_error_of_ours() -> None:
    with pytest.raises(UnencodableMessage):
        encode(WireMessage(kind=MessageKind.REPLY, reply_serial=1))


def test_made_up_signatures_do_not_pile_up() -> None:
    for number in range(2500):
        signature = "".join("yq"[number >> bit & 1] for bit in range(12))
        Decoder().feed(encode(a_call(signature, *([1] * 12))))

    cache = transport._library.signature_cache
    assert cache is None or len(cache) < 2000


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_undeclared(data: bytes) -> None:
    decoder = Decoder()
    with contextlib.suppress(RemoteProtocolError):
        decoder.feed(data)


@given(st.integers(min_value=0, max_value=150), st.integers(min_value=0, max_value=255))
def test_one_wrong_byte_raises_nothing_undeclared(position: int, value: int) -> None:
    data = bytearray(encode(a_call("sa{sv}as", "i.f", {"key": Variant("as", ("v",))}, ("x",))))
    data[position % len(data)] = value
    decoder = Decoder()
    with contextlib.suppress(RemoteProtocolError):
        decoder.feed(bytes(data))


def test_an_unknown_library_is_refused_by_name() -> None:
    with pytest.raises(CertmongerError, match="pydbus"):
        transport.use_library("pydbus")


def run_python(code: str, library: str) -> str:
    environment = os.environ | {transport.LIBRARY_VARIABLE: library}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_pythons_without_no_type_check_decorator_can_load_it(library: str) -> None:
    """Python 3.15 removed the name, and dbus_next.service imports it."""
    code = """
import typing
if hasattr(typing, "no_type_check_decorator"): del typing.no_type_check_decorator
from certmongerd.busapi import transport
print(transport.library_name())
import dbus_next.service
"""

    assert run_python(code, library).strip() == library


def test_a_client_program_does_not_load_asyncio(library: str) -> None:
    code = "import sys; import certmongerd.busapi.blocking; print('asyncio' in sys.modules)"

    assert run_python(code, library).strip() == "False"
