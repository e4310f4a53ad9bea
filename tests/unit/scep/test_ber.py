"""From BER to definite lengths."""

import pytest
from fakes.scep_cms import indefinite, tlv
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.pki.der import encode
from certmongerd.scep.ber import to_der


def test_indefinite_lengths_become_definite() -> None:
    assert to_der(indefinite(0x30, indefinite(0xA0, tlv(2, b"\1")))) == tlv(0x30, tlv(0xA0, tlv(2, b"\1")))


def test_strings_in_pieces_are_put_together() -> None:
    pieces = indefinite(0x24, tlv(4, b"abc"), tlv(0x24, tlv(4, b"de"), tlv(4, b"f")))
    assert to_der(pieces) == tlv(4, b"abcdef")


def test_bit_strings_in_pieces_keep_the_unused_bits_of_the_last() -> None:
    assert to_der(tlv(0x23, tlv(3, b"\0ab"), tlv(3, b"\4c"))) == tlv(3, b"\4abc")


def test_what_is_definite_keeps_its_bytes_also_with_long_lengths() -> None:
    unusual = b"\x30\x81\x03" + tlv(2, b"\1")
    assert to_der(tlv(0x30, unusual)) == tlv(0x30, unusual)


def test_bytes_after_the_element_are_dropped() -> None:
    assert to_der(tlv(2, b"\1") + b"\r\n") == tlv(2, b"\1")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x05\2\1",
        b"\x04\x80ab\0\0",
        b"\x24\x03\x02\x01\x00",
        b"\x30\x80" * 50,
        b"\x30\x89" + b"\1" * 12,
    ],
)
def test_what_is_cut_off_or_wrong_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        to_der(data)


@given(st.binary(max_size=400))
def test_any_bytes_give_der_or_the_declared_error(data: bytes) -> None:
    try:
        once = to_der(data)
    except RemoteProtocolError:
        return
    assert to_der(once) == once


@given(st.binary(max_size=70_000))
def test_encoding_a_string_is_undone_by_reading_it(content: bytes) -> None:
    assert to_der(encode(4, content)) == tlv(4, content)
