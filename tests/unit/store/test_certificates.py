"""Named certificates and bare public keys."""

import pytest
import store_values
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.model import NamedCertificate
from certmongerd.store.certificates import bare_public_key, read_certificates, write_certificates

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@given(store_values.certificates)
def test_certificates_survive(certificates: tuple[NamedCertificate, ...]) -> None:
    assert read_certificates(write_certificates(certificates)) == certificates


def test_nicknames_are_escaped_like_list_elements() -> None:
    text = write_certificates((NamedCertificate(nickname="a,b\\c", pem=PEM),))

    assert text.split("\n")[0] == "a\\,b\\\\c"


def test_line_breaks_in_nicknames_do_not_break_the_list() -> None:
    text = write_certificates(
        (NamedCertificate(nickname="a\r\n" + PEM, pem=PEM), NamedCertificate(nickname="b", pem=PEM))
    )

    assert [item.pem for item in read_certificates(text)] == [PEM, PEM]


def test_blank_lines_between_certificates_do_not_matter() -> None:
    assert read_certificates(f"one\n{PEM}\n\ntwo\n{PEM}\n") == (
        NamedCertificate(nickname="one", pem=PEM),
        NamedCertificate(nickname="two", pem=PEM),
    )


def test_a_certificate_without_nickname_is_not_lost() -> None:
    assert read_certificates(f"{PEM}{PEM}") == (NamedCertificate(nickname="", pem=PEM),) * 2


def test_an_unfinished_certificate_is_dropped() -> None:
    assert read_certificates("one\n-----BEGIN CERTIFICATE-----\nAAAA") == ()


@given(store_values.texts)
def test_any_text_is_read_without_error(text: str) -> None:
    read_certificates(text)


def test_the_bare_key_of_an_rsa_key_is_its_pkcs1_form() -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()

    bare = bare_public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    assert bare == key.public_bytes(Encoding.DER, PublicFormat.PKCS1)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_the_bare_key_of_an_ec_key_is_its_point(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve).public_key()

    bare = bare_public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    assert bare == key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@given(st.binary())
def test_other_bytes_have_no_bare_key_and_raise_nothing(data: bytes) -> None:
    assert len(bare_public_key(data)) < max(len(data), 1)


def test_a_truncated_key_has_no_bare_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    assert {bare_public_key(spki[:length]) for length in range(len(spki))} == {b""}
