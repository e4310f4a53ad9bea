import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from pki_material import certificate, ec_key, extended, raw_certificate

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import CertificateFacts, Template
from certmongerd.pki import algorithms, der
from certmongerd.pki.certs import certificate_facts, parse_certificate, parse_der_certificate, spki_of, to_pem
from certmongerd.pki.extensions import requested_extensions
from certmongerd.pki.issue import Extension
from certmongerd.pki.keys import spki_of_key
from certmongerd.pki.names import encode_name
from certmongerd.pki.pem import encode_pem

_FULL = Template(
    subject="CN=www.example.org,O=Org",
    hostname=("www.example.org", "alt,x"),
    email=("a@example.org",),
    principal=("HTTP/www@R", r"a\/b/c@R", "noat"),
    ip_address=("192.0.2.1", "2001:db8::1"),
    ku="1010011",
    eku=("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"),
    is_ca=True,
    ca_path_length=3,
    crldp=("http://a/crl", "http://b/crl"),
    freshest_crl=("http://a/delta",),
    ocsp=("http://o/1", "http://o/2"),
    ns_comment="commént",
    profile="WebServer",
    no_ocsp_check=True,
    ns_certtype="client,objCA",
)


def _facts(encoded: bytes) -> CertificateFacts:
    return certificate_facts(parse_der_certificate(encoded))


def _with_extension(oid: str, value: bytes) -> CertificateFacts:
    return _facts(raw_certificate(extensions=extended(Extension.build(oid, value))))


def test_facts_are_what_the_certificate_says() -> None:
    facts = certificate_facts(certificate(_FULL, issuer="O=CA,CN=Issuer"))
    assert facts == CertificateFacts(
        issuer_der=encode_name("O=CA,CN=Issuer"),
        issuer="CN=Issuer,O=CA",
        serial="05",
        subject_der=encode_name(_FULL.subject),
        subject="O=Org,CN=www.example.org",
        spki=spki_of_key(ec_key("leaf")),
        not_before=datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
        not_after=datetime(2036, 1, 2, 3, 4, 5, tzinfo=UTC),
        hostname=_FULL.hostname,
        email=_FULL.email,
        principal=_FULL.principal,
        ip_address=_FULL.ip_address,
        ku=_FULL.ku,
        eku=_FULL.eku,
        is_ca=True,
        ca_path_length=3,
        crldp=_FULL.crldp,
        freshest_crl=_FULL.freshest_crl,
        ocsp=_FULL.ocsp,
        ns_comment="commént",
        profile="WebServer",
        no_ocsp_check=True,
        ns_certtype="client,objCA",
    )


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (Template(subject="CN=a"), (False, -1)),
        (Template(subject="CN=a", is_ca=True), (True, -2)),
        (Template(subject="CN=a", is_ca=True, ca_path_length=0), (True, 0)),
    ],
)
def test_the_path_length_tells_no_ca_from_an_unlimited_one(template: Template, expected: tuple[bool, int]) -> None:
    facts = certificate_facts(certificate(template))
    assert (facts.is_ca, facts.ca_path_length) == expected


@pytest.mark.parametrize("serial", ["00", "05", "00ff", "ff", "8001", "000005", "12" * 30])
def test_the_serial_is_the_content_of_the_integer(serial: str) -> None:
    assert _facts(raw_certificate(serial=bytes.fromhex(serial))).serial == serial.upper()


def test_a_name_that_the_library_refuses_is_read() -> None:
    name = der.sequence(
        der.set_of(der.sequence(der.oid("2.5.4.3"), der.encode(der.PRINTABLE_STRING, b"*.example.org")))
    )
    encoded = raw_certificate(subject=name)
    with pytest.raises(ValueError, match="PrintableString"):
        x509.load_der_x509_certificate(encoded)
    assert _facts(encoded).subject == "CN=*.example.org"


def test_a_name_that_is_not_text_is_shown_in_hexadecimal() -> None:
    name = der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.encode(der.UTF8_STRING, b"\xff"))))
    assert _facts(raw_certificate(subject=name)).subject == "CN=#0C01FF"


@pytest.mark.parametrize(
    "oid",
    [
        algorithms.SUBJECT_ALT_NAME,
        algorithms.KEY_USAGE,
        algorithms.EXTENDED_KEY_USAGE,
        algorithms.BASIC_CONSTRAINTS,
        algorithms.CRL_DISTRIBUTION_POINTS,
        algorithms.FRESHEST_CRL,
        algorithms.AUTHORITY_INFO_ACCESS,
        algorithms.NETSCAPE_CERT_TYPE,
        algorithms.MS_CERTIFICATE_TYPE,
    ],
)
@pytest.mark.parametrize("value", ["", "ff", "30", "300101", "3002a000", "3004a002a000", "0303ffffff", "1f00"])
def test_an_unreadable_extension_is_left_out_and_the_others_are_read(oid: str, value: str) -> None:
    comment = Extension.build(algorithms.NETSCAPE_COMMENT, der.text(der.IA5_STRING, "still read"))
    broken = Extension.build(oid, bytes.fromhex(value))
    facts = _facts(raw_certificate(extensions=extended(broken, comment)))
    assert facts.ns_comment == "still read"
    assert (facts.hostname, facts.eku, facts.is_ca, facts.ca_path_length) == ((), (), False, -1)


