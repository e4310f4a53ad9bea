"""SignedData with one signer (RFC 5652 section 5): building for requests, tolerant reading and verifying of replies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.pki import der
from certmongerd.scep.asn1 import certificate_der, certificate_id, decoding
from certmongerd.scep.attributes import Attributes, encode_request_attributes, sort_set
from certmongerd.scep.ber import to_der
from certmongerd.scep.certificates import load_certificate
from certmongerd.scep.cms import SignedData, SignerInfo, content_info
from certmongerd.scep.digests import digest_of, hash_algorithm
from certmongerd.scep.oids import (
    DATA,
    DIGESTS_BY_ECDSA_OID,
    DIGESTS_BY_OID,
    DIGESTS_BY_RSA_SIGNATURE_OID,
    EC_PUBLIC_KEY,
    MESSAGE_DIGEST,
    RSA_ENCRYPTION,
    RSASSA_PSS,
    SIGNED_DATA,
    Digest,
    MessageType,
)

_VERSION: Final = 1
"""Of SignedData and SignerInfo, when the signer is named by issuer and serial number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedMessage:
    """A SignedData."""

    content_type: str
    content: bytes | None
    """None when absent, as RFC 8894 wants it for replies without a certificate."""
    certificates: tuple[bytes, ...]
    """DER of the embedded certificates, in the order sent."""
    signers: tuple[SignerInfo, ...]


def parse_signed(data: bytes) -> SignedMessage:
    """Read a ContentInfo with SignedData, BER allowed. Raises RemoteProtocolError."""
    definite = to_der(data)
    with decoding("SignedData"):
        signed = SignedData.read(definite)
        if signed is None:
            raise RemoteProtocolError("The message is not SignedData")
        return SignedMessage(
            content_type=signed.content_type,
            content=signed.content,
            certificates=tuple(each.encoded for each in signed.certificates if each.tag == der.SEQUENCE),
            signers=tuple(SignerInfo.read(each) for each in signed.signer_infos),
        )


def build_signed(
    content: bytes,
    *,
    message_type: MessageType,
    transaction_id: str,
    sender_nonce: bytes,
    key: rsa.RSAPrivateKey,
    certificate: x509.Certificate,
    digest: Digest,
    now: datetime,
) -> bytes:
    """DER ContentInfo of a pkiMessage around *content*, signed by *key* and carrying its *certificate*."""
    attributes = encode_request_attributes(
        message_type=message_type,
        transaction_id=transaction_id,
        sender_nonce=sender_nonce,
        content_digest=digest_of(digest, content),
        now=now,
    )
    signature = key.sign(der.encode(der.SET, attributes), padding.PKCS1v15(), hash_algorithm(digest))
    digest_algorithm = der.algorithm_with_null(digest.oid)
    signer = der.sequence(
        der.integer(_VERSION),
        certificate_id(certificate).encoded,
        digest_algorithm,
        der.context(0, attributes),
        der.algorithm_with_null(RSA_ENCRYPTION),
        der.octet_string(signature),
    )
    signed = der.sequence(
        der.integer(_VERSION),
        der.set_of(digest_algorithm),
        der.sequence(der.oid(DATA), der.context(0, der.octet_string(content))),
        der.context(0, certificate_der(certificate)),
        der.set_of(signer),
    )
    return content_info(SIGNED_DATA, signed)


def sole_signer(message: SignedMessage) -> tuple[SignerInfo, Attributes]:
    """The signer and its attributes; raises RemoteProtocolError unless there is exactly one, with attributes."""
    if len(message.signers) != 1:
        raise RemoteProtocolError(f"The message has {len(message.signers)} signers instead of one")
    signer = message.signers[0]
    if signer.signed_attributes is None:
        raise RemoteProtocolError("The message has no signed attributes")
    return signer, Attributes.parse(signer.signed_attributes)


def check_content_digest(message: SignedMessage, signer: SignerInfo, attributes: Attributes) -> None:
    """Compare messageDigest with the content; absent content counts as empty. Raises RemoteProtocolError."""
    digest = DIGESTS_BY_OID.get(signer.digest_algorithm)
    if digest is None:
        raise RemoteProtocolError(f"Digest algorithm {signer.digest_algorithm} is not supported")
    if attributes.octets(MESSAGE_DIGEST) != digest_of(digest, message.content or b""):
        raise RemoteProtocolError("The content does not match the messageDigest")


