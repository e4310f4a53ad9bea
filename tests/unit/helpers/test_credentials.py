"""The PKCS#12 file of the local CA."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat, pkcs12
from hypothesis import given
from hypothesis import strategies as st

from certmonger_helpers.credentials import Credentials, decode_credentials, encode_credentials
from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.algorithms import PrivateKey
from certmongerd.pki.issue import Issuer, authority_extensions, issue_certificate
from certmongerd.pki.keys import spki_of_key

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
NAME: Final = der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.text(der.UTF8_STRING, "CA"))))


def certificate_of(key: PrivateKey, *, age_days: int = 0) -> x509.Certificate:
    start = NOW - timedelta(days=age_days)
    return issue_certificate(
        subject_der=NAME,
        spki=spki_of_key(key),
        extensions=authority_extensions(spki_of_key(key)),
        issuer=Issuer(name_der=NAME, key=key, identifier=None),
        serial=age_days + 1,
        not_before=start,
        not_after=start + timedelta(days=365),
    )


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    """A CA in its third generation."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    older = [certificate_of(ec.generate_private_key(ec.SECP256R1()), age_days=days) for days in (100, 200)]
    return Credentials(key=key, certificates=(certificate_of(key), *older))


def test_what_was_written_is_read(credentials: Credentials) -> None:
    read = decode_credentials(encode_credentials(credentials, "Name"))
    assert read.certificates == credentials.certificates
    assert read.key.private_numbers() == credentials.key.private_numbers()


def test_every_bag_has_the_name(credentials: Credentials) -> None:
    bundle = pkcs12.load_pkcs12(encode_credentials(credentials, "Local Name"), None)
    assert bundle.cert is not None
    names = [bundle.cert.friendly_name, *(entry.friendly_name for entry in bundle.additional_certs)]
    assert names == [b"Local Name"] * 3


def test_an_unusual_encoding_is_left_to_the_library(credentials: Credentials) -> None:
    data = pkcs12.serialize_key_and_certificates(
        b"x", credentials.key, credentials.certificates[0], None, NoEncryption()
    )
    other = data.replace(bytes.fromhex("0609608648016503040201"), bytes.fromhex("0609608648016503040202"))
    assert other != data
    with pytest.raises(InvalidValue):  # it has a checksum of another kind than it says
        decode_credentials(other)


def test_a_password_is_refused(credentials: Credentials) -> None:
    encryption = PrivateFormat.PKCS12.encryption_builder().hmac_hash(SHA1()).build(b"password")
    data = pkcs12.serialize_key_and_certificates(b"x", credentials.key, credentials.certificates[0], None, encryption)
    with pytest.raises(InvalidValue, match="cannot be read"):
        decode_credentials(data)


def test_a_key_without_its_certificate_is_refused(credentials: Credentials) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    data = pkcs12.serialize_key_and_certificates(b"x", None, None, [certificate_of(stranger)], NoEncryption())
    with pytest.raises(InvalidValue):
        decode_credentials(data)


@pytest.fixture(scope="module")
def encoded(credentials: Credentials) -> bytes:
    """One file for all examples."""
    return encode_credentials(credentials, "Name")


@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_damaged_file_is_never_believed(credentials: Credentials, encoded: bytes, place: float, change: int) -> None:
    damaged = bytearray(encoded)
    damaged[int(place * len(encoded))] ^= change
    try:
        read = decode_credentials(bytes(damaged))
    except InvalidValue:
        return
    assert read.certificates == credentials.certificates
    assert read.key.private_numbers() == credentials.key.private_numbers()


@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidValue):
        decode_credentials(data)
