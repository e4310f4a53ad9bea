"""The daemon's entry point: makes the SCEP messages of a request, and opens the reply's envelope.

messages = build_messages(ScepInputs(csr=..., ca=..., key=..., ...))
certificates = decrypt_reply(output_of_the_helper, [(key, [minicert, current_certificate])])
"""

import base64

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmongerd.core.errors import InvalidValue, RemoteProtocolError
from certmongerd.core.model import Ca, ScepMessages
from certmongerd.scep.asn1 import certificate_der
from certmongerd.scep.bag import certificates_in
from certmongerd.scep.caps import Capabilities, choose_cipher, choose_digest
from certmongerd.scep.certificates import is_rsa
from certmongerd.scep.delivery import decrypt_reply
from certmongerd.scep.errors import MissingEncryptionCertificate, NotRsaKey, UndecryptableReply
from certmongerd.scep.inputs import ScepInputs
from certmongerd.scep.message import Sender, Transaction, issuer_and_subject
from certmongerd.scep.oids import SENDER_NONCE_BYTES, MessageType
from certmongerd.scep.senders import (
    current_transaction_id,
    held_certificate,
    issued_sender,
    self_signed_sender,
    signing_key,
)
from certmongerd.scep.transaction import csr_subject_der

__all__ = [
    "MissingEncryptionCertificate",
    "NotRsaKey",
    "ScepInputs",
    "UndecryptableReply",
    "build_messages",
    "decrypt_reply",
]


def build_messages(inputs: ScepInputs) -> ScepMessages:
    """Fresh messages for the request.

    `req` and `gic` are signed with the certificate held, or with a self-signed
    one when there is none that can sign. During a rekey these are for servers
    that offer Renewal, and empty when the old certificate cannot sign;
    `req_next` and `gic_next`, signed with the candidate key, are for the others.

    Raises NotRsaKey, MissingEncryptionCertificate, and InvalidValue for a bad
    `scep-cipher`, `scep-digest`, nonce, or a signing request that does not
    belong to a key.
    """
    csr = _load_csr(inputs.csr)
    key, is_rekey = signing_key(inputs, csr)
    capabilities = Capabilities.of(inputs.ca.capabilities)
    if len(inputs.nonce) != SENDER_NONCE_BYTES:
        raise InvalidValue("nonce", f"A senderNonce has {SENDER_NONCE_BYTES} bytes")
    cipher = choose_cipher(capabilities, inputs.ca.scep_cipher)
    digest = choose_digest(capabilities, inputs.ca.scep_digest)
    held = held_certificate(inputs.certificate)
    transaction = Transaction(
        recipient=encryption_certificate(inputs.ca),
        cipher=cipher,
        digest=digest,
        transaction_id=current_transaction_id(inputs, key, held),
        sender_nonce=inputs.nonce,
        now=inputs.now,
        random_bytes=inputs.random_bytes,
    )
    issued = issued_sender(inputs, held)
    if is_rekey:
        own = self_signed_sender(inputs, csr, key, transaction.transaction_id)
        return _messages(inputs, csr, transaction, plain=issued, rekey=own, minicert=own)
    if issued is not None and not capabilities.is_empty:
        return _messages(inputs, csr, transaction, plain=issued, rekey=None, minicert=None)
    own = self_signed_sender(inputs, csr, key, transaction.transaction_id)
    return _messages(inputs, csr, transaction, plain=own, rekey=None, minicert=own)


def _messages(
    inputs: ScepInputs,
    csr: x509.CertificateSigningRequest,
    transaction: Transaction,
    *,
    plain: Sender | None,
    rekey: Sender | None,
    minicert: Sender | None,
) -> ScepMessages:
    """Enrolment and poll messages of the senders there are."""
    request = csr.public_bytes(Encoding.DER)
    poll = issuer_and_subject(transaction.recipient, csr_subject_der(csr))
    renews = _takes_renewal_req(inputs)

    def enrol(sender: Sender | None) -> str:
        if sender is None:
            return ""
        is_renewal = sender is not minicert and renews
        return message_pem(
            transaction.seal(request, MessageType.RENEWAL_REQ if is_renewal else MessageType.PKCS_REQ, sender)
        )

    def ask(sender: Sender | None) -> str:
        return "" if sender is None else message_pem(transaction.seal(poll, MessageType.CERT_POLL, sender))

    return ScepMessages(
        tx=transaction.transaction_id,
        nonce=inputs.nonce,
        last_nonce=inputs.old.last_nonce,
        req=enrol(plain),
        gic=ask(plain),
        req_next=enrol(rekey),
        gic_next=ask(rekey),
        minicert=b"" if minicert is None else certificate_der(minicert.certificate),
        has_renewal_req=renews and plain is not None and plain is not minicert,
        avoids_renewal_req=inputs.old.avoids_renewal_req,
    )


def _takes_renewal_req(inputs: ScepInputs) -> bool:
    """Whether what an issued certificate signs goes as RenewalReq (RFC 8894 section 3.3.1.2).

    Only to servers that announce both Renewal and the RFC itself, since older
    ones expect PKCSReq for renewals too, and not once the server refused one.
    """
    capabilities = Capabilities.of(inputs.ca.capabilities)
    return capabilities.has_renewal and capabilities.is_standard and not inputs.old.avoids_renewal_req


def _load_csr(pem: str) -> x509.CertificateSigningRequest:
    """The signing request."""
    try:
        return x509.load_pem_x509_csr(pem.encode("ascii", "replace"))
    except (ValueError, x509.InvalidVersion) as exc:
        raise InvalidValue("csr", "The signing request cannot be read") from exc


def encryption_certificate(ca: Ca) -> x509.Certificate:
    """The certificate that requests are encrypted to. Raises MissingEncryptionCertificate."""
    if not ca.encryption_cert:
        raise MissingEncryptionCertificate(ca.id, "the server's certificates were not fetched yet")
    try:
        certificate = certificates_in(ca.encryption_cert.encode("ascii", "replace"))[0]
    except RemoteProtocolError as exc:
        raise MissingEncryptionCertificate(ca.id, "the stored one cannot be read") from exc
    if not is_rsa(certificate):
        raise MissingEncryptionCertificate(ca.id, "the stored one has no RSA key")
    return certificate


def message_pem(der: bytes) -> str:
    """PEM with the label the helper protocol uses."""
    text = base64.b64encode(der).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(("-----BEGIN PKCS7-----", *lines, "-----END PKCS7-----", ""))
