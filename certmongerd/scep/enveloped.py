"""EnvelopedData for RSA recipients (RFC 5652 section 6): building for requests, tolerant opening of replies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.scep.asn1 import CertificateId, certificate_der, certificate_id, decoding
from certmongerd.scep.ber import envelope_to_der
from certmongerd.scep.certificates import key_identifiers
from certmongerd.scep.ciphers import decrypt, encrypt, key_bytes_of
from certmongerd.scep.digests import hash_algorithm
from certmongerd.scep.errors import UndecryptableReply
from certmongerd.scep.oids import DATA, DIGESTS_BY_OID, ENVELOPED_DATA, RSA_ENCRYPTION, RSAES_OAEP, Cipher

_KEY_TRANSPORT: Final = "ktri"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One KeyTransRecipientInfo."""

    certificate_id: CertificateId | None
    """None when the recipient is named by key identifier."""
    key_identifier: bytes
    algorithm: str
    algorithm_der: bytes
    """AlgorithmIdentifier of the key transport."""
    encrypted_key: bytes

    def is_named_by(self, certificate: x509.Certificate) -> bool:
        """Whether *certificate* is the one the recipient is named by."""
        if self.certificate_id is not None:
            return self.certificate_id.names(certificate_id(certificate))
        return self.key_identifier in key_identifiers(certificate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An EnvelopedData."""

    recipients: tuple[Recipient, ...]
    """Those of key transport; others cannot be meant for an RSA key."""
    content_type: str
    algorithm: str
    parameters: bytes
    """DER of the content encryption algorithm's parameters; empty when absent."""
    ciphertext: bytes


def parse_enveloped(data: bytes) -> Envelope:
    """Read a ContentInfo with EnvelopedData, BER allowed. Raises RemoteProtocolError."""
    der = envelope_to_der(data)
    with decoding("EnvelopedData"):
        info = cms.ContentInfo.load(der)
        if info["content_type"].dotted != ENVELOPED_DATA:
            raise RemoteProtocolError("The message is not EnvelopedData")
        enveloped = info["content"]
        inner = enveloped["encrypted_content_info"]
        encryption = inner["content_encryption_algorithm"]
        if inner["encrypted_content"].native is None:
            raise RemoteProtocolError("The envelope has no content")
        return Envelope(
            recipients=tuple(
                _read_recipient(recipient.chosen)
                for recipient in enveloped["recipient_infos"]
                if recipient.name == _KEY_TRANSPORT
            ),
            content_type=str(inner["content_type"].dotted),
            algorithm=str(encryption["algorithm"].dotted),
            parameters=bytes(encryption["parameters"].dump()),
            ciphertext=bytes(inner["encrypted_content"]),
        )


def _read_recipient(info: cms.KeyTransRecipientInfo) -> Recipient:
    """Take a KeyTransRecipientInfo apart; called inside `decoding`."""
    name = info["rid"]
    by_issuer = name.name == "issuer_and_serial_number"
    chosen = name.chosen
    return Recipient(
        certificate_id=CertificateId(issuer=bytes(chosen["issuer"].dump()), serial=int(chosen["serial_number"]))
        if by_issuer
        else None,
        key_identifier=b"" if by_issuer else bytes(chosen),
        algorithm=str(info["key_encryption_algorithm"]["algorithm"].dotted),
        algorithm_der=bytes(info["key_encryption_algorithm"].dump()),
        encrypted_key=bytes(info["encrypted_key"]),
    )


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
    embedded = asn1_x509.Certificate.load(certificate_der(recipient))
    transport = cms.KeyTransRecipientInfo(
        {
            "version": "v0",
            "rid": cms.RecipientIdentifier(
                name="issuer_and_serial_number",
                value=cms.IssuerAndSerialNumber({"issuer": embedded.issuer, "serial_number": embedded.serial_number}),
            ),
            "key_encryption_algorithm": {"algorithm": RSA_ENCRYPTION},
            "encrypted_key": key.encrypt(content_key, padding.PKCS1v15()),
        }
    )
    enveloped = cms.EnvelopedData(
        {
            "version": "v0",
            "recipient_infos": [cms.RecipientInfo(name=_KEY_TRANSPORT, value=transport)],
            "encrypted_content_info": {
                "content_type": DATA,
                "content_encryption_algorithm": {"algorithm": cipher.oid, "parameters": iv},
                "encrypted_content": encrypt(cipher, content_key, iv, plaintext),
            },
        }
    )
    return bytes(cms.ContentInfo({"content_type": "enveloped_data", "content": enveloped}).dump())


def open_envelope(
    envelope: Envelope, keys: Sequence[tuple[rsa.RSAPrivateKey, Sequence[x509.Certificate]]]
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
    addressed = [pair for pair in pairs if any(pair[0].is_named_by(certificate) for certificate in pair[2])]
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


def _unwrap(recipient: Recipient, key: rsa.RSAPrivateKey, length: int) -> bytes:
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
        parameters = cms.KeyEncryptionAlgorithm.load(algorithm_der)["parameters"]
        if not parameters.contents:
            digest = mask_digest = hash_algorithm(DIGESTS_BY_OID["1.3.14.3.2.26"])
            return padding.OAEP(mgf=padding.MGF1(mask_digest), algorithm=digest, label=None)
        digest = hash_algorithm(DIGESTS_BY_OID[parameters["hash_algorithm"]["algorithm"].dotted])
        mask_parameters = parameters["mask_gen_algorithm"]["parameters"]
        mask_digest = hash_algorithm(DIGESTS_BY_OID[mask_parameters["algorithm"].dotted])
        source = parameters["p_source_algorithm"]["parameters"].native
        return padding.OAEP(mgf=padding.MGF1(mask_digest), algorithm=digest, label=source or None)
