"""Which key and certificate sign the messages of a request, and which transaction they belong to."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from certmongerd.core.errors import InvalidValue, RemoteProtocolError
from certmongerd.core.model import Ca
from certmongerd.scep.bag import certificates_in
from certmongerd.scep.certificates import load_certificate
from certmongerd.scep.errors import NotRsaKey
from certmongerd.scep.inputs import ScepInputs
from certmongerd.scep.message import Sender
from certmongerd.scep.transaction import build_minicert, continued_id, minicert_serial, spki_der, transaction_id


def signing_key(inputs: ScepInputs, csr: x509.CertificateSigningRequest) -> tuple[rsa.RSAPrivateKey, bool]:
    """The key that *csr* was made with, and whether that is the candidate."""
    try:
        public = csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise InvalidValue("csr", "The key of the signing request cannot be read") from exc
    if not isinstance(public, rsa.RSAPublicKey):
        raise NotRsaKey(type(public).__name__.removesuffix("PublicKey"))
    wanted = spki_der(public)
    for key, is_rekey in ((inputs.key_next, True), (inputs.key, False)):
        if isinstance(key, rsa.RSAPrivateKey) and spki_der(key.public_key()) == wanted:
            return key, is_rekey
    raise InvalidValue("csr", "The signing request was made with another key")


def held_certificate(pem: str) -> x509.Certificate | None:
    """The certificate held; one that cannot be read cannot sign, which is the same as none."""
    if not pem:
        return None
    try:
        return certificates_in(pem.encode("ascii", "replace"))[0]
    except RemoteProtocolError:
        return None


def current_transaction_id(inputs: ScepInputs, key: rsa.RSAPrivateKey, held: x509.Certificate | None) -> str:
    """The running transaction's ID, or the first unused one that belongs to the key and the certificate held for it."""
    if inputs.is_polling and inputs.old.tx:
        return inputs.old.tx
    spki = spki_der(key.public_key())
    is_same_key = held is not None and has_key(held, key)
    first = transaction_id(spki, held if is_same_key else None)
    return continued_id(spki, first, last=inputs.old.tx, is_last_finished=inputs.old.is_finished)


def has_key(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    """Whether *certificate* is for *key*, an RSA key."""
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    if not isinstance(public, rsa.RSAPublicKey) or not isinstance(key, rsa.RSAPrivateKey):
        return False
    return spki_der(public) == spki_der(key.public_key())


def issued_sender(inputs: ScepInputs, held: x509.Certificate | None) -> Sender | None:
    """The certificate held as signer: valid now, for the current RSA key, and from the CA that is asked."""
    if held is None or not isinstance(inputs.key, rsa.RSAPrivateKey) or not has_key(held, inputs.key):
        return None
    if not held.not_valid_before_utc <= inputs.now <= held.not_valid_after_utc:
        return None
    return Sender(key=inputs.key, certificate=held) if _is_from(held, inputs.ca) else None


def _is_from(certificate: x509.Certificate, ca: Ca) -> bool:
    """Whether a known certificate of *ca* has, or was issued by, the name that issued *certificate*."""
    for bundle in (ca.encryption_cert, ca.encryption_issuer_cert, ca.encryption_cert_pool):
        try:
            known = certificates_in(bundle.encode("ascii", "replace"))
        except RemoteProtocolError:
            continue  # absent or unreadable: names nobody
        if any(certificate.issuer in (authority.subject, authority.issuer) for authority in known):
            return True
    return False


def self_signed_sender(
    inputs: ScepInputs, csr: x509.CertificateSigningRequest, key: rsa.RSAPrivateKey, transaction: str
) -> Sender:
    """The self-signed certificate of the running transaction, or a new one."""
    kept = _kept_minicert(inputs, key, transaction)
    if kept is not None:
        return Sender(key=key, certificate=kept)
    der = build_minicert(csr, key=key, transaction=transaction, fallback=inputs.nickname, now=inputs.now)
    return Sender(key=key, certificate=x509.load_der_x509_certificate(der))


def _kept_minicert(inputs: ScepInputs, key: rsa.RSAPrivateKey, transaction: str) -> x509.Certificate | None:
    """The stored self-signed certificate, if it belongs to this transaction and can still sign."""
    if not inputs.old.minicert or inputs.old.tx != transaction:
        return None
    try:
        certificate = load_certificate(inputs.old.minicert)
    except RemoteProtocolError:
        return None  # a new one serves as well, unless a reply is under way
    is_valid = certificate.not_valid_before_utc <= inputs.now <= certificate.not_valid_after_utc
    is_ours = has_key(certificate, key) and (
        inputs.is_polling or certificate.serial_number == minicert_serial(transaction)
    )
    return certificate if is_valid and is_ours else None
