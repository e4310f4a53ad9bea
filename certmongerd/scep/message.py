"""pkiMessages that a client sends (RFC 8894 sections 3.2 and 3.3): building, and checking one before it is sent."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from certmongerd.core.errors import InvalidValue, RemoteProtocolError
from certmongerd.pki import der
from certmongerd.scep.asn1 import certificate_id, subject_der
from certmongerd.scep.certificates import is_ca
from certmongerd.scep.enveloped import build_enveloped, parse_enveloped
from certmongerd.scep.oids import (
    DATA,
    MESSAGE_TYPE,
    SENDER_NONCE,
    SENDER_NONCE_BYTES,
    TRANSACTION_ID,
    Cipher,
    Digest,
    MessageType,
)
from certmongerd.scep.signed import (
    build_signed,
    check_content_digest,
    find_signer,
    load_certificates,
    parse_signed,
    sole_signer,
)

RandomBytes = Callable[[int], bytes]
"""Gives that many unpredictable bytes, as `secrets.token_bytes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who signs a message, and whom the reply is enveloped to."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """How the messages of one transaction are made."""

    recipient: x509.Certificate
    """The encryption (RA) certificate."""
    cipher: Cipher
    digest: Digest
    transaction_id: str
    sender_nonce: bytes
    now: datetime
    random_bytes: RandomBytes

    def seal(self, plaintext: bytes, message_type: MessageType, sender: Sender) -> bytes:
        """DER of a pkiMessage around *plaintext*."""
        enveloped = build_enveloped(
            plaintext,
            recipient=self.recipient,
            cipher=self.cipher,
            content_key=self.random_bytes(self.cipher.key_bytes),
            iv=self.random_bytes(self.cipher.block_bytes),
        )
        return build_signed(
            enveloped,
            message_type=message_type,
            transaction_id=self.transaction_id,
            sender_nonce=self.sender_nonce,
            key=sender.key,
            certificate=sender.certificate,
            digest=self.digest,
            now=self.now,
        )


def issuer_and_subject(ra: x509.Certificate, subject: bytes) -> bytes:
    """DER IssuerAndSubject of a CertPoll (RFC 8894 section 3.3.3) for a request with the DER Name *subject*.

    The issuer is the CA that will issue.
    """
    return der.sequence(issuing_name(ra), subject)


def issuing_name(ra: x509.Certificate) -> bytes:
    """DER Name of the CA that the encryption certificate *ra* belongs to: its own when it is the CA's."""
    return subject_der(ra) if is_ca(ra) else certificate_id(ra).issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What a reply has to answer to."""

    transaction_id: str
    sender_nonce: bytes
    message_type: MessageType


def inspect_outgoing(message: bytes, *, ra: x509.Certificate, accepted: frozenset[MessageType]) -> Outgoing:
    """Check that *message* is well-formed before it is sent.

    One signer whose embedded certificate verifies the signature, matching
    digest, the SCEP attributes, one of the *accepted* types, and content
    enveloped to *ra*. Raises InvalidValue with what is wrong.
    """
    try:
        return _inspect(message, ra, accepted)
    except RemoteProtocolError as exc:
        raise InvalidValue("pkiMessage", f"The SCEP message is not usable: {exc}") from exc


def _inspect(message: bytes, ra: x509.Certificate, accepted: frozenset[MessageType]) -> Outgoing:
    """`inspect_outgoing` with the errors of the readers."""
    signed = parse_signed(message)
    signer, attributes = sole_signer(signed)
    check_content_digest(signed, signer, attributes)
    find_signer(signer, load_certificates(signed.certificates))
    if signed.content_type != DATA or attributes.content_type() != DATA:
        raise RemoteProtocolError("its content is not of type data")
    type_text = attributes.text(MESSAGE_TYPE)
    if type_text is None or type_text not in accepted:
        wanted = " or ".join(sorted(kind.value for kind in accepted))
        raise RemoteProtocolError(f"its messageType is {type_text or 'missing'} instead of {wanted}")
    transaction = attributes.text(TRANSACTION_ID)
    if not transaction:
        raise RemoteProtocolError("it has no transactionID")
    nonce = attributes.octets(SENDER_NONCE)
    if nonce is None or len(nonce) != SENDER_NONCE_BYTES:
        raise RemoteProtocolError("it has no senderNonce of 16 bytes")
    if not any(recipient.identifier.names(ra) for recipient in parse_enveloped(signed.content or b"").recipients):
        raise RemoteProtocolError("it is encrypted to another certificate than the RA's")
    return Outgoing(transaction_id=transaction, sender_nonce=nonce, message_type=MessageType(type_text))