def load_certificates(encodings: Iterable[bytes]) -> tuple[x509.Certificate, ...]:
    """Certificates that can be read; servers put others beside the ones that matter."""
    loaded: list[x509.Certificate] = []
    for encoding in encodings:
        try:
            loaded.append(load_certificate(encoding))
        except RemoteProtocolError:
            continue  # not needed unless it is the signer's, whose absence is reported
    return tuple(loaded)


def find_signer(signer: SignerInfo, candidates: Sequence[x509.Certificate]) -> x509.Certificate:
    """The certificate among *candidates* that the signer names and whose key made the signature.

    Raises RemoteProtocolError when none is named, or the signature is not valid.
    """
    named = [certificate for certificate in candidates if signer.identifier.names(certificate)]
    if not named:
        raise RemoteProtocolError("The certificate of the signer is not known")
    for certificate in named:
        if is_signed_by(signer, certificate):
            return certificate
    raise RemoteProtocolError("The signature is not valid")


def is_signed_by(signer: SignerInfo, certificate: x509.Certificate) -> bool:
    """Whether the key of *certificate* made the signature over the attributes.

    The attributes are taken as sent, else in the order that DER prescribes.
    Raises RemoteProtocolError for an algorithm that is not supported.
    """
    if signer.signed_attributes is None:
        return False
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise RemoteProtocolError("The key of the signer's certificate cannot be read") from exc
    as_sent = signer.signed_attributes
    return any(_verify(signer, key, der.encode(der.SET, content)) for content in (as_sent, sort_set(as_sent)))


def _verify(signer: SignerInfo, key: CertificatePublicKeyTypes, data: bytes) -> bool:
    """Check the signature over *data*."""
    try:
        if isinstance(key, rsa.RSAPublicKey):
            scheme, algorithm = _rsa_scheme(signer)
            key.verify(signer.signature, data, scheme, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signer.signature, data, ec.ECDSA(_ecdsa_digest(signer)))
        else:
            raise RemoteProtocolError("The key type of the signer is not supported")
    except InvalidSignature:
        return False
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise RemoteProtocolError("The signature cannot be checked") from exc
    return True


def _rsa_scheme(signer: SignerInfo) -> tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]:
    """Padding and digest of an RSA signature."""
    algorithm = signer.signature_algorithm
    if algorithm == RSASSA_PSS:
        return _pss_scheme(signer.signature_parameters)
    digest = DIGESTS_BY_RSA_SIGNATURE_OID.get(algorithm)
    if algorithm == RSA_ENCRYPTION:
        digest = DIGESTS_BY_OID.get(signer.digest_algorithm)
    if digest is None:
        raise RemoteProtocolError(f"Signature algorithm {algorithm} is not supported")
    return padding.PKCS1v15(), hash_algorithm(digest)


def _pss_scheme(algorithm_der: bytes) -> tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]:
    """Padding and digest of RSASSA-PSS parameters (RFC 8017 appendix A.2.3)."""
    with decoding("RSASSA-PSS parameters"):
        from asn1crypto import algos  # brings much, for what is seldom met

        parameters = algos.SignedDigestAlgorithm.load(algorithm_der)["parameters"]
        digest = DIGESTS_BY_OID[parameters["hash_algorithm"]["algorithm"].dotted]
        mask_digest = DIGESTS_BY_OID[parameters["mask_gen_algorithm"]["parameters"]["algorithm"].dotted]
        salt_length = int(parameters["salt_length"])
        mask = padding.MGF1(hash_algorithm(mask_digest))
        return padding.PSS(mgf=mask, salt_length=salt_length), hash_algorithm(digest)


def _ecdsa_digest(signer: SignerInfo) -> hashes.HashAlgorithm:
    """Digest of an ECDSA signature."""
    digest = DIGESTS_BY_ECDSA_OID.get(signer.signature_algorithm)
    if signer.signature_algorithm == EC_PUBLIC_KEY:
        digest = DIGESTS_BY_OID.get(signer.digest_algorithm)
    if digest is None:
        raise RemoteProtocolError(f"Signature algorithm {signer.signature_algorithm} is not supported")
    return hash_algorithm(digest)
