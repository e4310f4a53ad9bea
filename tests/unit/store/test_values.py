"""How single values are spelled."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import store_values
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.model import CaType, KeyAlgorithm
from certmongerd.store import values
from certmongerd.store.values import (
    Malformed,
    read_boolean,
    read_count,
    read_integer,
    read_list,
    read_mode,
    read_time,
    write_list,
)


@given(st.lists(store_values.some_text).map(tuple))
def test_lists_survive(elements: tuple[str, ...]) -> None:
    assert read_list(write_list(elements)) == elements


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", ()),
        (",,", ()),
        ("a,,b,", ("a", "b")),
        ("a\\,b,c\\\\", ("a,b", "c\\")),
        ("a\\", ("a\\",)),
        ("\\x\\,", ("x,",)),
        ('CN=t\\,O="Org\\, Inc"', ('CN=t,O="Org, Inc"',)),
        ("\\\\,\\,", ("\\", ",")),
        ("\udcc3\\\udca4", ("ä",)),  # bytes that a backslash kept from being a character
    ],
)
def test_list_elements(text: str, elements: tuple[str, ...]) -> None:
    assert read_list(text) == elements


def test_empty_elements_vanish() -> None:
    assert write_list(("a", "", "b")) == "a,b"


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-2", -2), (" 7", 7), ("12 # twelve", 12), ("+3", 3)])
def test_numbers(text: str, number: int) -> None:
    assert read_integer(text) == number


@pytest.mark.parametrize("text", ["", "yes", "-", "٣"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(Malformed):
        read_integer(text)


def test_every_number_but_zero_is_true() -> None:
    assert [read_boolean(text) for text in ("-1", "0", "1", "2", "00")] == [True, False, True, True, False]


@pytest.mark.parametrize(("text", "mode"), [("0", 0), ("640", 0o640), ("0640", 0o640), ("7777", 0o7777)])
def test_modes(text: str, mode: int) -> None:
    assert read_mode(text) == mode


@pytest.mark.parametrize("text", ["", "-1", "648", "10000", "rw"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(Malformed):
        read_mode(text)


def test_modes_are_written_without_leading_zero() -> None:
    assert [values.MODE.write(mode) for mode in (0, 0o604, 0o40)] == ["0", "604", "40"]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("", None),
        ("19700101000000", None),
        ("20261123114546", datetime(2026, 11, 23, 11, 45, 46, tzinfo=UTC)),
        ("20261123114546Z", datetime(2026, 11, 23, 11, 45, 46, tzinfo=UTC)),
        ("261123114546", datetime(2026, 11, 23, 11, 45, 46, tzinfo=UTC)),
        ("261123114546Z", datetime(2026, 11, 23, 11, 45, 46, tzinfo=UTC)),
        ("491231235959", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("500101000000", datetime(1950, 1, 1, tzinfo=UTC)),
    ],
)
def test_times(text: str, time: datetime | None) -> None:
    assert read_time(text) == time


@pytest.mark.parametrize("text", ["never", "2026", "20261123114560", "00000101000000", "2026112311454"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Malformed):
        read_time(text)


def test_times_are_written_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))

    assert values.TIME.write(datetime(2026, 1, 1, 0, 30, tzinfo=berlin)) == "20251231233000"


def test_never_is_written_as_the_start_of_1970_or_not_at_all() -> None:
    assert values.TIME.write(None) == "19700101000000"
    assert values.TIME_IF_ANY.write(None) == ""


@pytest.mark.parametrize("text", ["0", "zz", "é"])
def test_what_is_no_hexadecimal(text: str) -> None:
    with pytest.raises(Malformed):
        values.HEX.read(text)


@pytest.mark.parametrize("text", ["a", "????", "é"])
def test_what_is_no_base64(text: str) -> None:
    with pytest.raises(Malformed):
        values.BASE64.read(text)


def test_a_pem_text_ends_with_one_line_feed_whatever_it_came_with() -> None:
    for text in ("A\nB", "A\nB\n", "A\nB\n\n", "A\r\nB\r\n"):
        assert values.PEM.read(text) == "A\nB\n"
        assert values.PEM.write(text) == "A\nB"


@given(store_values.addresses)
def test_addresses_survive_in_both_spellings(addresses: tuple[str, ...]) -> None:
    assert values.ADDRESSES.read(values.ADDRESSES.write(addresses)) == addresses
    assert values.BASE64_ADDRESSES.read(values.BASE64_ADDRESSES.write(addresses)) == addresses
    assert values.ADDRESSES.read(values.BASE64_ADDRESSES.write(addresses)) == addresses


@given(store_values.texts)
def test_what_is_no_address_is_kept(text: str) -> None:
    elements = values.read_list(text)

    assert values.ADDRESSES.read(text) == elements


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        ("RSA", KeyAlgorithm.RSA),
        ("ec", KeyAlgorithm.EC),
        ("ECDSA", KeyAlgorithm.EC),
        ("UNSPECIFIED", None),
        ("DSA", None),
    ],
)
def test_algorithms(text: str, algorithm: KeyAlgorithm | None) -> None:
    assert values.ALGORITHM.read(text) is algorithm


def test_ca_types_other_than_the_internal_one_are_external() -> None:
    assert values.CA_TYPE.read("internal:self") is CaType.INTERNAL_SELF
    assert values.CA_TYPE.read("INTERNAL:OTHER") is CaType.EXTERNAL


def test_a_default_ca_is_written_so_that_certmonger_does_not_abort_on_it() -> None:
    for text in (values.DEFAULT_FLAG.write(True), values.DEFAULT_FLAG.write(False)):
        assert int(text) & 1 == 0  # all that fits into certmonger's one-bit field
    assert values.DEFAULT_FLAG.read(values.DEFAULT_FLAG.write(True)) is True
    assert values.DEFAULT_FLAG.read(values.DEFAULT_FLAG.write(False)) is False


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("-3", 0), ("999999999999999999", 2**31 - 1)])
def test_a_count_is_one_that_fits_on_the_bus(text: str, number: int) -> None:
    assert read_count(text) == number
