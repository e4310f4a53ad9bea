"""Password-based encryption of PKCS #8 keys (RFC 8018, PBES2 with PBKDF2 and HMAC-SHA-256).

cryptography's own encryption of PKCS #8 uses 2048 iterations and offers no
choice; a stolen key file with a short PIN deserves better.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7

from certmongerd.pki import der
from certmongerd.pki.pem import encode_pem

ITERATIONS: Final = 200_000
"""About 50 ms on a present CPU; the key is decrypted for every signing request."""

_PBES2: Final = "1.2.840.113549.1.5.13"
_PBKDF2: Final = "1.2.840.113549.1.5.12"
_HMAC_SHA256: Final = "1.2.840.113549.2.9"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scheme:
    oid: str
    key_bytes: int
    block_bytes: int
    algorithm: Callable[[bytes], BlockCipherAlgorithm]


_AES128: Final = _Scheme(oid="2.16.840.1.101.3.4.1.2", key_bytes=16, block_bytes=16, algorithm=AES)
_SCHEMES: Final[Mapping[str, _Scheme]] = {
    "aes128": _AES128,
    "aes256": _Scheme(oid="2.16.840.1.101.3.4.1.42", key_bytes=32, block_bytes=16, algorithm=AES),
    "des3": _Scheme(oid="1.2.840.113549.3.7", key_bytes=24, block_bytes=8, algorithm=TripleDES),
}


def encrypt_private_key(pkcs8: bytes, pin: str, cipher: str) -> bytes:
    """`ENCRYPTED PRIVATE KEY` PEM of the DER PrivateKeyInfo *pkcs8*; an unknown *cipher* means `aes128`."""
    scheme = _SCHEMES.get(cipher.lower().replace("-", ""), _AES128)
    salt = _random_octets()
    iv = _random_octets()[: scheme.block_bytes]
    kdf2 = PBKDF2HMAC(algorithm=hashes.SHA256(), length=scheme.key_bytes, salt=salt, iterations=ITERATIONS)
    secret = kdf2.derive(pin.encode("utf-8", "surrogateescape"))
    padder = PKCS7(scheme.block_bytes * 8).padder()
    encryptor = Cipher(scheme.algorithm(secret), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(pkcs8) + padder.finalize()) + encryptor.finalize()
    kdf = der.sequence(
        der.oid(_PBKDF2),
        der.sequence(
            der.octet_string(salt),
            der.integer(ITERATIONS),
            der.algorithm_with_null(_HMAC_SHA256),
        ),
    )
    encryption = der.sequence(der.oid(scheme.oid), der.octet_string(iv))
    algorithm = der.sequence(der.oid(_PBES2), der.sequence(kdf, encryption))
    return encode_pem("ENCRYPTED PRIVATE KEY", der.sequence(algorithm, der.octet_string(ciphertext))).encode("ascii")


def _random_octets() -> bytes:
    """Sixteen octets from the generator that also makes the keys."""
    return AESGCM.generate_key(bit_length=128)
