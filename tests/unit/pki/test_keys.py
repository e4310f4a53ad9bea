import subprocess

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, padding, rsa
from pki_material import damaged_rsa_pem, ec_key, rsa_key

from certmongerd.core.errors import FailureKind, InvalidValue, KeyStoreError
from certmongerd.core.model import KeyAlgorithm
from certmongerd.pki import der
from certmongerd.pki.keys import (
    PrivateKey,
    dump_private_key,
    generate_private_key,
    key_facts,
    load_private_key,
    public_key_facts,
    sign,
    spki_of_key,
)
from certmongerd.pki.pbes2 import ITERATIONS
from certmongerd.pki.pem import pem_blocks

_PEM = serialization.Encoding.PEM
_TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
_PKCS8 = serialization.PrivateFormat.PKCS8
_PLAIN = serialization.NoEncryption()


def _same(one: PrivateKey, other: PrivateKey) -> bool:
    return one.private_bytes(_PEM, _PKCS8, _PLAIN) == other.private_bytes(_PEM, _PKCS8, _PLAIN)


@pytest.mark.parametrize(("wanted", "bits"), [(0, 256), (256, 256), (257, 384), (384, 384), (385, 521), (2048, 521)])
def test_an_ec_key_gets_the_next_curve(wanted: int, bits: int) -> None:
    facts = key_facts(generate_private_key(KeyAlgorithm.EC, wanted))
    assert (facts.algorithm, facts.bits) == (KeyAlgorithm.EC, bits)


def test_a_small_rsa_size_is_raised_to_the_minimum() -> None:
    key = generate_private_key(KeyAlgorithm.RSA, 512)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert (key.key_size, key.public_key().public_numbers().e) == (1024, 65537)


def test_an_absurd_rsa_size_is_refused_at_once() -> None:
    with pytest.raises(InvalidValue, match="1000000 bits"):
        generate_private_key(KeyAlgorithm.RSA, 1_000_000)


@pytest.mark.parametrize("key", [rsa_key("a"), ec_key("a")], ids=["rsa", "ec"])
@pytest.mark.parametrize("form", [_PKCS8, _TRADITIONAL])
@pytest.mark.parametrize("pin", [None, "four words"])
def test_keys_of_other_programs_are_read(key: PrivateKey, form: serialization.PrivateFormat, pin: str | None) -> None:
    encryption = serialization.BestAvailableEncryption(pin.encode()) if pin else _PLAIN
    assert _same(load_private_key(key.private_bytes(_PEM, form, encryption), pin), key)


def test_text_and_parameters_before_the_key_do_not_matter() -> None:
    pem = ec_key("a").private_bytes(_PEM, _TRADITIONAL, _PLAIN)
    text = b"my key\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\r\n" + pem + b"tail"
    assert _same(load_private_key(text, None), ec_key("a"))


@pytest.mark.parametrize("cipher", ["aes128", "aes256", "des3", "AES-256", "unknown"])
def test_an_encrypted_key_opens_with_its_pin_only(cipher: str) -> None:
    pem = dump_private_key(ec_key("a"), "pün", cipher)
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert _same(load_private_key(pem, "pün"), ec_key("a"))
    for pin in ("pun", "", None):
        with pytest.raises(KeyStoreError) as caught:
            load_private_key(pem, pin, "/k")
        assert (caught.value.kind, caught.value.location) == (FailureKind.PIN, "/k")


@pytest.mark.parametrize(
    ("cipher", "oid"),
    [("aes128", "2.16.840.1.101.3.4.1.2"), ("aes256", "2.16.840.1.101.3.4.1.42"), ("des3", "1.2.840.113549.3.7")],
)
def test_the_configured_cipher_is_used_with_many_iterations(cipher: str, oid: str) -> None:
    pem = dump_private_key(ec_key("a"), "pin", cipher)
    assert der.oid(oid) in next(pem_blocks(pem.decode())).der
    assert der.integer(ITERATIONS) in next(pem_blocks(pem.decode())).der
    assert ITERATIONS >= 100_000


def test_openssl_reads_an_encrypted_key() -> None:
    done = subprocess.run(
        ["openssl", "pkey", "-passin", "pass:pin", "-pubout", "-outform", "DER"],
        input=dump_private_key(rsa_key("a"), "pin", "aes128"),
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == spki_of_key(rsa_key("a"))


@pytest.mark.parametrize("pin", [None, ""])
def test_without_a_pin_the_key_is_plain_pkcs8(pin: str | None) -> None:
    pem = dump_private_key(rsa_key("a"), pin, "aes128")
    assert pem == rsa_key("a").private_bytes(_PEM, _PKCS8, _PLAIN)


def test_a_pin_for_a_plain_key_is_refused() -> None:
    with pytest.raises(KeyStoreError, match="not encrypted") as caught:
        load_private_key(dump_private_key(ec_key("a"), None, ""), "pin")
    assert caught.value.kind is FailureKind.PIN


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"junk",
        b"-----BEGIN PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ed448.Ed448PrivateKey.generate().private_bytes(_PEM, _PKCS8, _PLAIN),
        dsa.generate_private_key(1024).private_bytes(_PEM, _PKCS8, _PLAIN),
    ],
    ids=["empty", "junk", "cut", "malformed", "ed448", "dsa"],
)
def test_what_is_no_usable_key_is_refused(pem: bytes) -> None:
    with pytest.raises(KeyStoreError) as caught:
        load_private_key(pem, None)
    assert caught.value.kind is FailureKind.OTHER


def test_a_damaged_rsa_key_is_found_when_it_is_validated() -> None:
    with pytest.raises(KeyStoreError):
        load_private_key(damaged_rsa_pem("a"), None)


@pytest.mark.parametrize("key", [rsa_key("a"), ec_key("a")], ids=["rsa", "ec"])
def test_facts_of_a_public_key_are_those_of_its_private_key(key: PrivateKey) -> None:
    assert public_key_facts(spki_of_key(key)) == key_facts(key)


def test_public_keys_of_other_kinds_are_refused() -> None:
    other = ed448.Ed448PrivateKey.generate().public_key()
    spki = other.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for data in (spki, b"", b"\x30\x00"):
        with pytest.raises(InvalidValue):
            public_key_facts(data)


@pytest.mark.parametrize("digest", ["sha1", "sha256", "SHA-384", "sha512"])
def test_signatures_verify(digest: str) -> None:
    algorithm = {"1": hashes.SHA1(), "256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[
        digest.lower().removeprefix("sha").removeprefix("-")
    ]
    rsa_public, ec_public = rsa_key("a").public_key(), ec_key("a").public_key()
    assert isinstance(rsa_public, rsa.RSAPublicKey)
    assert isinstance(ec_public, ec.EllipticCurvePublicKey)
    rsa_public.verify(sign(rsa_key("a"), b"data", digest), b"data", padding.PKCS1v15(), algorithm)
    ec_public.verify(sign(ec_key("a"), b"data", digest), b"data", ec.ECDSA(algorithm))


def test_an_unknown_digest_is_refused() -> None:
    with pytest.raises(InvalidValue, match="sha3"):
        sign(ec_key("a"), b"", "sha3")
