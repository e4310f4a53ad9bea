"""Serial numbers of the internal CA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.serials import next_serial, usable_serial


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ("01", "02"),
        ("09", "0A"),
        ("0f", "10"),
        ("7E", "7F"),
        ("7F", "0080"),
        ("0080", "0081"),
        ("FF", "0100"),
        ("7FFF", "008000"),
        ("", "01"),
        ("no number", "01"),
        ("-5", "01"),
        ("00", "01"),
    ],
)
def test_serials_are_counted_in_whole_octets_and_stay_positive(text: str, following: str) -> None:
    assert next_serial(text) == following


@given(st.integers(1, 2**160))
def test_the_next_serial_is_one_more(value: int) -> None:
    following = next_serial(format(value, "X"))
    assert int(following, 16) == value + 1
    assert len(following) % 2 == 0
    assert bytes.fromhex(following)[0] < 0x80
    assert usable_serial(following) == following


@given(st.text())
def test_there_is_always_a_usable_serial(text: str) -> None:
    assert int(usable_serial(text), 16) > 0
    assert int(next_serial(text), 16) > 0
