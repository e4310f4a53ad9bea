"""Object identifiers and wire values of SCEP and CMS (RFC 8894, RFC 5652), each spelled once."""

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final

DATA: Final = "1.2.840.113549.1.7.1"
SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
ENVELOPED_DATA: Final = "1.2.840.113549.1.7.3"

CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
SIGNING_TIME: Final = "1.2.840.113549.1.9.5"

MESSAGE_TYPE: Final = "2.16.840.1.113733.1.9.2"
PKI_STATUS: Final = "2.16.840.1.113733.1.9.3"
FAIL_INFO: Final = "2.16.840.1.113733.1.9.4"
SENDER_NONCE: Final = "2.16.840.1.113733.1.9.5"
RECIPIENT_NONCE: Final = "2.16.840.1.113733.1.9.6"
TRANSACTION_ID: Final = "2.16.840.1.113733.1.9.7"
FAIL_INFO_TEXT: Final = "1.3.6.1.5.5.7.24.1"

RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
RSAES_OAEP: Final = "1.2.840.113549.1.1.7"
RSASSA_PSS: Final = "1.2.840.113549.1.1.10"
EC_PUBLIC_KEY: Final = "1.2.840.10045.2.1"

CMC_REGISTRATION_AUTHORITY: Final = "1.3.6.1.5.5.7.3.28"
CERTIFICATE_REQUEST_AGENT: Final = "1.3.6.1.4.1.311.20.2.1"

SENDER_NONCE_BYTES: Final = 16


class MessageType(StrEnum):
    """Values of the messageType attribute that this client sends or receives."""

    CERT_REP = "3"
    RENEWAL_REQ = "17"
    PKCS_REQ = "19"
    CERT_POLL = "20"
    """GetCertInitial in the drafts."""
    GET_CERT = "21"
    GET_CRL = "22"


class PkiStatus(StrEnum):
    """Values of the pkiStatus attribute."""

    SUCCESS = "0"
    FAILURE = "2"
    PENDING = "3"


class Cipher(Enum):
    """Content encryption algorithms of a pkcsPKIEnvelope; the value is the spelling of `scep-cipher`."""

    DES = "DES"
    DES3 = "DES3"
    AES128 = "AES128"
    AES192 = "AES192"
    AES256 = "AES256"

    @property
    def oid(self) -> str:
        """The CBC mode's content encryption algorithm."""
        return _CIPHERS[self][0]

    @property
    def key_bytes(self) -> int:
        """Length of the content encryption key."""
        return _CIPHERS[self][1]

    @property
    def block_bytes(self) -> int:
        """Length of a block, which is the length of the initialisation vector."""
        return _CIPHERS[self][2]


_CIPHERS: Final[Mapping[Cipher, tuple[str, int, int]]] = {
    Cipher.DES: ("1.3.14.3.2.7", 8, 8),
    Cipher.DES3: ("1.2.840.113549.3.7", 24, 8),
    Cipher.AES128: ("2.16.840.1.101.3.4.1.2", 16, 16),
    Cipher.AES192: ("2.16.840.1.101.3.4.1.22", 24, 16),
    Cipher.AES256: ("2.16.840.1.101.3.4.1.42", 32, 16),
}

CIPHERS_BY_OID: Final[Mapping[str, Cipher]] = {cipher.oid: cipher for cipher in Cipher}

GCM_KEY_BYTES: Final[Mapping[str, int]] = {
    "2.16.840.1.101.3.4.1.6": 16,
    "2.16.840.1.101.3.4.1.26": 24,
    "2.16.840.1.101.3.4.1.46": 32,
}
"""AES-GCM inside EnvelopedData, as some servers written in Go send it."""


class Digest(Enum):
    """Message digests; the value is the spelling of `scep-digest`."""

    MD5 = "MD5"
    SHA1 = "SHA1"
    SHA224 = "SHA224"
    SHA256 = "SHA256"
    SHA384 = "SHA384"
    SHA512 = "SHA512"

    @property
    def oid(self) -> str:
        """The digest algorithm."""
        return _DIGESTS[self][0]


_DIGESTS: Final[Mapping[Digest, tuple[str, str, str]]] = {
    # digest, digest with RSA, ECDSA with digest
    Digest.MD5: ("1.2.840.113549.2.5", "1.2.840.113549.1.1.4", ""),
    Digest.SHA1: ("1.3.14.3.2.26", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"),
    Digest.SHA224: ("2.16.840.1.101.3.4.2.4", "1.2.840.113549.1.1.14", "1.2.840.10045.4.3.1"),
    Digest.SHA256: ("2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.11", "1.2.840.10045.4.3.2"),
    Digest.SHA384: ("2.16.840.1.101.3.4.2.2", "1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3"),
    Digest.SHA512: ("2.16.840.1.101.3.4.2.3", "1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4"),
}

DIGESTS_BY_OID: Final[Mapping[str, Digest]] = {names[0]: digest for digest, names in _DIGESTS.items()}
DIGESTS_BY_RSA_SIGNATURE_OID: Final[Mapping[str, Digest]] = {names[1]: digest for digest, names in _DIGESTS.items()}
DIGESTS_BY_ECDSA_OID: Final[Mapping[str, Digest]] = {names[2]: digest for digest, names in _DIGESTS.items() if names[2]}
