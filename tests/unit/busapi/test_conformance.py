"""What is not a valid message is found out before a library reads it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.busapi.conformance import check_message, complete_types
from certmongerd.busapi.transport import MessageKind, Variant, WireMessage, encode
from certmongerd.core.errors import RemoteProtocolError


def encoded(signature: str, *body: object) -> bytes:
    return encode(
        WireMessage(
            kind=MessageKind.CALL, serial=3, path="/a", interface="a.b", member="c", signature=signature, body=body
        )
    )


@pytest.mark.parametrize(
    ("signature", "types"),
    [
        ("", ()),
        ("sa{sv}as", ("s", "a{sv}", "as")),
        ("a(s(xx))v", ("a(s(xx))", "v")),
        ("a{oa{sa{sv}}}", ("a{oa{sa{sv}}}",)),
        ("a" * 32 + "y", ("a" * 32 + "y",)),
    ],
)
def test_signatures_are_cut_into_complete_types(signature: str, types: tuple[str, ...]) -> None:
    assert complete_types(signature) == types


@pytest.mark.parametrize(
    "signature",
    ["a", "(", "()", "(s", "{sv}", "a{vs}", "a{s}", "a{sss}", "a{(s)s}", "z", ")", "a" * 33 + "y", "(" * 33],
)
def test_malformed_signatures_are_refused(signature: str) -> None:
    with pytest.raises(RemoteProtocolError):
        complete_types(signature)


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("", ()),
        ("ybnqiuxtd", (1, True, -2, 3, -4, 5, -6, 7, 0.5)),
        ("sogas", ("grün", "/", "as", ("x",))),
        ("aayax", ((b"ab", b""), (1, 2))),
        ("a{sv}", ({"k": Variant("a(ss)", (("a", "b"),)), "e": Variant("a{sv}", {})},)),
    ],
)
def test_valid_messages_pass(signature: str, body: tuple[object, ...]) -> None:
    check_message(encoded(signature, *body))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"name\0", b"name\1"),  # not terminated
        (b"name\0", b"na\0e\0"),
        (b"name\0", b"na\xffe\0"),
        (b"\4\0\0\0name", b"\5\0\0\0name"),
        (b"\4\0\0\0name", b"\3\0\0\0nam\0"),
        (b"\4\0\0\0name", b"\xff\xff\xff\x7fname"),
    ],
)
def test_malformed_strings_are_refused(good: bytes, bad: bytes) -> None:
    message = encoded("s", "name")
    assert good in message

    with pytest.raises(RemoteProtocolError):
        check_message(message.replace(good, bad))


def test_a_boolean_is_zero_or_one() -> None:
    message = bytearray(encoded("b", True))
    message[-4] = 2

    with pytest.raises(RemoteProtocolError, match="boolean"):
        check_message(bytes(message))


def test_padding_is_zero() -> None:
    message = bytearray(encoded("yx", 1, 1))
    message[-9] = 1

    with pytest.raises(RemoteProtocolError, match="padding"):
        check_message(bytes(message))


def test_an_object_path_is_well_formed() -> None:
    message = encoded("o", "/good")

    with pytest.raises(RemoteProtocolError, match="object path"):
        check_message(message.replace(b"/good", b"/goo/"))


def test_surplus_bytes_in_the_body_are_noticed() -> None:
    message = encoded("s", "x") + b"\0"

    with pytest.raises(RemoteProtocolError):
        check_message(message[:4] + (7).to_bytes(4, "little") + message[8:])


@given(st.integers(min_value=0, max_value=400), st.binary(min_size=1, max_size=6))
def test_damage_raises_nothing_undeclared(position: int, damage: bytes) -> None:
    message = bytearray(encoded("sa{sv}as", "i", {"k": Variant("a(ss)", (("a", "b"),)), "v": Variant("x", 5)}, ("z",)))
    start = 16 + position % (len(message) - 16)
    message[start : start + len(damage)] = damage[: len(message) - start]

    with contextlib.suppress(RemoteProtocolError):
        check_message(bytes(message))
