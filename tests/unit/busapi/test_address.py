"""D-Bus addresses."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.busapi.address import (
    Address,
    InvalidAddress,
    parse_addresses,
    parse_listen_address,
    private_address,
    session_bus_address,
    system_bus_address,
)

UUID = "0123456789abcdef0123456789abcdef"


def test_a_list_of_addresses_is_read_in_order() -> None:
    first, second = parse_addresses(f"unix:path=/run/a%20b,guid={UUID};unix:abstract=/x")

    assert (first.socket_name(), first.guid) == ("/run/a b", UUID)
    assert (second.socket_name(), second.guid) == ("\0/x", None)


@pytest.mark.parametrize(
    "text",
    ["", ";", "unix", ":path=/a", "unix:path", "unix:=x", "unix:path=/a,path=/b", "unix:path=%4", "unix:guid=12"],
)
def test_malformed_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_addresses(text)


@pytest.mark.parametrize(
    "text",
    [
        "tcp:host=localhost,port=1",
        "unix:guid=" + UUID,
        "unix:path=/a,abstract=b",
        "unix:path=",
        "unix:path=/" + "a" * 200,
    ],
)
def test_addresses_nothing_can_connect_to_are_refused(text: str) -> None:
    (address,) = parse_addresses(text)

    with pytest.raises(InvalidAddress):
        address.socket_name()


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (None, "unix:abstract=/run/certmonger/listen-" + UUID),
        ("/run/my socket", "unix:path=/run/my%20socket"),
        ("abstract=/x", "unix:abstract=/x"),
        ("path=/y", "unix:path=/y"),
        ("tmpdir=/tmp", "unix:tmpdir=/tmp"),
    ],
)
def test_the_private_address_follows_the_location_option(location: str | None, expected: str) -> None:
    assert private_address(location, UUID) == expected


def test_a_temporary_directory_becomes_a_path_in_it() -> None:
    assert parse_listen_address("unix:tmpdir=/tmp/", random_name="r").socket_name() == "/tmp/dbus-r"


def test_buses_come_from_the_environment() -> None:
    assert system_bus_address({}) == "unix:path=/run/dbus/system_bus_socket"
    assert system_bus_address({"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/a"}) == "unix:path=/a"
    assert session_bus_address({}) is None
    assert session_bus_address({"XDG_RUNTIME_DIR": "/run/user/1"}) == "unix:path=/run/user/1/bus"
    assert (
        session_bus_address({"DBUS_SESSION_BUS_ADDRESS": "autolaunch:", "XDG_RUNTIME_DIR": "/r"}) == "unix:path=/r/bus"
    )
    assert session_bus_address({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/b"}) == "unix:path=/b"


@given(st.text(min_size=1, max_size=20, alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_path_survives_writing_and_reading(name: str) -> None:
    address = Address("unix", (("path", "/" + name),))

    assert parse_addresses(str(address)) == (address,)


@given(st.text(max_size=40))
def test_reading_raises_nothing_undeclared(text: str) -> None:
    with contextlib.suppress(InvalidAddress):
        parse_addresses(text)
