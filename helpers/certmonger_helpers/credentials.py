"""The local CA's key and certificates in one PKCS#12 file with an empty password (RFC 7292).

The file is readable by certmonger's own helper and the other way round. cryptography can read it, but then
checks the RSA key for 45 ms each time; what is covered by the file's checksum needs no such check, so the
common encodings (no encryption, or PBES2 with AES-CBC) are read here, and others by cryptography.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import NoEncryption, load_der_private_key, pkcs12

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.der import DerError, Element

_DATA: Final = "1.2.840.113549.1.7.1"
_ENCRYPTED_DATA: Final = "1.2.840.113549.1.7.6"
_KEY_BAG: Final = "1.2.840.113549.1.12.10.1.1"
_SHROUDED_KEY_BAG: Final = "1.2.840.113549.1.12.10.1.2"
_CERTIFICATE_BAG: Final = "1.2.840.113549.1.12.10.1.3"
_PBES2: Final = "1.2.840.113549.1.5.13"
_PBKDF2: Final = "1.2.840.113549.1.5.12"
_HMAC_SHA256: Final = "1.2.840.113549.2.9"
_AES_KEY_BYTES: Final[Mapping[str, int]] = {"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.42": 32}
_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_SHA256_BLOCK_BYTES: Final = 64
_MAC_PURPOSE: Final = 3
_EMPTY_PASSWORDS: Final = (b"\0\0", b"")
"""As RFC 7292 has it, with a final zero; and as OpenSSL encodes no password at all."""
_MAX_ITERATIONS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The CA's current key, and its certificates: the current one, then the older ones, the oldest first.

    That is the order that certmonger's own helper keeps and shows.
    """

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificates: tuple[x509.Certificate, ...]


def encode_credentials(credentials: Credentials, friendly_name: str) -> bytes:
    """PKCS#12 with a checksum; nothing is encrypted, because everybody knows an empty password."""
    name = friendly_name.encode()
    current, *older = credentials.certificates
    others = [pkcs12.PKCS12Certificate(certificate, name) for certificate in older]
    return pkcs12.serialize_key_and_certificates(name, credentials.key, current, others, NoEncryption())


@lru_cache(maxsize=1)  # a process that stays reads the same again and again, and the checksum takes a millisecond
def decode_credentials(data: bytes) -> Credentials:
    """Read PKCS#12 with an empty password; InvalidValue when that is not possible."""
    try:
        key, certificates = _read_common(data) or _read_any(data)
    except (DerError, ValueError, IndexError, UnsupportedAlgorithm) as exc:
        raise InvalidValue("creds", f"The CA's key and certificates cannot be read: {exc}") from exc
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise InvalidValue("creds", "The CA's key is neither RSA nor EC.")
    public_key = key.public_key()
    current = next((entry for entry in certificates if entry.public_key() == public_key), None)
    if current is None:
        raise InvalidValue("creds", "There is no certificate for the CA's key.")
    older = (entry for entry in certificates if entry != current)
    return Credentials(key=key, certificates=(current, *older))


def _read_any(data: bytes) -> tuple[object, list[x509.Certificate]]:
    """Read with cryptography: slow, but with all algorithms."""
    bundle = pkcs12.load_pkcs12(data, b"")
    first = [bundle.cert.certificate] if bundle.cert else []
    return bundle.key, first + [entry.certificate for entry in bundle.additional_certs]


def _read_common(data: bytes) -> tuple[object, list[x509.Certificate]] | None:
    """Read the common encodings; None for others."""
    try:
        _, authenticated, mac = der.decode(data, der.SEQUENCE).children()
        content = _content_octets(authenticated)
        if not _checksum_matches(content, mac):
            return None
        key: object = None
        certificates: list[x509.Certificate] = []
        for kind, value in _bags(content):
            if kind == _CERTIFICATE_BAG:
                _, wrapped = value.children()
                certificates.append(x509.load_der_x509_certificate(der.decode(wrapped.content).content))
            elif kind in (_KEY_BAG, _SHROUDED_KEY_BAG):
                plain = value.encoded if kind == _KEY_BAG else _decrypt(*value.children())
                key = load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
    except (DerError, ValueError, IndexError):
        return None
    return (key, certificates) if key is not None else None


