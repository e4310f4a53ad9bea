"""pkiMessages in words, for people who look for a fault. Nothing that is encrypted is opened."""

from typing import Final

from cryptography import x509

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.scep.attributes import Attributes
from certmongerd.scep.cms import KeyTransport
from certmongerd.scep.enveloped import parse_enveloped
from certmongerd.scep.oids import (
    CIPHERS_BY_OID,
    DIGESTS_BY_OID,
    FAIL_INFO,
    FAIL_INFO_TEXT,
    GCM_KEY_BYTES,
    MESSAGE_TYPE,
    PKI_STATUS,
    RECIPIENT_NONCE,
    RSA_ENCRYPTION,
    SENDER_NONCE,
    TRANSACTION_ID,
    MessageType,
    PkiStatus,
)
from certmongerd.scep.rollover import thumbprint
from certmongerd.scep.signed import SignedMessage, load_certificates, parse_signed

Fact = tuple[str, str]
"""Label and text."""

_TYPE_NAMES: Final = {
    MessageType.CERT_REP: "CertRep",
    MessageType.RENEWAL_REQ: "RenewalReq",
    MessageType.PKCS_REQ: "PKCSReq",
    MessageType.CERT_POLL: "CertPoll (GetCertInitial)",
    MessageType.GET_CERT: "GetCert",
    MessageType.GET_CRL: "GetCRL",
}
_STATUS_NAMES: Final = {PkiStatus.SUCCESS: "SUCCESS", PkiStatus.FAILURE: "FAILURE", PkiStatus.PENDING: "PENDING"}
_LONGEST_TEXT: Final = 256


def describe_message(message: bytes) -> tuple[Fact, ...]:
    """What a pkiMessage (DER or BER) says in clear. Never raises: what cannot be read is told as such."""
    try:
        signed = parse_signed(message)
    except RemoteProtocolError as exc:
        return (("message", f"{len(message)} bytes that are no SignedData: {exc}"),)
    facts: list[Fact] = []
    for signer in signed.signers:
        digest = DIGESTS_BY_OID.get(signer.digest_algorithm)
        facts += _attributes(signer.signed_attributes)
        facts.append(("digest", digest.value if digest else signer.digest_algorithm))
        named = [each for each in load_certificates(signed.certificates) if signer.identifier.names(each)]
        facts.append(("signer", describe_certificate(named[0]) if named else "a certificate that is not enclosed"))
    if not signed.signers:
        facts.append(("signer", "none"))
    return (*facts, *_enclosed(signed), *_content(signed.content))


def describe_certificate(certificate: x509.Certificate) -> str:
    """Subject, issuer, serial number and SHA-256 thumbprint."""
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    by = "self-signed" if subject == issuer else f"issued by {issuer}"
    return f"{subject or '(empty name)'}, {by}, serial {certificate.serial_number:X}, SHA-256 {thumbprint(certificate)}"


def _attributes(content: bytes | None) -> list[Fact]:
    """The SCEP attributes that are there."""
    if content is None:
        return [("attributes", "none")]
    try:
        attributes = Attributes.parse(content)
        texts = {oid: attributes.text(oid) for oid in (MESSAGE_TYPE, PKI_STATUS, TRANSACTION_ID, FAIL_INFO)}
        nonces = {oid: attributes.octets(oid) for oid in (SENDER_NONCE, RECIPIENT_NONCE)}
        addition = attributes.text(FAIL_INFO_TEXT)
    except RemoteProtocolError as exc:
        return [("attributes", str(exc))]
    kind, status = texts[MESSAGE_TYPE], texts[PKI_STATUS]
    values = (
        ("messageType", _named(kind, _TYPE_NAMES)),
        ("pkiStatus", _named(status, _STATUS_NAMES)),
        ("failInfo", texts[FAIL_INFO]),
        ("failInfoText", addition),
        ("transactionID", texts[TRANSACTION_ID]),
        ("senderNonce", _hex(nonces[SENDER_NONCE])),
        ("recipientNonce", _hex(nonces[RECIPIENT_NONCE])),
    )
    return [(label, _line(value)) for label, value in values if value is not None]


def _named(value: str | None, names: dict[MessageType, str] | dict[PkiStatus, str]) -> str | None:
    """A number with the name the RFC gives it."""
    if value is None:
        return None
    name = next((name for number, name in names.items() if number.value == value), "unknown")
    return f"{value} {name}"


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex().upper()


def _line(text: str) -> str:
    """One bounded line that can be shown."""
    return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST_TEXT]


def _enclosed(signed: SignedMessage) -> list[Fact]:
    """The certificates beside the signature."""
    return [("enclosed certificate", describe_certificate(each)) for each in load_certificates(signed.certificates)]


def _content(content: bytes | None) -> list[Fact]:
    """The envelope: how and for whom it is encrypted."""
    if content is None:
        return [("content", "absent")]
    try:
        envelope = parse_enveloped(content)
    except RemoteProtocolError as exc:
        return [("content", f"{len(content)} bytes, no envelope: {exc}")]
    cipher = CIPHERS_BY_OID.get(envelope.algorithm)
    name = cipher.value if cipher else "AES-GCM" if envelope.algorithm in GCM_KEY_BYTES else envelope.algorithm
    facts = [("content", f"an envelope with {len(envelope.ciphertext)} encrypted bytes"), ("cipher", name)]
    return facts + [("recipient", _recipient(recipient)) for recipient in envelope.recipients]


def _recipient(recipient: KeyTransport) -> str:
    """How the recipient is named, and how the key goes to it."""
    transport = "PKCS#1 v1.5" if recipient.algorithm == RSA_ENCRYPTION else recipient.algorithm
    if recipient.identifier.certificate_id is None:
        return f"key identifier {recipient.identifier.key_identifier.hex().upper()}, {transport}"
    return f"serial {recipient.identifier.certificate_id.serial:X}, {transport}"
