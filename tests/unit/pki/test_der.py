import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.pki import der


@given(st.integers())
def test_an_integer_survives_encoding(value: int) -> None:
    assert der.read_integer(der.decode(der.integer(value), der.INTEGER)) == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "020100"), (127, "02017f"), (128, "02020080"), (-1, "0201ff"), (-128, "020180"), (-129, "0202ff7f")],
)
def test_an_integer_takes_the_fewest_octets(value: int, encoded: str) -> None:
    assert der.integer(value).hex() == encoded


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**70), max_size=6))
def test_an_object_identifier_survives_encoding(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, [first, second, *rest]))
    assert der.read_oid(der.decode(der.oid(dotted))) == dotted


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "3.1", "1.40", "1.2.x", "1.-2", "1.2 3", "1.²"])
def test_text_that_is_no_object_identifier_is_refused(text: str) -> None:
    with pytest.raises(der.DerError, match="not an object identifier"):
        der.oid(text)


@pytest.mark.parametrize(
    ("bits", "encoded"), [("", "030100"), ("1", "03020780"), ("101", "030205a0"), ("000000001", "0303070080")]
)
def test_named_bits_drop_trailing_zeros(bits: str, encoded: str) -> None:
    assert der.named_bits(bits + "000").hex() == encoded
    assert der.read_bits(der.decode(bytes.fromhex(encoded))) == bits


@pytest.mark.parametrize("length", [0, 127, 128, 255, 256, 65535, 65536])
def test_content_of_any_length_survives_encoding(length: int) -> None:
    assert der.decode(der.octet_string(b"x" * length), der.OCTET_STRING).content == b"x" * length


@pytest.mark.parametrize("encoded", ["", "30", "3001", "3080", "308500000000ff", "1f810100", "0402ff"])
def test_bytes_that_are_no_element_are_refused(encoded: str) -> None:
    with pytest.raises(der.DerError):
        der.decode(bytes.fromhex(encoded))


def test_trailing_bytes_and_another_tag_are_refused() -> None:
    with pytest.raises(der.DerError, match="trailing"):
        der.decode(der.integer(1) + b"\0")
    with pytest.raises(der.DerError, match="tag"):
        der.decode(der.integer(1), der.SEQUENCE)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        element = der.decode(data)
    except der.DerError:
        return
    assert element.encoded == data
    assert list(der.readable_elements(data)) == [element]


@pytest.mark.parametrize(
    ("tag", "content", "text"),
    [
        (der.UTF8_STRING, b"\xc3\xa4", "ä"),
        (der.BMP_STRING, b"\x00\xe4", "ä"),
        (der.UNIVERSAL_STRING, b"\0\0\0\xe4", "ä"),
        (der.T61_STRING, b"\xe4", "ä"),
        (der.UTF8_STRING, b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_strings_of_all_types_are_read(tag: int, content: bytes, text: str) -> None:
    assert der.read_text(der.decode(der.encode(tag, content))) == text


def test_an_absurdly_long_object_identifier_is_refused() -> None:
    with pytest.raises(der.DerError):
        der.oid("1.2." + "9" * 5000)
    with pytest.raises(der.DerError):
        der.read_oid(der.decode(der.encode(der.OBJECT_IDENTIFIER, b"\xff" * 5000 + b"\x01")))
