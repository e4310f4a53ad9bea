"""Keys in tokens look like private keys to those who use them; a token that is a key in memory stands in."""

import copy
from collections.abc import Callable

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, padding, rsa, utils
from pki_material import ec_key, rsa_key

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import KeyAlgorithm, Template
from certmongerd.pki.algorithms import PrivateKey, digest_named
from certmongerd.pki.csr import build_csr
from certmongerd.pki.issue import parse_request
from certmongerd.pki.keys import generate_private_key, key_facts, sign, spki_of_key
from certmongerd.pki.token_key import Oaep, TokenEcKey, TokenRsaKey, token_key

RSA = rsa_key("token")


class MemoryToken:
    """Signs prepared blocks with a key in memory; raw RSA by arithmetic, so that nothing prepares them again."""

    def __init__(self, key: PrivateKey) -> None:
        self.key = key

    def sign(self, block: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            size = self.key.key_size // 8
            padded = b"\0\1" + b"\xff" * (size - len(block) - 3) + b"\0" + block
            numbers = self.key.private_numbers()
            return pow(int.from_bytes(padded, "big"), numbers.d, numbers.public_numbers.n).to_bytes(size, "big")
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        digest = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512(), 20: hashes.SHA1()}[len(block)]
        size = (self.key.key_size + 7) // 8
        r, s = utils.decode_dss_signature(self.key.sign(block, ec.ECDSA(utils.Prehashed(digest))))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def decrypt(self, ciphertext: bytes, oaep: Oaep | None) -> bytes | None:
        assert isinstance(self.key, rsa.RSAPrivateKey)
        scheme: padding.AsymmetricPadding = padding.PKCS1v15()
        if oaep is not None:
            mask = padding.MGF1(digest_named(oaep.mask_digest))
            scheme = padding.OAEP(mask, digest_named(oaep.digest), oaep.label or None)
        try:
            return self.key.decrypt(ciphertext, scheme)
        except ValueError:
            return None


def in_token(key: PrivateKey) -> TokenRsaKey | TokenEcKey:
    return token_key(spki_of_key(key), MemoryToken(key))


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha256", "sha384", "sha512"])
def test_rsa_signatures_are_those_of_the_key_itself(digest: str) -> None:
    assert sign(in_token(RSA), b"data", digest) == sign(RSA, b"data", digest)


@pytest.mark.parametrize(
    ("bits", "digest"), [(256, "sha256"), (256, "sha512"), (384, "sha384"), (521, "sha512"), (521, "sha1")]
)
def test_ec_signatures_verify(bits: int, digest: str) -> None:
    key = generate_private_key(KeyAlgorithm.EC, bits)
    token = in_token(key)
    public = key.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(sign(token, b"data", digest), b"data", ec.ECDSA(digest_named(digest)))


@pytest.mark.parametrize("key", [RSA, ec_key("token")])
def test_a_signing_request_is_made_like_any_other(key: PrivateKey) -> None:
    token = in_token(key)
    assert key_facts(token) == key_facts(key)
    csr = build_csr(Template(subject="CN=a"), token, digest="sha256", friendly_name="", default_subject="")
    assert parse_request(csr).spki == spki_of_key(key)


@pytest.mark.parametrize(
    "scheme",
    [
        padding.PKCS1v15(),
        padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),
        padding.OAEP(padding.MGF1(hashes.SHA512()), hashes.SHA256(), b"label"),
    ],
)
def test_padding_is_passed_on(scheme: padding.AsymmetricPadding) -> None:
    token = in_token(RSA)
    assert isinstance(token, rsa.RSAPrivateKey)
    assert token.decrypt(token.public_key().encrypt(b"text", scheme), scheme) == b"text"


def test_what_is_for_another_key_is_a_value_error() -> None:
    token = in_token(RSA)
    assert isinstance(token, rsa.RSAPrivateKey)
    scheme = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    other = rsa_key("other")
    assert isinstance(other, rsa.RSAPrivateKey)
    with pytest.raises(ValueError, match="Decryption failed"):
        token.decrypt(other.public_key().encrypt(b"text", scheme), scheme)


PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda key: key.sign(b"", PSS, hashes.SHA256()),
        lambda key: key.sign(b"", padding.PKCS1v15(), utils.Prehashed(hashes.SHA256())),
        lambda key: key.decrypt(b"", PSS),
    ],
)
def test_paddings_that_nothing_here_uses_are_refused(attempt: Callable[[rsa.RSAPrivateKey], bytes]) -> None:
    token = in_token(RSA)
    assert isinstance(token, rsa.RSAPrivateKey)
    with pytest.raises(UnsupportedAlgorithm):
        attempt(token)


@pytest.mark.parametrize("key", [RSA, ec_key("token")])
def test_the_private_half_is_not_to_be_had(key: PrivateKey) -> None:
    token = in_token(key)
    with pytest.raises(ValueError, match="inside a token"):
        token.private_numbers()
    with pytest.raises(ValueError, match="inside a token"):
        token.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    assert copy.copy(token) is token
    assert copy.deepcopy(token) is token


def test_what_is_no_key_of_a_known_type_is_refused() -> None:
    spki = (
        ed448.Ed448PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for content in (spki, b"junk"):
        with pytest.raises(InvalidValue):
            token_key(content, MemoryToken(RSA))
