"""Object identifiers, digests and key strengths that keys, requests and certificates have in common."""

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.ml_dsa import SIGNATURES, MlDsaPrivateKey, MlDsaPublicKey, ml_dsa_algorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | MlDsaPrivateKey
"""The private keys this daemon handles."""

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | MlDsaPublicKey

CHALLENGE_PASSWORD: Final = "1.2.840.113549.1.9.7"
EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"
FRIENDLY_NAME: Final = "1.2.840.113549.1.9.20"

SUBJECT_KEY_IDENTIFIER: Final = "2.5.29.14"
KEY_USAGE: Final = "2.5.29.15"
SUBJECT_ALT_NAME: Final = "2.5.29.17"
BASIC_CONSTRAINTS: Final = "2.5.29.19"
CRL_DISTRIBUTION_POINTS: Final = "2.5.29.31"
AUTHORITY_KEY_IDENTIFIER: Final = "2.5.29.35"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"
FRESHEST_CRL: Final = "2.5.29.46"
AUTHORITY_INFO_ACCESS: Final = "1.3.6.1.5.5.7.1.1"
OCSP_NO_CHECK: Final = "1.3.6.1.5.5.7.48.1.5"
NETSCAPE_CERT_TYPE: Final = "2.16.840.1.113730.1.1"
NETSCAPE_COMMENT: Final = "2.16.840.1.113730.1.13"
MS_CERTIFICATE_TYPE: Final = "1.3.6.1.4.1.311.20.2"
"""Enrollment certificate type: the V1 template name (MS-WCCE, 2.2.2.7.7.1)."""
MS_CERTIFICATE_TEMPLATE: Final = "1.3.6.1.4.1.311.21.7"
"""V2 template: OID and version (MS-WCCE, 2.2.2.7.7.2)."""

ACCESS_METHOD_OCSP: Final = "1.3.6.1.5.5.7.48.1"
KRB5_PRINCIPAL_NAME: Final = "1.3.6.1.5.2.2"
"""otherName holding a KRB5PrincipalName (RFC 4556, 3.2.2)."""
MS_UPN: Final = "1.3.6.1.4.1.311.20.2.3"
"""otherName holding a user principal name as UTF8String."""

NETSCAPE_CERT_TYPES: Final = ("client", "server", "email", "objsign", "reserved", "sslCA", "emailCA", "objCA")
"""Words for the bits of the Netscape certificate type, in bit order."""

DIGESTS: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "md5": hashes.MD5(),
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}

_RSA_SIGNATURES: Final = {
    "md5": "1.2.840.113549.1.1.4",
    "sha1": "1.2.840.113549.1.1.5",
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
}
_ECDSA_SIGNATURES: Final = {
    "sha1": "1.2.840.10045.4.1",
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}

_ED25519: Final = "1.3.101.112"
"""Of keys and of signatures (RFC 8410, section 3)."""


CURVES: Final[Mapping[str, str]] = {
    "secp256r1": "1.2.840.10045.3.1.7",
    "secp384r1": "1.3.132.0.34",
    "secp521r1": "1.3.132.0.35",
}
"""OIDs of the named curves (RFC 5480, section 2.1.1.1)."""


def digest_named(name: str) -> hashes.HashAlgorithm:
    """The digest an administrator calls *name* (`sha256`, `SHA-256`); `InvalidValue` for others."""
    try:
        return DIGESTS[_plain(name)]
    except KeyError:
        raise InvalidValue("digest", f'Digest "{name}" is not known.') from None


def signature_algorithm(key: PrivateKey, digest: str) -> bytes:
    """DER AlgorithmIdentifier of the signature that *key* makes over *digest* (RSA: PKCS #1 v1.5).

    RSA has NULL parameters, the others have none (RFC 3279, RFC 5758, RFC 8410, RFC 9881). Ed25519 and ML-DSA do
    without a digest chosen by anybody.
    """
    parameters = der.encode(der.NULL) if isinstance(key, rsa.RSAPrivateKey) else b""
    return der.sequence(der.oid(_signature_oid(key, digest)), parameters)


def _signature_oid(key: PrivateKey, digest: str) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _ED25519
    if isinstance(key, MlDsaPrivateKey):
        return SIGNATURES[ml_dsa_algorithm(key)]
    table = _RSA_SIGNATURES if isinstance(key, rsa.RSAPrivateKey) else _ECDSA_SIGNATURES
    try:
        return table[_plain(digest)]
    except KeyError:
        raise InvalidValue("digest", f'Digest "{digest}" cannot be used with this type of key.') from None


def curve_for(bits: int) -> ec.EllipticCurve:
    """The NIST curve for a wanted field size: the next larger one, P-521 at most."""
    if bits <= 256:
        return ec.SECP256R1()
    return ec.SECP384R1() if bits <= 384 else ec.SECP521R1()


def _plain(name: str) -> str:
    return name.lower().replace("-", "")
