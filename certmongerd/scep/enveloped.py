"""EnvelopedData for RSA recipients (RFC 5652 section 6): building for requests, tolerant opening of replies."""

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.pki import der
from certmongerd.scep.asn1 import certificate_id, decoding
from certmongerd.scep.ber import envelope_to_der
from certmongerd.scep.ciphers import decrypt, encrypt, key_bytes_of
from certmongerd.scep.cms import IMPLICIT_0, EnvelopedData, KeyTransport, content_info
from certmongerd.scep.digests import hash_algorithm
from certmongerd.scep.errors import UndecryptableReply
from certmongerd.scep.oids import DATA, DIGESTS_BY_OID, ENVELOPED_DATA, RSA_ENCRYPTION, RSAES_OAEP, Cipher

_VERSION: Final = 0
"""Of EnvelopedData and KeyTransRecipientInfo, when the recipient is named by issuer and serial number."""


def parse_enveloped(data: bytes) -> EnvelopedData:
    """Read a ContentInfo with EnvelopedData, BER allowed. Raises RemoteProtocolError."""
    definite = envelope_to_der(data)
    with decoding("EnvelopedData"):
        enveloped = EnvelopedData.read(definite)
    if enveloped is None:
        raise RemoteProtocolError("The message is not EnvelopedData")
    return enveloped


def build_enveloped(
    plaintext: bytes, *, recipient: x509.Certificate, cipher: Cipher, content_key: bytes, iv: bytes
) -> bytes:
    """DER ContentInfo with *plaintext* encrypted to *recipient*, RSAES-PKCS1-v1_5.

    *content_key* and *iv* are random and have the lengths of *cipher*. OAEP is
    not used: common servers cannot open it. Raises ValueError for a recipient
    whose key is not RSA; callers have chosen one.
    """
    key = recipient.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("the recipient's key is not RSA")
    transport = der.sequence(
        der.integer(_VERSION),
        certificate_id(recipient).encoded,
        der.algorithm_with_null(RSA_ENCRYPTION),
        der.octet_string(key.encrypt(content_key, padding.PKCS1v15())),
    )
    encrypted = der.sequence(
        der.oid(DATA),
        der.sequence(der.oid(cipher.oid), der.octet_string(iv)),
        der.encode(IMPLICIT_0, encrypt(cipher, content_key, iv, plaintext)),
    )
    return content_info(ENVELOPED_DATA, der.sequence(der.integer(_VERSION), der.set_of(transport), encrypted))


def open_envelope(
    envelope: EnvelopedData, keys: Sequence[tuple[rsa.RSAPrivateKey, Sequence[x509.Certificate]]]
) -> tuple[bytes, ...]:
    """Plausible plaintexts, best first: recipients that name one of the keys' certificates, then every other pair.

    A wrong key seldom shows at once, since libraries answer bad v1.5 padding
    with random bytes (RFC 8017 section 7.2.2 forbids telling); so the caller
    takes the first plaintext that makes sense. Raises UndecryptableReply when
    no key fits.
    """
    pairs = [(recipient, key, certificates) for recipient in envelope.recipients for key, certificates in keys]
    if not pairs:
        raise UndecryptableReply("The reply is not addressed to an RSA key")
    addressed = [pair for pair in pairs if any(pair[0].identifier.names(certificate) for certificate in pair[2])]
    others = [pair for pair in pairs if pair not in addressed]
    plaintexts: list[bytes] = []
    reason: RemoteProtocolError | None = None
    for recipient, key, _ in (*addressed, *others):
        try:
            content_key = _unwrap(recipient, key, key_bytes_of(envelope.algorithm))
            plaintexts.append(decrypt(envelope.algorithm, envelope.parameters, content_key, envelope.ciphertext))
        except RemoteProtocolError as exc:
            reason = reason or exc
    if plaintexts:
        return tuple(plaintexts)
    if addressed:
        raise UndecryptableReply(f"The reply cannot be decrypted: {reason}")
    raise UndecryptableReply("The reply is not addressed to our key")


def _unwrap(recipient: KeyTransport, key: rsa.RSAPrivateKey, length: int) -> bytes:
    """The content encryption key. Raises RemoteProtocolError when it is not for *key*."""
    if recipient.algorithm == RSA_ENCRYPTION:
        scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    elif recipient.algorithm == RSAES_OAEP:
        scheme = _oaep(recipient.algorithm_der)
    else:
        raise RemoteProtocolError(f"Key transport algorithm {recipient.algorithm} is not supported")
    try:
        content_key = key.decrypt(recipient.encrypted_key, scheme)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise RemoteProtocolError("The content encryption key is not for our key") from exc
    if len(content_key) != length:
        raise RemoteProtocolError("The content encryption key has the wrong length")
    return content_key


def _oaep(algorithm_der: bytes) -> padding.OAEP:
    """Padding for RSAES-OAEP parameters (RFC 8017 appendix A.2.1); absent ones mean SHA-1."""
    with decoding("RSAES-OAEP parameters"):
        from asn1crypto import cms  # brings much, for what is seldom met

        parameters = cms.KeyEncryptionAlgorithm.load(algorithm_der)["parameters"]
        if not parameters.contents:
            digest = mask_digest = hash_algorithm(DIGESTS_BY_OID["1.3.14.3.2.26"])
            return padding.OAEP(mgf=padding.MGF1(mask_digest), algorithm=digest, label=None)
        digest = hash_algorithm(DIGESTS_BY_OID[parameters["hash_algorithm"]["algorithm"].dotted])
        mask_parameters = parameters["mask_gen_algorithm"]["parameters"]
        mask_digest = hash_algorithm(DIGESTS_BY_OID[mask_parameters["algorithm"].dotted])
        source = parameters["p_source_algorithm"]["parameters"].native
        return padding.OAEP(mgf=padding.MGF1(mask_digest), algorithm=digest, label=source or None)