def test_one_bad_alternative_name_does_not_hide_the_others() -> None:
    names = der.sequence(
        der.encode(0x87, b"12345"),
        der.encode(0xA0, b"\xff"),
        der.encode(0x82, b"a.example.org"),
        der.encode(0x88, b"*"),
    )
    facts = _with_extension(algorithms.SUBJECT_ALT_NAME, names)
    assert (facts.hostname, facts.ip_address, facts.principal) == (("a.example.org",), (), ())


def test_names_with_control_characters_are_not_shown() -> None:
    names = der.sequence(
        der.encode(0x82, b"good.example\0.evil.example"), der.encode(0x82, b"a\nb"), der.encode(0x82, b"")
    )
    assert _with_extension(algorithms.SUBJECT_ALT_NAME, names).hostname == ()


def test_a_principal_in_both_forms_is_listed_once() -> None:
    (extension,) = [
        entry
        for entry in requested_extensions(Template(principal=("a@R", "b@R", "a@R")))
        if entry.oid == algorithms.SUBJECT_ALT_NAME
    ]
    assert _facts(raw_certificate(extensions=extended(extension))).principal == ("a@R", "b@R")


def test_of_a_repeated_extension_the_first_counts() -> None:
    comments = [Extension.build(algorithms.NETSCAPE_COMMENT, der.text(der.IA5_STRING, text)) for text in ("one", "two")]
    assert _facts(raw_certificate(extensions=extended(*comments))).ns_comment == "one"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"490102030405Z", datetime(2049, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (b"500102030405Z", datetime(1950, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (b"3601020304Z", datetime(2036, 1, 2, 3, 4, tzinfo=UTC)),
        (b"361302030405Z", None),
        (b"never", None),
    ],
)
def test_times_are_read_in_utc_or_not_at_all(text: bytes, expected: datetime | None) -> None:
    parsed = parse_der_certificate(raw_certificate(not_after=text))
    assert parsed.not_after == expected == certificate_facts(parsed).not_after
    if expected is None:
        with pytest.raises(InvalidValue, match="validity"):
            _ = parsed.not_valid_after_utc
    else:
        assert parsed.not_valid_after_utc == expected


def test_pem_has_64_columns_and_one_final_line_end() -> None:
    pem = to_pem(certificate(_FULL))
    lines = pem.split("\n")
    assert (lines[0], lines[-2], lines[-1]) == ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "")
    assert {len(line) for line in lines[1:-3]} == {64}
    assert to_pem(parse_certificate("text\r\n" + pem.replace("\n", "\r\n") + "more")) == pem
    assert to_pem(parse_certificate(pem.encode())) == pem


def test_the_library_reads_the_same_certificate() -> None:
    ours = certificate(_FULL)
    theirs = x509.load_pem_x509_certificate(to_pem(ours).encode())
    assert theirs.public_bytes(Encoding.DER) == ours.encoded
    assert to_pem(theirs) == to_pem(ours)
    assert certificate_facts(theirs) == certificate_facts(ours)
    assert spki_of(theirs) == spki_of(ours) == spki_of_key(ec_key("leaf"))


def test_what_openssl_puts_behind_a_trusted_certificate_is_dropped() -> None:
    encoded = certificate(_FULL).encoded
    assert parse_certificate(encode_pem("TRUSTED CERTIFICATE", encoded + der.sequence())).encoded == encoded


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk",
        encode_pem("CERTIFICATE", b""),
        encode_pem("CERTIFICATE", b"\x30\x03\x02\x01\x05"),
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_certificate(text)


_ENCODED = certificate(_FULL, issuer="CN=Issuer", authority=ec_key("ca")).encoded


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(_ENCODED) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_certificate_is_refused_or_gives_facts(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(_ENCODED)
    for position, octet in changes:
        damaged[position] = octet
    try:
        parsed = parse_der_certificate(bytes(damaged))
    except InvalidValue:
        return
    facts = certificate_facts(parsed)
    assert to_pem(parsed)
    assert "\0" not in repr(facts.hostname + facts.email + facts.principal) + facts.subject + facts.issuer


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_or_give_facts(data: bytes) -> None:
    text = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(data).decode()}\n-----END CERTIFICATE-----\n"
    try:
        certificate_facts(parse_certificate(text))
    except InvalidValue:
        return