def _bags(content: bytes) -> Iterator[tuple[str, Element]]:
    """Kind and value of every SafeBag."""
    for info in der.decode(content, der.SEQUENCE).children():
        kind = der.read_oid(info.children()[0])
        if kind == _DATA:
            safe = _content_octets(info)
        elif kind == _ENCRYPTED_DATA:
            _, encrypted = der.decode(info.children()[1].content, der.SEQUENCE).children()
            _, algorithm, ciphertext = encrypted.children()
            safe = _decrypt(algorithm, ciphertext)
        else:
            raise DerError(f"content of type {kind}")
        for bag in der.decode(safe, der.SEQUENCE).children():
            identifier, value, *_ = bag.children()
            yield der.read_oid(identifier), der.decode(value.content)


def _content_octets(info: Element) -> bytes:
    """The octets in a ContentInfo of type data."""
    kind, wrapped = info.children()
    if der.read_oid(kind) != _DATA:
        raise DerError("content is not data")
    return der.decode(wrapped.content, der.OCTET_STRING).content


def _decrypt(algorithm: Element, ciphertext: Element) -> bytes:
    """Decrypt PBES2 with an empty password (RFC 8018, section 6.2)."""
    scheme, parameters = algorithm.children()
    derivation, encryption = parameters.children()
    derivation_oid, derivation_parameters = derivation.children()
    salt, iterations, *rest = derivation_parameters.children()
    encryption_oid, iv = encryption.children()
    key_bytes = _AES_KEY_BYTES.get(der.read_oid(encryption_oid))
    uses_sha256 = bool(rest) and der.read_oid(rest[-1].children()[0]) == _HMAC_SHA256
    if der.read_oid(scheme) != _PBES2 or der.read_oid(derivation_oid) != _PBKDF2 or not uses_sha256 or not key_bytes:
        raise DerError("other encryption")
    derive = PBKDF2HMAC(
        algorithm=hashes.SHA256(), length=key_bytes, salt=salt.content, iterations=_iterations(iterations)
    )
    decryptor = Cipher(AES(derive.derive(b"")), modes.CBC(iv.content)).decryptor()
    unpadder = PKCS7(AES.block_size).unpadder()
    padded = decryptor.update(ciphertext.content) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def _checksum_matches(content: bytes, mac: Element) -> bool:
    """Whether the HMAC-SHA256 over *content*, keyed with an empty password, is right."""
    digest_info, salt, *rest = mac.children()
    algorithm, expected = digest_info.children()
    if der.read_oid(algorithm.children()[0]) != _SHA256:
        raise DerError("other checksum")
    iterations = _iterations(rest[0]) if rest else 1
    keys = (_mac_key(password, salt.content, iterations) for password in _EMPTY_PASSWORDS)
    return any(hmac.compare_digest(hmac.digest(key, content, "sha256"), expected.content) for key in keys)


def _mac_key(password: bytes, salt: bytes, iterations: int) -> bytes:
    """Key derivation of RFC 7292, appendix B.2, for SHA-256 and a key that is one digest long."""

    def fill(part: bytes) -> bytes:
        size = -(-len(part) // _SHA256_BLOCK_BYTES) * _SHA256_BLOCK_BYTES
        return (part * (size // max(len(part), 1) + 1))[:size]

    block = bytes([_MAC_PURPOSE]) * _SHA256_BLOCK_BYTES + fill(salt) + fill(password)
    sha256 = hashlib.sha256
    for _ in range(iterations):
        block = sha256(block).digest()
    return block


def _iterations(element: Element) -> int:
    """A number of iterations within reason."""
    count = der.read_integer(element)
    if not 0 < count <= _MAX_ITERATIONS:
        raise DerError("number of iterations")
    return count
