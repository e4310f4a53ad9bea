"""Content encryption of a pkcsPKIEnvelope: CBC with PKCS#7 padding, and GCM for replies only."""

from collections.abc import Callable, Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, modes
from cryptography.hazmat.primitives.ciphers import Cipher as CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.pki import der
from certmongerd.scep.asn1 import decoding, split
from certmongerd.scep.oids import CIPHERS_BY_OID, GCM_KEY_BYTES, Cipher

_DEFAULT_TAG_BYTES: Final = 12  # RFC 5084 section 3.2


def _single_des(key: bytes) -> BlockCipherAlgorithm:
    """Single DES, which current libraries lack, as triple DES that undoes its second step."""
    return TripleDES(key * 3)


_ALGORITHMS: Final[Mapping[Cipher, Callable[[bytes], BlockCipherAlgorithm]]] = {
    Cipher.DES: _single_des,
    Cipher.DES3: TripleDES,
    Cipher.AES128: AES,
    Cipher.AES192: AES,
    Cipher.AES256: AES,
}


def encrypt(cipher: Cipher, key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """Ciphertext in CBC mode with PKCS#7 padding; *key* and *iv* have the lengths of *cipher*."""
    padder = padding.PKCS7(cipher.block_bytes * 8).padder()
    padded = padder.update(plaintext) + padder.finalize()
    context = CipherContext(_ALGORITHMS[cipher](key), modes.CBC(iv)).encryptor()
    return context.update(padded) + context.finalize()


def key_bytes_of(algorithm: str) -> int:
    """Length of the key for content encryption *algorithm*. Raises RemoteProtocolError if it is not supported."""
    cipher = CIPHERS_BY_OID.get(algorithm)
    length = cipher.key_bytes if cipher is not None else GCM_KEY_BYTES.get(algorithm)
    if length is None:
        raise RemoteProtocolError(f"Content encryption algorithm {algorithm} is not supported")
    return length


def decrypt(algorithm: str, parameters: bytes, key: bytes, ciphertext: bytes) -> bytes:
    """Plaintext of *ciphertext*; *parameters* is the DER that follows *algorithm*.

    Raises RemoteProtocolError for unusable parameters, and for a key of another
    length or bad padding, which usually mean a wrong key.
    """
    if len(key) != key_bytes_of(algorithm):
        raise RemoteProtocolError("The content encryption key has the wrong length")
    cipher = CIPHERS_BY_OID.get(algorithm)
    if cipher is None:
        return _decrypt_gcm(parameters, key, ciphertext)
    elements = split(parameters)
    if len(elements) != 1 or elements[0].tag != der.OCTET_STRING or len(elements[0].content) != cipher.block_bytes:
        raise RemoteProtocolError("The initialisation vector has the wrong length")
    if not ciphertext or len(ciphertext) % cipher.block_bytes:
        raise RemoteProtocolError("The encrypted content is cut off")
    context = CipherContext(_ALGORITHMS[cipher](key), modes.CBC(elements[0].content)).decryptor()
    unpadder = padding.PKCS7(cipher.block_bytes * 8).unpadder()
    try:
        return unpadder.update(context.update(ciphertext) + context.finalize()) + unpadder.finalize()
    except ValueError as exc:
        raise RemoteProtocolError("The padding of the decrypted content is not valid") from exc


def _decrypt_gcm(parameters: bytes, key: bytes, ciphertext: bytes) -> bytes:
    """AES-GCM with the authentication tag at the end, parameters as in RFC 5084."""
    elements = split(parameters)
    members = split(elements[0].content) if len(elements) == 1 and elements[0].tag == der.SEQUENCE else ()
    if not members or members[0].tag != der.OCTET_STRING:
        raise RemoteProtocolError("The parameters of AES-GCM are not valid")
    tag_bytes = _DEFAULT_TAG_BYTES
    if len(members) > 1:
        with decoding("Tag length of AES-GCM"):
            tag_bytes = der.read_integer(members[1])
    if tag_bytes != 16:
        raise RemoteProtocolError(f"AES-GCM with a tag of {tag_bytes} bytes is not supported")
    try:
        return AESGCM(key).decrypt(members[0].content, ciphertext, None)
    except (InvalidTag, ValueError) as exc:
        raise RemoteProtocolError("The encrypted content is not authentic") from exc
