"""Issued certificates: what is copied, what is added, what is refused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import KeyAlgorithm, Template
from certmongerd.pki.certs import certificate_facts, parse_certificate, to_pem
from certmongerd.pki.csr import build_csr
from certmongerd.pki.issue import (
    Issuer,
    UnprovenRequest,
    authority_extensions,
    issue_certificate,
    key_identifier,
    parse_request,
    self_signed,
)
from certmongerd.pki.keys import spki_of_key
from certmongerd.pki.pem import encode_pem

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER: Final = NOW + timedelta(days=90)
KEY: Final = ec.generate_private_key(ec.SECP256R1())
RSA_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web.example.org")])

Wish = Callable[[x509.CertificateSigningRequestBuilder], x509.CertificateSigningRequestBuilder]


def request_pem(wish: Wish = lambda builder: builder, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    builder = wish(x509.CertificateSigningRequestBuilder().subject_name(NAME))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def extension_oids(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return [extension.oid for extension in certificate.extensions]


def test_a_self_signed_certificate_verifies_with_its_own_key() -> None:
    certificate = self_signed(request_pem(), KEY, serial=1, not_before=NOW, not_after=LATER)
    certificate.verify_directly_issued_by(certificate)
    assert (certificate.issuer, certificate.subject, certificate.serial_number) == (NAME, NAME, 1)
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (NOW, LATER)
    assert certificate.version is x509.Version.v3


def test_a_self_signed_certificate_is_no_ca_and_has_no_authority_key_identifier() -> None:
    certificate = self_signed(request_pem(), KEY, serial=1, not_before=NOW, not_after=LATER)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert extension_oids(certificate) == [ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.SUBJECT_KEY_IDENTIFIER]


def test_unique_identifiers_are_those_that_were_given() -> None:
    certificate = self_signed(request_pem(), KEY, serial=1, not_before=NOW, not_after=LATER, unique_id=b"\x12\x34")
    certificate.verify_directly_issued_by(certificate)
    issuer_and_subject = b"\x81\x03\x00\x12\x34" + b"\x82\x03\x00\x12\x34"
    assert issuer_and_subject in certificate.tbs_certificate_bytes
    assert certificate_facts(parse_certificate(to_pem(certificate))).subject == "CN=web.example.org"


def test_requested_extensions_are_copied_with_order_and_criticality() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName("a.example.org")])
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x04\x02hi")
    pem = request_pem(
        lambda builder: (
            builder.add_extension(strange, critical=False)
            .add_extension(names, critical=True)
            .add_extension(x509.BasicConstraints(ca=True, path_length=2), critical=False)
        )
    )
    certificate = self_signed(pem, KEY, serial=1, not_before=NOW, not_after=LATER)
    first, second, third, _ = certificate.extensions
    assert (first.value, first.critical) == (strange, False)
    assert (second.value, second.critical) == (names, True)
    assert (third.value, third.critical) == (x509.BasicConstraints(ca=True, path_length=2), False)


def test_a_requested_authority_key_identifier_is_the_issuers_affair() -> None:
    wrong = x509.AuthorityKeyIdentifier(b"wrong", None, None)
    pem = request_pem(lambda builder: builder.add_extension(wrong, critical=False))
    certificate = self_signed(pem, KEY, serial=1, not_before=NOW, not_after=LATER)
    assert ExtensionOID.AUTHORITY_KEY_IDENTIFIER not in extension_oids(certificate)


def test_a_chain_issued_by_an_authority_verifies() -> None:
    spki = spki_of_key(RSA_KEY)
    issuer = Issuer(name_der=NAME.public_bytes(), key=RSA_KEY, identifier=key_identifier(spki))
    authority = issue_certificate(
        subject_der=NAME.public_bytes(),
        spki=spki,
        extensions=authority_extensions(spki),
        issuer=issuer,
        serial=2**127,
        not_before=NOW,
        not_after=LATER,
    )
    request = parse_request(request_pem())
    leaf = issue_certificate(
        subject_der=request.subject_der,
        spki=request.spki,
        extensions=request.extensions,
        issuer=issuer,
        serial=5,
        not_before=NOW,
        not_after=LATER,
        digest="sha512",
    )
    leaf.verify_directly_issued_by(authority)
    authority.verify_directly_issued_by(authority)
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    named = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert own == x509.SubjectKeyIdentifier.from_public_key(RSA_KEY.public_key())
    assert named == x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    assert isinstance(leaf.signature_hash_algorithm, hashes.SHA512)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert not usage.value.key_encipherment
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, None)


def test_the_subject_is_copied_octet_by_octet() -> None:
    pem = request_pem()
    der = x509.load_pem_x509_csr(pem.encode()).subject.public_bytes()
    assert self_signed(pem, KEY, serial=1, not_before=NOW, not_after=LATER).subject.public_bytes() == der


@pytest.mark.parametrize("year", [2049, 2050, 2999, 9999])
def test_times_have_the_type_that_their_year_demands(year: int) -> None:
    end = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    certificate = self_signed(request_pem(), KEY, serial=1, not_before=NOW, not_after=end)
    assert certificate.not_valid_after_utc == end
    text = f"{end:%Y%m%d%H%M%S}Z" if year >= 2050 else f"{end:%y%m%d%H%M%S}Z"
    tag = b"\x18" if year >= 2050 else b"\x17"
    assert tag + bytes([len(text)]) + text.encode() in certificate.tbs_certificate_bytes


def test_a_request_signed_with_another_key_is_unproven() -> None:
    good = x509.load_pem_x509_csr(request_pem().encode()).public_bytes(Encoding.DER)
    other = x509.load_pem_x509_csr(request_pem(key=ec.generate_private_key(ec.SECP256R1())).encode())
    point = good.index(b"\x03\x42\x00\x04") + 4
    other_der = other.public_bytes(Encoding.DER)
    other_point = other_der.index(b"\x03\x42\x00\x04") + 4
    forged = good[:point] + other_der[other_point : other_point + 64] + good[point + 64 :]
    pem = x509.load_der_x509_csr(forged).public_bytes(Encoding.PEM).decode()
    with pytest.raises(UnprovenRequest):
        parse_request(pem)


@pytest.mark.parametrize(
    ("algorithm", "digest"), [(KeyAlgorithm.RSA, "sha1"), (KeyAlgorithm.RSA, "md5"), (KeyAlgorithm.EC, "sha1")]
)
def test_a_request_signed_with_an_old_digest_proves_its_key(algorithm: KeyAlgorithm, digest: str) -> None:
    key = RSA_KEY if algorithm is KeyAlgorithm.RSA else KEY
    pem = build_csr(
        Template(subject="CN=old"), key, digest=digest, friendly_name="old", default_subject="x", challenge=None
    )
    assert parse_request(pem).spki == spki_of_key(key)
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER))
    der[der.index(b"old")] ^= 1
    with pytest.raises(UnprovenRequest):
        parse_request(encode_pem("CERTIFICATE REQUEST", bytes(der)))


def test_a_request_for_another_key_is_not_self_signed() -> None:
    with pytest.raises(InvalidValue, match="another key"):
        self_signed(request_pem(), RSA_KEY, serial=1, not_before=NOW, not_after=LATER)


@pytest.mark.parametrize("serial", [0, -1, 2**159])
def test_a_serial_number_out_of_range_is_refused(serial: int) -> None:
    with pytest.raises(InvalidValue, match="serial"):
        self_signed(request_pem(), KEY, serial=serial, not_before=NOW, not_after=LATER)


@pytest.mark.parametrize("digest", ["md5", "crc32"])
def test_a_digest_that_the_key_cannot_use_is_refused(digest: str) -> None:
    with pytest.raises(InvalidValue, match=f'"{digest}"'):
        self_signed(request_pem(), KEY, serial=1, not_before=NOW, not_after=LATER, digest=digest)


@pytest.mark.parametrize(
    "text", ["", "no armour", "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_request(text)


GOOD_REQUEST: Final = x509.load_pem_x509_csr(request_pem().encode()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_a_damaged_request_is_refused_with_a_declared_error(change: int) -> None:
    for position in range(len(GOOD_REQUEST)):
        damaged = bytearray(GOOD_REQUEST)
        damaged[position] ^= change
        with pytest.raises(InvalidValue):
            parse_request(encode_pem("CERTIFICATE REQUEST", bytes(damaged)))


@given(position=st.integers(0, len(GOOD_REQUEST) - 1), change=st.integers(1, 255))
def test_no_damage_to_a_request_raises_anything_else(position: int, change: int) -> None:
    damaged = bytearray(GOOD_REQUEST)
    damaged[position] ^= change
    with pytest.raises(InvalidValue):
        parse_request(encode_pem("CERTIFICATE REQUEST", bytes(damaged)))
