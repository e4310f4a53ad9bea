import json
from pathlib import Path

import pytest
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.name_types import SHOWN
from certmongerd.pki.names import encode_name, format_name, name_from_der, parse_name, repaired_name

_RECORDED = json.loads(
    (Path(__file__).parents[2] / "data" / "names" / "certmonger-0.79.17.json").read_text(encoding="utf-8")
)


def _pairs(name: bytes) -> list[list[tuple[str, str]]]:
    """OIDs and texts, RDN by RDN."""
    rdns = []
    for rdn in der.decode(name).children():
        pairs = [attribute.children() for attribute in rdn.children()]
        rdns.append([(der.read_oid(oid), der.read_text(value)) for oid, value in pairs])
    return rdns


@pytest.mark.parametrize("row", _RECORDED, ids=lambda row: row["text"])
def test_names_are_shown_as_certmonger_shows_them(row: dict[str, str]) -> None:
    assert format_name(bytes.fromhex(row["der"])) == row["text"]


def test_typed_order_is_der_order_and_shown_order_is_the_reverse() -> None:
    name = encode_name("CN=full,O=Org")
    assert _pairs(name) == [[("2.5.4.3", "full")], [("2.5.4.10", "Org")]]
    assert format_name(name) == "O=Org,CN=full"


@pytest.mark.parametrize(
    ("text", "rdns"),
    [
        ("plain", [[("2.5.4.3", "plain")]]),
        ("a,b", [[("2.5.4.3", "a,b")]]),
        ("", []),
        ("  ", []),
        ("cn=low", [[("2.5.4.3", "low")]]),
        ("CN = a , O = b ", [[("2.5.4.3", "a")], [("2.5.4.10", "b")]]),
        ('O="Ex, ample",CN=x', [[("2.5.4.10", "Ex, ample")], [("2.5.4.3", "x")]]),
        (r"CN=a\,b", [[("2.5.4.3", "a,b")]]),
        (r"CN=a\2cb", [[("2.5.4.3", "a,b")]]),
        (r"CN=\c3\a4", [[("2.5.4.3", "ä")]]),
        (r"CN=a\ ", [[("2.5.4.3", "a ")]]),
        (r'CN="a\"b\\"', [[("2.5.4.3", 'a"b\\')]]),
        ("CN=a=b", [[("2.5.4.3", "a=b")]]),
        ("CN=a+OU=b,O=c", [[("2.5.4.3", "a"), ("2.5.4.11", "b")], [("2.5.4.10", "c")]]),
        ("1.2.3.4=foo,OID.2.5.4.3=x", [[("1.2.3.4", "foo")], [("2.5.4.3", "x")]]),
        ("CN=#0c0161", [[("2.5.4.3", "a")]]),
        ("CN=", [[("2.5.4.3", "")]]),
        (
            "emailAddress=a@b,DC=example",
            [[("1.2.840.113549.1.9.1", "a@b")], [("0.9.2342.19200300.100.1.25", "example")]],
        ),
    ],
)
def test_typed_names_are_understood(text: str, rdns: list[list[tuple[str, str]]]) -> None:
    assert _pairs(encode_name(text)) == rdns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bogus=1,CN=x", '"bogus" is not a known attribute type'),
        ("plain = x", '"plain" is not a known attribute type'),
        ("CN=a,x", "no type=value pair"),
        ("CN=a,,O=b", "not a known attribute type"),
        ("CN=a,", "no type=value pair"),
        ("=x", "not a known attribute type"),
        ('CN="a', "not closed"),
        ('CN="a"b', "follows a closing quotation mark"),
        ('CN=a"b', "needs a backslash"),
        ("CN=a\\", "ends with a backslash"),
        (r"CN=\e4", "not UTF-8"),
        ("CN=#x", "no hexadecimal digits"),
        ("CN=#0c05", "truncated"),
        ("9.9.9=x", "not an object identifier"),
    ],
)
def test_names_that_cannot_be_understood_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason) as caught:
        parse_name(text)
    assert caught.value.what == "template-subject"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("CN=www.example.org", der.PRINTABLE_STRING),
        ("CN=*.example.org", der.UTF8_STRING),
        ("CN=under_score", der.UTF8_STRING),
        ("CN=ä", der.UTF8_STRING),
        ("O=Org", der.UTF8_STRING),
        ("C=US", der.PRINTABLE_STRING),
        ("serialNumber=5", der.PRINTABLE_STRING),
        ("DC=org", der.IA5_STRING),
        ("E=a@b", der.IA5_STRING),
    ],
)
def test_printable_string_is_used_only_for_its_characters(text: str, tag: int) -> None:
    (rdn,) = der.decode(encode_name(text)).children()
    assert rdn.children()[0].children()[1].tag == tag


def test_the_library_gets_the_name_with_its_own_string_types() -> None:
    name = parse_name("CN=x,O=Org")
    assert name.public_bytes() == encode_name("CN=x,O=Org")
    assert name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "x"
    assert format_name(name) == "O=Org,CN=x"


def test_bytes_that_are_no_name_are_refused() -> None:
    for function in (format_name, name_from_der, repaired_name):
        for data in (b"", b"\x30", b"\x30\x02\x05\x00", b"\x02\x01\x05"):
            with pytest.raises(InvalidValue):
                function(data)


def test_a_wrong_printable_string_is_repaired_and_nothing_else() -> None:
    wrong = der.sequence(
        der.set_of(der.sequence(der.oid("2.5.4.3"), der.encode(der.PRINTABLE_STRING, b"*.example.org"))),
        der.set_of(der.sequence(der.oid("2.5.4.10"), der.encode(der.T61_STRING, b"\xfc"))),
    )
    repaired = repaired_name(wrong)
    assert format_name(repaired) == format_name(wrong)
    assert repaired == wrong.replace(b"\x13\x0d*", b"\x0c\x0d*")


_VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_OIDS = st.one_of(
    st.sampled_from(sorted(SHOWN)),
    st.lists(st.integers(0, 10**6), max_size=4).map(lambda arcs: ".".join(["1.3", *map(str, arcs)])),
)


@given(st.lists(st.lists(st.tuples(_OIDS, _VALUES), min_size=1, max_size=2), max_size=4))
def test_what_is_shown_can_be_typed_again(rdns: list[list[tuple[str, str]]]) -> None:
    name = der.sequence(
        *(
            der.set_of(*(der.sequence(der.oid(oid), der.text(der.UTF8_STRING, value)) for oid, value in rdn))
            for rdn in rdns
        )
    )
    shown = format_name(name)
    again = encode_name(shown)
    assert [sorted(rdn) for rdn in _pairs(again)] == [sorted(rdn) for rdn in reversed(_pairs(name))]
    assert not any(ord(char) < 0x20 for char in shown)


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = encode_name(text)
    except InvalidValue:
        return
    assert format_name(encode_name(format_name(name))).count("=") >= len(_pairs(name))


@given(st.binary(max_size=60))
def test_any_bytes_are_shown_or_refused(data: bytes) -> None:
    for encoded in (data, der.sequence(data), der.sequence(der.set_of(data))):
        try:
            format_name(encoded)
        except InvalidValue:
            continue
