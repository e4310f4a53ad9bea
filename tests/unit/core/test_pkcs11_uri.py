import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.errors import InvalidValue
from certmongerd.core.pkcs11_uri import Pkcs11Uri, is_pkcs11, parse_uri


def test_all_attributes_are_read() -> None:
    uri = (
        "pkcs11:token=My%20token;manufacturer=M;serial=01;model=X;slot-id=3;object=web%3b1;id=%00%ff;type=private"
        "?module-path=/usr/lib/m.so&module-name=softhsm2&pin-source=file:///etc/pin"
    )
    assert parse_uri(uri) == Pkcs11Uri(
        token="My token",
        manufacturer="M",
        serial="01",
        model="X",
        slot_id=3,
        object="web;1",
        id=b"\0\xff",
        module_path="/usr/lib/m.so",
        module_name="softhsm2",
        pin_file="/etc/pin",
    )


@pytest.mark.parametrize("source", ["file:/etc/pin", "file:///etc/pin", "/etc/pin"])
def test_a_pin_source_is_a_file(source: str) -> None:
    assert parse_uri(f"pkcs11:object=a?pin-source={source}").pin_file == "/etc/pin"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("pkcs11:", "names no key"),
        ("pkcs11:token=a", "names no key"),
        ("pkcs11:object=", "names no key"),
        ("/etc/key", "does not begin with pkcs11:"),
        ("pkcs11:object=a;type=cert", "type has to be private"),
        ("pkcs11:object=a;object=b", "object is there twice"),
        ("pkcs11:object=a;colour=blue", "colour is not known"),
        ("pkcs11:object=a;slot-description=b", "slot-description is not supported"),
        ("pkcs11:object=a;slot-id=x", "slot-id is not a number"),
        ("pkcs11:object=a;token", "not of the form"),
        ("pkcs11:object=%zz", "no two hexadecimal digits"),
        ("pkcs11:object=%ff", "object is not UTF-8"),
        ("pkcs11:object=a?module-path=m.so", "not an absolute path"),
        ("pkcs11:object=a?module-name=../m", "not the name of a library"),
        ("pkcs11:object=a?pin-source=|cat", "not an absolute path"),
        ("pkcs11:object=a?object=b", "object is not known"),
    ],
)
def test_what_cannot_be_used_is_told(uri: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        parse_uri(uri)


def test_a_pin_in_the_uri_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidValue, match="pin-value") as caught:
        parse_uri("pkcs11:object=a?pin-value=4711")
    assert "4711" not in str(caught.value)


@given(st.text(alphabet="pkcs1:;=?&%/abd-0\xff"))
def test_nothing_else_is_raised(text: str) -> None:
    for uri in (text, f"pkcs11:{text}"):
        try:
            assert parse_uri(uri).object or parse_uri(uri).id
            assert is_pkcs11(uri)
        except InvalidValue:
            continue
