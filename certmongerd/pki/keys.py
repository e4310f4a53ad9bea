"""Private and public keys: generation, facts, and the PEM forms they are kept in."""

import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from certmongerd.core.errors import FailureKind, InvalidValue, KeyStoreError
from certmongerd.core.model import FIXED_KEY_SIZES, MINIMUM_RSA_BITS, KeyAlgorithm
from certmongerd.pki import pbes2
from certmongerd.pki.algorithms import PrivateKey, PublicKey, curve_for, digest_named
from certmongerd.pki.ml_dsa import MlDsaPrivateKey, MlDsaPublicKey, generate_ml_dsa, has_ml_dsa, ml_dsa_algorithm

__all__ = [
    "MAXIMUM_RSA_BITS",
    "KeyFacts",
    "PrivateKey",
    "dump_private_key",
    "generate_private_key",
    "is_supported",
    "key_facts",
    "load_private_key",
    "public_key_facts",
    "sign",
    "spki_of_key",
    "supported_algorithms",
]

MAXIMUM_RSA_BITS: Final = 16384
_KEY_BLOCK: Final = re.compile(
    rb"-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----(?:[^-]+|-(?!----))*-----END \1-----[^\S\n]*\n?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What can be known of a key without holding it."""

    algorithm: KeyAlgorithm
    bits: int
    """RSA: modulus size; EC: field size (256, 384, 521); others: what `FIXED_KEY_SIZES` says."""
    spki: bytes
    """DER SubjectPublicKeyInfo."""
    token: str = ""
    """Name of the token that holds the key; empty for one in a file."""


def generate_private_key(algorithm: KeyAlgorithm, bits: int) -> PrivateKey:
    """Make a key; sizes that are too small are raised to the minimum, EC sizes to the next NIST curve.

    Takes up to seconds for RSA. A size beyond 16384 raises `InvalidValue`: OpenSSL would not verify with it; so does
    ML-DSA where the installed libraries do not have it.
    """
    match algorithm:
        case KeyAlgorithm.RSA:
            if bits > MAXIMUM_RSA_BITS:
                raise InvalidValue("key-size", f"RSA keys of {bits} bits are not supported.")
            return rsa.generate_private_key(public_exponent=65537, key_size=max(bits, MINIMUM_RSA_BITS))
        case KeyAlgorithm.EC:
            return ec.generate_private_key(curve_for(bits))
        case KeyAlgorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case KeyAlgorithm.ML_DSA_44 | KeyAlgorithm.ML_DSA_65 | KeyAlgorithm.ML_DSA_87:
            return generate_ml_dsa(algorithm)


def is_supported(algorithm: KeyAlgorithm) -> bool:
    """Whether the installed libraries can make such keys. What all of them can is not tried out."""
    return algorithm in (KeyAlgorithm.RSA, KeyAlgorithm.EC, KeyAlgorithm.ED25519) or has_ml_dsa()


def supported_algorithms() -> tuple[KeyAlgorithm, ...]:
    """The algorithms for which the installed libraries can make keys."""
    return tuple(filter(is_supported, KeyAlgorithm))


def key_facts(key: PrivateKey) -> KeyFacts:
    """Facts of the public half of *key*."""
    return _facts(key.public_key(), spki_of_key(key))


def public_key_facts(spki: bytes, token: str = "") -> KeyFacts:
    """Facts of a DER SubjectPublicKeyInfo, kept in *token*; `InvalidValue` when it is none of a known kind of key."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise InvalidValue("public key", f"The public key cannot be read: {exc}") from exc
    if not isinstance(key, PublicKey):
        raise InvalidValue("public key", "The public key is of an unknown kind.")
    return _facts(key, spki, token)


def _facts(key: PublicKey, spki: bytes, token: str = "") -> KeyFacts:
    if isinstance(key, rsa.RSAPublicKey):
        return KeyFacts(algorithm=KeyAlgorithm.RSA, bits=key.key_size, spki=spki, token=token)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return KeyFacts(algorithm=KeyAlgorithm.EC, bits=key.key_size, spki=spki, token=token)
    algorithm = ml_dsa_algorithm(key) if isinstance(key, MlDsaPublicKey) else KeyAlgorithm.ED25519
    return KeyFacts(algorithm=algorithm, bits=FIXED_KEY_SIZES[algorithm], spki=spki, token=token)


def spki_of_key(key: PrivateKey) -> bytes:
    """DER SubjectPublicKeyInfo of the public half."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def sign(key: PrivateKey, data: bytes, digest: str) -> bytes:
    """Signature over *data*: PKCS #1 v1.5 with RSA, a DER ECDSA-Sig-Value with EC; *digest* is for these two."""
    if isinstance(key, ed25519.Ed25519PrivateKey | MlDsaPrivateKey):
        return key.sign(data)
    algorithm = digest_named(digest)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), algorithm)
    return key.sign(data, ec.ECDSA(algorithm))


def load_private_key(pem: bytes, pin: str | None, location: str = "", *, validate: bool = True) -> PrivateKey:
    """Read the first private key block: PKCS #8, PKCS #1 or SEC 1, encrypted with *pin* or plain.

    *location* only names the object in errors. `KeyStoreError` of kind PIN: the PIN is missing, wrong, or given
    for a key that is not encrypted (so that nobody believes a plain key protected). Of kind OTHER: everything else.
    RSA keys are fully checked unless *validate* is false: a key with a wrong prime would leak itself in its first
    signature. The check takes 35 ms for 2048 bits and 250 ms for 4096, so files that were checked when they were
    first read are opened again without.
    """
    block = _KEY_BLOCK.search(pem)
    if block is None:
        raise KeyStoreError(FailureKind.OTHER, location, "There is no PEM private key in it.")
    text = block.group(0)
    encrypted = b"ENCRYPTED" in block.group(1) or b"Proc-Type: 4,ENCRYPTED" in text
    if encrypted and not pin:
        raise KeyStoreError(FailureKind.PIN, location, "The private key is encrypted and no PIN is known.")
    if pin and not encrypted:
        raise KeyStoreError(FailureKind.PIN, location, "A PIN is set, but the private key is not encrypted.")
    try:
        key = serialization.load_pem_private_key(
            text, pin.encode("utf-8", "surrogateescape") if pin else None, unsafe_skip_rsa_key_validation=not validate
        )
    except (ValueError, TypeError) as exc:
        if encrypted:
            raise KeyStoreError(FailureKind.PIN, location, "The private key cannot be decrypted with the PIN.") from exc
        raise KeyStoreError(FailureKind.OTHER, location, f"The private key cannot be read: {exc}") from exc
    except UnsupportedAlgorithm as exc:
        raise KeyStoreError(FailureKind.OTHER, location, f"The private key is not supported: {exc}") from exc
    if not isinstance(key, PrivateKey):
        raise KeyStoreError(FailureKind.OTHER, location, "The private key is of an unknown kind.")
    return key


def _dump_plain_key(key: PrivateKey) -> bytes:
    """PKCS #8 DER of *key*."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def dump_private_key(key: PrivateKey, pin: str | None, cipher: str) -> bytes:
    """PKCS #8 PEM of *key*; with a PIN encrypted (PBES2) with *cipher*: `aes128`, `aes256` or `des3`.

    A name that is none of them means `aes128`, as in certmonger's configuration. An empty PIN counts as none.
    """
    if not pin:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    return pbes2.encrypt_private_key(_dump_plain_key(key), pin, cipher)
