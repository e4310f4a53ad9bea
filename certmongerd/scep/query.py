"""Questions to a SCEP server that change nothing: GetCert and GetCRL (RFC 8894 sections 3.3.4 and 3.3.5)."""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmongerd.core.errors import InvalidValue, RemoteProtocolError
from certmongerd.scep.asn1 import CertificateId, certificate_id, decoding
from certmongerd.scep.bag import certificates_in
from certmongerd.scep.ber import to_der
from certmongerd.scep.caps import Capabilities, choose_cipher, choose_digest
from certmongerd.scep.client import encryption_certificate, message_pem
from certmongerd.scep.cms import SignedData
from certmongerd.scep.inputs import ScepInputs
from certmongerd.scep.message import Transaction, issuing_name
from certmongerd.scep.oids import MessageType
from certmongerd.scep.senders import held_certificate, issued_sender


def build_query(inputs: ScepInputs, *, wants_crl: bool, serial: int | None) -> str:
    """PEM of a GetCRL, or of a GetCert for *serial* (None: that of the certificate held).

    Signed with the certificate held, which therefore has to be valid and from this CA; each question is a
    transaction of its own. Raises InvalidValue, and MissingEncryptionCertificate.
    """
    held = held_certificate(inputs.certificate)
    sender = issued_sender(inputs, held)
    if held is None or sender is None:
        raise InvalidValue("certificate", "There is no valid certificate of this CA, with an RSA key, to ask with")
    capabilities = Capabilities.of(inputs.ca.capabilities)
    recipient = encryption_certificate(inputs.ca)
    transaction = Transaction(
        recipient=recipient,
        cipher=choose_cipher(capabilities, inputs.ca.scep_cipher),
        digest=choose_digest(capabilities, inputs.ca.scep_digest),
        transaction_id=str(int.from_bytes(hashlib.sha256(inputs.nonce).digest(), "big")),
        sender_nonce=inputs.nonce,
        now=inputs.now,
        random_bytes=inputs.random_bytes,
    )
    wanted = certificate_id(held)
    if serial is not None and not wants_crl:
        wanted = CertificateId(issuer=issuing_name(recipient), serial=serial)
    kind = MessageType.GET_CRL if wants_crl else MessageType.GET_CERT
    return message_pem(transaction.seal(wanted.encoded, kind, sender))


def certificate_answer(plaintext: bytes) -> str:
    """PEM of the certificates in a decrypted answer to GetCert. Raises RemoteProtocolError."""
    return "".join(each.public_bytes(Encoding.PEM).decode("ascii") for each in certificates_in(plaintext))


def crl_answer(plaintext: bytes) -> str:
    """PEM of the revocation lists in a decrypted answer to GetCRL. Raises RemoteProtocolError when there is none."""
    with decoding("Answer to GetCRL"):
        signed = SignedData.read(to_der(plaintext))
    if signed is None:
        raise RemoteProtocolError("The answer to GetCRL is no collection of revocation lists")
    try:
        crls = [x509.load_der_x509_crl(element.encoded) for element in signed.crls]
    except ValueError as exc:
        raise RemoteProtocolError("A revocation list cannot be read") from exc
    if not crls:
        raise RemoteProtocolError("There is no revocation list in the answer")
    return "".join(crl.public_bytes(Encoding.PEM).decode("ascii") for crl in crls)
