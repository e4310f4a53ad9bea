"""What identifies an enrolment: its transactionID, and the self-signed certificate that signs a first request."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from certmongerd.core.errors import InvalidValue
from certmongerd.pki import der
from certmongerd.pki.algorithms import KEY_USAGE, signature_algorithm
from certmongerd.pki.issue import Extension
from certmongerd.scep.asn1 import decoding
from certmongerd.scep.digests import hash_algorithm
from certmongerd.scep.oids import Digest

_KEY_USAGE: Final = Extension.build(KEY_USAGE, der.named_bits("101"), critical=True)
"""digitalSignature and keyEncipherment."""
_VALID_BEFORE: Final = timedelta(days=1)
_VALID_AFTER: Final = timedelta(days=365)
_SERIAL_BYTES: Final = 19
_LONGEST_CHAIN: Final = 100
"""Transactions in a row without a certificate; nobody tries so often."""
_MAX_DECIMALS: Final = len(str(2**256))


def spki_der(key: rsa.RSAPublicKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def transaction_id(spki: bytes, held: x509.Certificate | None) -> str:
    """The transactionID of a request for the key *spki*: a decimal number.

    The first transaction of a key is named by the key alone. *held* is the
    certificate already issued for the same key, if any: its serial number makes
    the next transaction another one, because servers answer a finished
    transaction's ID with the old certificate.
    """
    data = spki if held is None else spki + der.integer(held.serial_number)
    return str(int.from_bytes(hashlib.sha256(data).digest(), "big"))


def continued_id(spki: bytes, first: str, *, last: str, is_last_finished: bool) -> str:
    """The transactionID to use when *first* is the one that key and certificate would get, and *last* was used last.

    The IDs of the key *spki* form a chain that *first* begins; a transaction
    that is not finished keeps its ID (retries, RFC 8894 section 2.3), after a
    finished one, such as a rejected one, comes the next of the chain.
    """
    if not last:
        return first
    candidate = first
    for _ in range(_LONGEST_CHAIN):
        following = str(int.from_bytes(hashlib.sha256(spki + candidate.encode("ascii")).digest(), "big"))
        if candidate == last:
            return following if is_last_finished else candidate
        candidate = following
    return first


def csr_subject_der(csr: x509.CertificateSigningRequest) -> bytes:
    """The subject of *csr* with its own bytes."""
    with decoding("Signing request"):
        _, subject, *_ = der.decode(csr.tbs_certrequest_bytes, der.SEQUENCE).children()
        return subject.encoded


def _minicert_subject(csr: x509.CertificateSigningRequest, fallback: str) -> bytes:
    """DER Name: the subject of *csr*; where that is empty, a common name: its first host name, or *fallback*."""
    if len(csr.subject) > 0:
        return csr_subject_der(csr)
    common_name = fallback
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        common_name = next(
            (str(name.value) for name in names if isinstance(name, x509.DNSName | x509.RFC822Name)), fallback
        )
    except x509.ExtensionNotFound:
        pass  # the fallback is for this
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
        raise InvalidValue("csr", "The extensions of the signing request cannot be read") from exc
    return bytes(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64] or "certmonger")]).public_bytes())


def _signature_digest(csr: x509.CertificateSigningRequest) -> Digest:
    """The digest that signed *csr*, or SHA-256 when it was none that RSA certificates use today."""
    algorithm = csr.signature_hash_algorithm
    name = algorithm.name.upper() if algorithm is not None else ""
    return Digest(name) if name in {"SHA256", "SHA384", "SHA512"} else Digest.SHA256


def build_minicert(
    csr: x509.CertificateSigningRequest, *, key: rsa.RSAPrivateKey, transaction: str, fallback: str, now: datetime
) -> bytes:
    """DER of a self-signed certificate for the subject and key of *csr* (RFC 8894 section 2.3).

    The subject's bytes are those of *csr*; the serial number comes from the
    *transaction*ID, so that the same transaction makes the same name of the
    certificate. *fallback* names a subject for a request that has none.
    """
    digest = _signature_digest(csr)
    algorithm = signature_algorithm(key, digest.value)
    name = _minicert_subject(csr, fallback)
    to_be_signed = der.sequence(
        der.context(0, der.integer(2)),
        der.integer(minicert_serial(transaction)),
        algorithm,
        name,
        der.sequence(der.time(now - _VALID_BEFORE), der.time(now + _VALID_AFTER)),
        name,
        spki_der(key.public_key()),
        der.context(3, der.sequence(_KEY_USAGE.encoded)),
    )
    signature = key.sign(to_be_signed, padding.PKCS1v15(), hash_algorithm(digest))
    return der.sequence(to_be_signed, algorithm, der.bit_string(signature))


def minicert_serial(transaction: str) -> int:
    """Serial number for the certificate of *transaction*: positive, at most 20 octets (RFC 5280 section 4.1.2.2)."""
    is_number = transaction.isascii() and transaction.isdecimal() and len(transaction) <= _MAX_DECIMALS
    number = int(transaction) if is_number else 2**256
    digest = number.to_bytes(32, "big") if number < 2**256 else hashlib.sha256(transaction.encode()).digest()
    return int.from_bytes(digest[:_SERIAL_BYTES], "big") or 1
