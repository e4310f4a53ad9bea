"""A server's certificates that change: the announced next ones, and what has to be told of others."""

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certmongerd.core.ca_data import EncryptionCerts
from certmongerd.core.errors import RemoteProtocolError
from certmongerd.scep.bag import certificates_in
from certmongerd.scep.signed import check_content_digest, find_signer, load_certificates, parse_signed, sole_signer
from certmongerd.scep.trust import TrustedCertificates, why_untrusted


def next_certificates(body: bytes, trusted: TrustedCertificates, now: datetime) -> tuple[x509.Certificate, ...]:
    """The certificates in a GetNextCACert answer (RFC 8894 section 4.7.1).

    It has to be signed by one of the server's present certificates, which is
    what makes the next ones as good as these. Raises RemoteProtocolError.
    """
    message = parse_signed(body)
    signer, attributes = sole_signer(message)
    check_content_digest(message, signer, attributes)
    embedded = load_certificates(message.certificates)
    reason = why_untrusted(find_signer(signer, (*trusted.all, *embedded)), trusted, embedded, now)
    if reason is not None:
        raise RemoteProtocolError(f"The next CA certificates are not to be trusted: {reason}")
    return certificates_in(message.content or b"")


def describe_changes(old: EncryptionCerts, new: EncryptionCerts) -> tuple[str, ...]:
    """One line for each role whose key is another than before, with SHA-256 thumbprints.

    A certificate that the server announced, or had beside the present ones, is no news; nor is a first fetch.
    """
    announced = {_spki(certificate) for certificate in _read(old.ra + old.ca + old.pool)}
    lines = []
    for role, before, after in (("RA", old.ra, new.ra), ("CA", old.ca, new.ca)):
        known, present = _read(before), _read(after)
        if known and present and _spki(present[0]) not in announced:
            lines.append(
                f"The SCEP server's {role} certificate has another key now: "
                f"SHA-256 {thumbprint(known[0])} was replaced by {thumbprint(present[0])}"
            )
    return tuple(lines)


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-256 over the DER, upper-case hexadecimal in groups of eight."""
    return certificate.fingerprint(hashes.SHA256()).hex(" ", 4).upper()


def _read(pem: str) -> tuple[x509.Certificate, ...]:
    """The certificates in *pem*; what cannot be read cannot be compared."""
    try:
        return certificates_in(pem.encode("ascii", "replace")) if pem else ()
    except RemoteProtocolError:
        return ()


def _spki(certificate: x509.Certificate) -> bytes:
    """DER SubjectPublicKeyInfo; the whole certificate's when the key is of an unknown kind."""
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return certificate.public_bytes(Encoding.DER)
