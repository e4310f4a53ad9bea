"""Without the library, GetManagedObjects and GetAll are written and read as the library would."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.busapi import transport
from certmongerd.busapi.marshal import (
    MANAGED_OBJECTS,
    PROPERTIES,
    Marshalled,
    NotReadable,
    ObjectsWriter,
    PropertyWriter,
    marshal_properties,
    read_managed_objects,
    read_properties,
)
from certmongerd.busapi.transport import Decoder, MessageKind, UnencodableMessage, Variant, WireMessage, encode

Objects = dict[str, dict[str, dict[str, Variant]]]

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
names = st.text("abcdefgh-", min_size=1, max_size=12)
variants = st.one_of(
    texts.map(lambda value: Variant("s", value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: Variant("x", value)),
    st.booleans().map(lambda value: Variant("b", value)),
    st.lists(texts, max_size=4).map(lambda value: Variant("as", tuple(value))),
    st.lists(st.tuples(texts, texts), max_size=3).map(lambda value: Variant("a(ss)", tuple(value))),
    st.sampled_from(["/", "/a/b"]).map(lambda value: Variant("o", value)),
)
objects = st.dictionaries(
    st.sampled_from([f"/objects/{number}" for number in range(6)]),
    st.dictionaries(
        st.sampled_from(["org.example.thing", "org.example.more"]),
        st.dictionaries(names, variants, max_size=5),
        max_size=2,
    ),
    max_size=4,
)


def reply(*body: object) -> WireMessage:
    return WireMessage(
        kind=MessageKind.REPLY, serial=1, reply_serial=2, destination=":1.7", signature=MANAGED_OBJECTS, body=body
    )


def append_all(buffer: bytearray, properties: dict[str, Variant]) -> None:
    for name, variant in properties.items():
        PropertyWriter(name, variant.signature).append(buffer, variant.value)


def written(content: Objects) -> Marshalled:
    writer = ObjectsWriter()
    for path, interfaces in content.items():
        writer.append(
            path,
            {name: partial(append_all, properties=properties) for name, properties in interfaces.items()},
        )
    return writer.finish()


def by_library(work: Callable[[], list[WireMessage] | bytes]) -> list[WireMessage] | bytes:
    """What *work* gives when nothing but the library reads and writes."""
    with (
        patch.object(transport, "_read", side_effect=NotReadable),
        patch.object(transport, "marshal_values", return_value=None),
    ):
        return work()


@given(objects)
@pytest.mark.usefixtures("library")
def test_what_is_written_is_what_the_library_reads(content: Objects) -> None:
    encoded = encode(reply(written(content)))

    assert by_library(lambda: Decoder().feed(encoded)) == [reply(content)]


@given(objects)
@pytest.mark.usefixtures("library")
def test_what_the_library_writes_is_read(content: Objects) -> None:
    (read,) = Decoder(is_from_bus=True).feed(encode(reply(content)))

    assert read == reply(content)


@given(st.dictionaries(names, variants, max_size=6))
@pytest.mark.usefixtures("library")
def test_properties_alone_are_written_and_read_alike(content: dict[str, Variant]) -> None:
    alone = replace(reply(content), signature=PROPERTIES)
    marshalled = replace(alone, body=(marshal_properties(partial(append_all, properties=content)),))

    assert by_library(lambda: Decoder().feed(encode(marshalled))) == [alone]
    assert Decoder(is_from_bus=True).feed(encode(alone)) == [alone]


elements = st.sampled_from(["org.example", "org.example.things", "a.b.c_d"])
paths = st.sampled_from(["/", "/a", "/a/b_1/C"])
plain = st.one_of(
    st.tuples(st.just("s"), texts),
    st.tuples(st.just("o"), paths),
    st.tuples(st.just("b"), st.booleans()),
    st.tuples(st.just("i"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("x"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("ay"), st.binary(max_size=5)),
    st.tuples(st.just("as"), st.lists(texts, max_size=3).map(tuple)),
)
serials = st.integers(1, 2**32 - 1)
addresses = st.none() | st.sampled_from([":1.1", ":1.4711", "org.example.Server"])


@st.composite
def messages(draw: st.DrawFn) -> WireMessage:
    """Of each kind, with a body of plain values, mostly."""
    kind = draw(st.sampled_from(MessageKind))
    is_answer = kind in (MessageKind.REPLY, MessageKind.ERROR)
    values = draw(st.lists(plain, max_size=5))
    return WireMessage(
        kind=kind,
        serial=draw(serials),
        reply_serial=draw(serials) if is_answer else None,
        path=None if is_answer else draw(paths),
        interface=None if is_answer else draw(elements),
        member=None if is_answer else draw(st.sampled_from(["Get", "get_status"])),
        error_name=draw(elements) if kind is MessageKind.ERROR else None,
        destination=draw(addresses),
        signature="".join(type_ for type_, _ in values),
        body=tuple(value for _, value in values),
        no_reply_expected=draw(st.booleans()),
    )


@given(messages(), st.booleans())
@pytest.mark.usefixtures("library")
def test_plain_messages_are_written_and_read_as_by_the_library(message: WireMessage, is_from_bus: bool) -> None:
    encoded = encode(message)

    assert encoded == by_library(lambda: encode(message))
    assert Decoder(is_from_bus=is_from_bus).feed(encoded) == [message]
    assert by_library(lambda: Decoder().feed(encoded)) == [message]


@pytest.mark.parametrize(
    ("signature", "value"), [("s", 1), ("s", None), ("o", "no/path"), ("o", "//"), ("b", "yes"), ("b", 1)]
)
def test_a_value_of_another_type_is_no_answer(signature: str, value: object) -> None:
    with pytest.raises(UnencodableMessage):
        encode(replace(reply(value), signature=signature))


@pytest.mark.usefixtures("library")
def test_types_that_are_not_handled_are_left_to_the_library() -> None:
    content = {"/a": {"i.f": {"name": Variant("s", "a"), "map": Variant("a{sv}", {"k": Variant("u", 3)})}}}

    (read,) = Decoder(is_from_bus=True).feed(encode(reply(content)))

    assert read == reply(content)


def test_text_no_bus_would_accept_is_made_acceptable() -> None:
    (read,) = Decoder().feed(encode(reply(written({"/a": {"i.f": {"p": Variant("s", "a\0b\udcff")}}}))))

    assert read == reply({"/a": {"i.f": {"p": Variant("s", "a\N{REPLACEMENT CHARACTER}b?")}}})


@given(st.binary(max_size=100))
def test_random_bytes_are_not_readable_and_nothing_worse(data: bytes) -> None:
    with contextlib.suppress(NotReadable):
        read_managed_objects(data, Variant)
    with contextlib.suppress(NotReadable):
        read_properties(data, Variant)
