"""transactionIDs and the self-signed certificates of first requests."""

import hashlib
from datetime import timedelta

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from scep_material import NOW, certificate, rsa_key, signing_request

from certmongerd.scep.transaction import build_minicert, csr_subject_der, minicert_serial, spki_der, transaction_id

KEY = rsa_key("client")
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def minicert(csr_pem: str, transaction: str = "12345", fallback: str = "nick") -> x509.Certificate:
    csr = x509.load_pem_x509_csr(csr_pem.encode())
    return x509.load_der_x509_certificate(
        build_minicert(csr, key=KEY, transaction=transaction, fallback=fallback, now=NOW)
    )


def test_the_first_transaction_of_a_key_is_the_decimal_digest_of_its_public_key() -> None:
    assert transaction_id(SPKI, None) == str(int(hashlib.sha256(SPKI).hexdigest(), 16))


def test_the_next_transaction_of_the_same_key_is_another_one() -> None:
    held = certificate("client", KEY, serial=0x80FF)
    expected = hashlib.sha256(SPKI + bytes.fromhex("02030080ff")).hexdigest()
    assert transaction_id(SPKI, held) == str(int(expected, 16))


def test_spki_is_what_the_digest_is_taken_of() -> None:
    assert spki_der(KEY.public_key()) == SPKI


def test_the_self_signed_certificate_is_what_strict_servers_ask_for() -> None:
    csr_pem = signing_request(KEY, "client_with_underscore")
    own = minicert(csr_pem, transaction_id(SPKI, None))

    own.verify_directly_issued_by(own)
    assert own.version is x509.Version.v3
    assert 0 < own.serial_number < 2**159
    assert own.not_valid_before_utc == NOW - timedelta(days=1)
    assert own.not_valid_after_utc == NOW + timedelta(days=365)
    usage = own.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_encipherment, usage.value.key_cert_sign) == (
        True,
        True,
        False,
    )
    decoded = asn1_x509.Certificate.load(own.public_bytes(Encoding.DER))
    subject = csr_subject_der(x509.load_pem_x509_csr(csr_pem.encode()))
    assert (decoded.subject.dump(), decoded.issuer.dump()) == (subject, subject)
    assert decoded["tbs_certificate"]["validity"]["not_before"].name == "utc_time"


@pytest.mark.parametrize(("host", "expected"), [("host.example.org", "CN=host.example.org"), ("", "CN=nick")])
def test_a_request_without_subject_is_signed_by_its_first_name_or_nickname(host: str, expected: str) -> None:
    assert minicert(signing_request(KEY, None, host=host)).subject.rfc4514_string() == expected


@given(st.one_of(st.integers(min_value=0, max_value=2**260).map(str), st.text(max_size=100)))
def test_serial_numbers_are_positive_and_short_for_any_transaction(transaction: str) -> None:
    assert 0 < minicert_serial(transaction) < 2 ** (8 * 19)
