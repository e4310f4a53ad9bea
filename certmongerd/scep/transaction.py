"""What identifies an enrolment: its transactionID, and the self-signed certificate that signs a first request."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from asn1crypto import algos, keys
from asn1crypto import csr as asn1_csr
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certmongerd.core.errors import InvalidValue
from certmongerd.scep.asn1 import decoding, integer_der
from certmongerd.scep.digests import hash_algorithm
from certmongerd.scep.oids import Digest

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
    data = spki if held is None else spki + integer_der(held.serial_number)
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
        decoded = asn1_csr.CertificationRequest.load(csr.public_bytes(Encoding.DER))
        return bytes(decoded["certification_request_info"]["subject"].dump())


def _minicert_subject(csr: x509.CertificateSigningRequest, fallback: str) -> asn1_x509.Name:
    """The subject of *csr*; when that is empty, a common name made of its first host name, or of *fallback*."""
    if len(csr.subject) > 0:
        return asn1_x509.Name.load(csr_subject_der(csr))
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
    return asn1_x509.Name.build({"common_name": common_name[:64] or "certmonger"})


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
    algorithm = algos.SignedDigestAlgorithm({"algorithm": f"{digest.value.lower()}_rsa"})
    name = _minicert_subject(csr, fallback)
    start = now.replace(microsecond=0)
    tbs = asn1_x509.TbsCertificate(
        {
            "version": "v3",
            "serial_number": minicert_serial(transaction),
            "signature": algorithm,
            "issuer": name,
            "validity": {"not_before": _time(start - _VALID_BEFORE), "not_after": _time(start + _VALID_AFTER)},
            "subject": name,
            "subject_public_key_info": keys.PublicKeyInfo.load(spki_der(key.public_key())),
            "extensions": [
                {
                    "extn_id": "key_usage",
                    "critical": True,
                    "extn_value": asn1_x509.KeyUsage({"digital_signature", "key_encipherment"}),
                }
            ],
        }
    )
    signature = key.sign(tbs.dump(), padding.PKCS1v15(), hash_algorithm(digest))
    certificate = {"tbs_certificate": tbs, "signature_algorithm": algorithm, "signature_value": signature}
    return bytes(asn1_x509.Certificate(certificate).dump())


def minicert_serial(transaction: str) -> int:
    """Serial number for the certificate of *transaction*: positive, at most 20 octets (RFC 5280 section 4.1.2.2)."""
    is_number = transaction.isascii() and transaction.isdecimal() and len(transaction) <= _MAX_DECIMALS
    number = int(transaction) if is_number else 2**256
    digest = number.to_bytes(32, "big") if number < 2**256 else hashlib.sha256(transaction.encode()).digest()
    return int.from_bytes(digest[:_SERIAL_BYTES], "big") or 1


def _time(moment: datetime) -> asn1_x509.Time:
    """UTCTime until 2049, then GeneralizedTime (RFC 5280 section 4.1.2.5)."""
    return asn1_x509.Time(name="utc_time" if moment.year < 2050 else "general_time", value=moment)
