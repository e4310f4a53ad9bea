"""Keys that stay where they are: a token signs and decrypts with them, and only their public half is known here.

They are pyca's interfaces for private keys, so whatever signs or decrypts with a private key
takes one of these without knowing.
"""

from dataclasses import dataclass
from typing import Final, NoReturn, Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric_utils

from certmongerd.core.errors import InvalidValue

_DIGEST_INFO_PREFIXES: Final = {
    "md5": bytes.fromhex("3020300c06082a864886f70d020505000410"),
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
"""What stands before the digest in a DER DigestInfo (RFC 8017, section 9.2, note 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oaep:
    """Parameters of RSAES-OAEP (RFC 8017, section 7.1)."""

    digest: str
    """As in `sha256`."""
    mask_digest: str
    """Of MGF1."""
    label: bytes


class TokenOperations(Protocol):
    """What the token does with one of its keys. Both methods block and raise `KeyStoreError`."""

    def sign(self, block: bytes) -> bytes:
        """Sign a prepared block: RSA, a DigestInfo to be padded as PKCS #1 v1.5; EC, a digest, answered by r and s
        of equal length, one after the other.
        """

    def decrypt(self, ciphertext: bytes, oaep: Oaep | None) -> bytes | None:
        """Decrypt with RSAES-PKCS1-v1_5, or RSAES-OAEP; None when the ciphertext is not for this key."""


class _StaysInToken:
    """What keys inside tokens have in common: nothing of them comes out, and a copy is the same key."""

    def private_numbers(self) -> NoReturn:
        """Not to be had."""
        raise _not_exportable()

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,  # noqa: A002 - pyca's name
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> NoReturn:
        """Not to be had."""
        raise _not_exportable()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class TokenRsaKey(_StaysInToken, rsa.RSAPrivateKey):
    """An RSA key inside a token."""

    def __init__(self, public_key: rsa.RSAPublicKey, operations: TokenOperations) -> None:
        self._public_key = public_key
        self._operations = operations

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._public_key

    @property
    def key_size(self) -> int:
        """Bits of the modulus."""
        return self._public_key.key_size

    def sign(
        self,
        data: bytes | bytearray | memoryview,
        padding: padding.AsymmetricPadding,
        algorithm: asymmetric_utils.Prehashed | hashes.HashAlgorithm | asymmetric_utils.NoDigestInfo,
    ) -> bytes:
        """Sign with PKCS #1 v1.5, the only padding that signing requests and SCEP use."""
        if padding.name != _PKCS1_V15 or not isinstance(algorithm, hashes.HashAlgorithm):
            raise UnsupportedAlgorithm("Keys in tokens sign with PKCS #1 v1.5 only.")
        return self._operations.sign(_DIGEST_INFO_PREFIXES[algorithm.name] + _digest(algorithm, data))

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        """Decrypt with PKCS #1 v1.5 or OAEP; ValueError when *ciphertext* is not for this key."""
        plaintext = self._operations.decrypt(ciphertext, _oaep(padding))
        if plaintext is None:
            raise ValueError("Decryption failed")
        return plaintext


class TokenEcKey(_StaysInToken, ec.EllipticCurvePrivateKey):
    """An EC key inside a token."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey, operations: TokenOperations) -> None:
        self._public_key = public_key
        self._operations = operations

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """Bits of the field."""
        return self._public_key.key_size

    def sign(
        self,
        data: bytes | bytearray | memoryview,
        signature_algorithm: ec.EllipticCurveSignatureAlgorithm,
    ) -> bytes:
        """A DER ECDSA-Sig-Value."""
        algorithm = signature_algorithm.algorithm
        if not isinstance(algorithm, hashes.HashAlgorithm):
            raise UnsupportedAlgorithm("Keys in tokens make the digest themselves.")
        digest = _digest(algorithm, data)[: (self.key_size + 7) // 8]  # FIPS 186-5, 6.4.1: the leftmost bits
        numbers = self._operations.sign(digest)
        half = len(numbers) // 2
        return asymmetric_utils.encode_dss_signature(
            int.from_bytes(numbers[:half], "big"), int.from_bytes(numbers[half:], "big")
        )

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        """Not offered: nothing here agrees on keys."""
        raise UnsupportedAlgorithm("Keys in tokens are not used for key agreement.")


TokenKey = TokenRsaKey | TokenEcKey


def token_key(spki: bytes, operations: TokenOperations) -> TokenKey:
    """The key of the DER SubjectPublicKeyInfo *spki*; `InvalidValue` unless it is RSA or EC."""
    try:
        public_key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise InvalidValue("public key", f"The public key cannot be read: {exc}") from exc
    if isinstance(public_key, rsa.RSAPublicKey):
        return TokenRsaKey(public_key, operations)
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return TokenEcKey(public_key, operations)
    raise InvalidValue("public key", "The public key is neither RSA nor EC.")


_PKCS1_V15: Final = padding.PKCS1v15.name


def _digest(algorithm: hashes.HashAlgorithm, data: bytes | bytearray | memoryview) -> bytes:
    context = hashes.Hash(algorithm)
    context.update(data)
    return context.finalize()


def _oaep(scheme: padding.AsymmetricPadding) -> Oaep | None:
    if not isinstance(scheme, padding.OAEP):
        if scheme.name == _PKCS1_V15:
            return None
        raise UnsupportedAlgorithm("Keys in tokens decrypt with PKCS #1 v1.5 or OAEP only.")
    # pyca has no public names for these two.
    mask: hashes.HashAlgorithm = scheme.mgf._algorithm
    label: bytes | None = scheme._label
    return Oaep(digest=scheme.algorithm.name, mask_digest=mask.name, label=label or b"")


def _not_exportable() -> ValueError:
    return ValueError("The key is inside a token and cannot be read.")
