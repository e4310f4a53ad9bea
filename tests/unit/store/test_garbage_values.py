"""Whatever a value consists of, it is read, written and read again alike: no key of a state file is an exception."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certmongerd.core.errors import InvalidValue
from certmongerd.store.cas import CA_TABLE, read_ca, write_ca
from certmongerd.store.format import parse, render
from certmongerd.store.requests import REQUEST_TABLE, read_request, write_request

LINE_BREAKS = (b"\r", b"\n ", b"\r\n ", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\x0b", b"\x0c", b"\x1c")
MARKS = (b" ", b"\t", b"\\", b",", b"=", b"#", b":", b"/", b".", b"%", b"\xff", b"\xd9\xa0", b"\xc4\xb1")
WORDS = (
    *(b"-----BEGIN X-----", b"-----END X-----", b"MTkyLjAuMi4x", b"192.0.2.1", b"::1%", b"sql:/", b"7", b"0"),
    *(b"MONITORING", b"FILE", b"EC", b"20261123114531", b"700101000000", b"19700101000000", b"id-kp-serverAuth"),
)
VALUES = st.lists(st.sampled_from((*LINE_BREAKS, *MARKS, *WORDS)), max_size=7).map(b"".join)
REQUEST_KEYS = st.sampled_from([item.key for item in REQUEST_TABLE.rows])
CA_KEYS = st.sampled_from([item.key for item in CA_TABLE.rows])


def assert_request_survives(data: bytes) -> None:
    try:
        request, _ = read_request(parse(data))
    except InvalidValue:
        return
    written = render(write_request(request))
    again, _ = read_request(parse(written))
    assert (again, again.unknown) == (request, request.unknown)
    assert render(write_request(again)) == written


def assert_ca_survives(data: bytes) -> None:
    try:
        ca, _ = read_ca(parse(data))
    except InvalidValue:
        return
    written = render(write_ca(ca))
    again, _ = read_ca(parse(written))
    assert (again, again.unknown) == (ca, ca.unknown)
    assert render(write_ca(again)) == written


@settings(max_examples=1500)
@given(REQUEST_KEYS, VALUES)
def test_a_request_with_any_value_survives(key: str, value: bytes) -> None:
    assert_request_survives(b"id=a\n" + key.encode() + b"=" + value + b"\n")


@settings(max_examples=500)
@given(CA_KEYS, VALUES)
def test_a_ca_with_any_value_survives(key: str, value: bytes) -> None:
    assert_ca_survives(b"id=a\n" + key.encode() + b"=" + value + b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"csr=a\r\n \r\r",
        b"cert=\r",
        b"cert_roots=nick\rname\r\n -----BEGIN X-----\r\r\n -----END X-----\r",
        b"cert_ipaddress=192.0.2.1 and more",
        b"cert_ipaddress=/\x85",
        b"cert_ipaddress=::1%\xff",
        b"cert_not_after=19700101000000+",
    ],
)
def test_values_that_once_did_not_survive(line: bytes) -> None:
    assert_request_survives(b"id=a\n" + line + b"\n")


def test_the_certificate_of_a_ca_survives_carriage_returns() -> None:
    assert_ca_survives(b"id=a\nca_encryption_issuer_cert=MONITORING\r\n \r\r\n")
