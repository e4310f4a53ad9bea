"""Evaluates a server's CertRep (RFC 8894 section 3.3.2): verified, matched with its request, sorted by outcome."""

import base64
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.scep.attributes import Attributes
from certmongerd.scep.enveloped import parse_enveloped
from certmongerd.scep.message import Outgoing
from certmongerd.scep.oids import (
    DATA,
    FAIL_INFO,
    FAIL_INFO_TEXT,
    MESSAGE_TYPE,
    PKI_STATUS,
    RECIPIENT_NONCE,
    SENDER_NONCE,
    TRANSACTION_ID,
    MessageType,
    PkiStatus,
)
from certmongerd.scep.signed import (
    SignedMessage,
    check_content_digest,
    find_signer,
    load_certificates,
    parse_signed,
    sole_signer,
)
from certmongerd.scep.trust import TrustedCertificates, why_untrusted

_MAX_FAIL_INFO_TEXT: Final = 256
_FAIL_INFO: Final[Mapping[str, str]] = {
    "0": "badAlg: an algorithm of the request is not known or not supported",
    "1": "badMessageCheck: the integrity check of the request failed",
    "2": "badRequest: the transaction is not permitted or not supported",
    "3": "badTime: the clocks of client and server differ too much",
    "4": "badCertId: no certificate matches the request",
    "5": "unsupportedExt: a requested extension is not supported",
    "6": "mustArchiveKeys: the private key has to be archived",
    "7": "badIdentity: the identity of the requester is not accepted",
    "8": "popRequired: a proof of possession of the key is required",
    "9": "popFailed: the proof of possession of the key failed",
    "10": "noKeyReuse: the key may not be used again",
    "11": "internalCAError: the CA has an internal error",
    "12": "tryLater: the CA asks to try again later",
}


@dataclass(frozen=True, slots=True)
class Success:
    """The certificate was issued."""

    enveloped: bytes
    """The EnvelopedData as sent; DER or BER."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The CA will decide later."""

    cookie: str
    """Text that is not empty."""
    note: str = ""
    """What was odd about the reply."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The CA refused."""

    text: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """Nothing that answers the request; whatever it says is not to be believed."""

    reason: str


Verdict = Success | Pending | Rejected | Invalid


def open_reply(body: bytes, *, request: Outgoing, trusted: TrustedCertificates, now: datetime) -> Verdict:
    """What *body* says about *request*. Never raises for what a server sent: that is Invalid."""
    try:
        message = parse_signed(body)
        attributes = verify_reply(message, trusted=trusted, now=now)
        return _evaluate(message, attributes, request)
    except RemoteProtocolError as exc:
        return Invalid(str(exc))


def verify_reply(message: SignedMessage, *, trusted: TrustedCertificates, now: datetime) -> Attributes:
    """The attributes of *message*, once digest, signature and signer are found to be good.

    The signer may be named by any embedded or known certificate: servers put
    the issued certificate beside the signer's, or leave certificates out.
    Raises RemoteProtocolError.
    """
    signer, attributes = sole_signer(message)
    if attributes.content_type() != DATA:
        raise RemoteProtocolError("The contentType of the reply is not data")
    check_content_digest(message, signer, attributes)
    embedded = load_certificates(message.certificates)
    certificate = _signing_certificate(message, trusted, embedded)
    reason = why_untrusted(certificate, trusted, embedded, now)
    if reason is not None:
        raise RemoteProtocolError(f"The signature of the reply is not trusted: {reason}")
    return attributes


def _signing_certificate(
    message: SignedMessage, trusted: TrustedCertificates, embedded: tuple[x509.Certificate, ...]
) -> x509.Certificate:
    """The certificate whose key signed; known ones before embedded ones."""
    return find_signer(message.signers[0], (*trusted.all, *embedded))


def _evaluate(message: SignedMessage, attributes: Attributes, request: Outgoing) -> Verdict:
    """Match a verified reply with its request, then read its status."""
    message_type = attributes.text(MESSAGE_TYPE)
    if message_type != MessageType.CERT_REP:
        return Invalid(f"The messageType of the reply is {message_type or 'missing'} instead of 3")
    if attributes.text(TRANSACTION_ID) != request.transaction_id:
        return Invalid("The transactionID of the reply is not the request's")
    status = attributes.text(PKI_STATUS)
    if status is None:
        return Invalid("The reply has no pkiStatus")
    if attributes.octets(RECIPIENT_NONCE) != request.sender_nonce:
        return Invalid("The recipientNonce of the reply is not the request's senderNonce")
    match status:
        case PkiStatus.PENDING:
            return Pending(_cookie(attributes, request))
        case PkiStatus.FAILURE:
            return Rejected(_failure_text(attributes))
        case PkiStatus.SUCCESS:
            return _success(message, attributes, request)
        case _:
            return Invalid(f"The pkiStatus {_clean(status)} of the reply is not known")


def _success(message: SignedMessage, attributes: Attributes, request: Outgoing) -> Verdict:
    """The envelope of an issued certificate; some servers mean PENDING when there is none."""
    if not message.content:
        return Pending(
            _cookie(attributes, request), "The server reports success without a certificate; taken as pending"
        )
    if parse_enveloped(message.content).content_type != DATA:
        return Invalid("The content of the envelope is not of type data")
    return Success(message.content)


def _cookie(attributes: Attributes, request: Outgoing) -> str:
    """Text to keep until the next poll; it is not sent to the server."""
    nonce = attributes.octets(SENDER_NONCE)
    return base64.b64encode(nonce).decode("ascii") if nonce else request.transaction_id


def _failure_text(attributes: Attributes) -> str:
    """One line that tells why the CA refused."""
    number = attributes.text(FAIL_INFO)
    if not number:
        text = "The CA refused the request without saying why"
    elif number in _FAIL_INFO:
        text = f"The CA refused the request: {_FAIL_INFO[number]}"
    else:
        text = f"The CA refused the request with failInfo {_clean(number)}"
    addition = _clean(attributes.text(FAIL_INFO_TEXT) or "")
    return f"{text} ({addition})" if addition else text


def _clean(text: str) -> str:
    """One bounded line without control characters."""
    printable = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    return " ".join(printable.split())[:_MAX_FAIL_INFO_TEXT]
