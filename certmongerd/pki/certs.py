"""Certificates: PEM and back, and the facts that the daemon remembers of one."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import CertificateFacts
from certmongerd.pki import der
from certmongerd.pki.der import DerError
from certmongerd.pki.facts import read_facts
from certmongerd.pki.parsed import ParsedCertificate
from certmongerd.pki.pem import encode_pem, pem_blocks

__all__ = [
    "AnyCertificate",
    "ParsedCertificate",
    "certificate_facts",
    "is_certificate_label",
    "parse_certificate",
    "parse_der_certificate",
    "parsed",
    "spki_of",
    "to_pem",
]


AnyCertificate = x509.Certificate | ParsedCertificate
"""The library's certificate, or one taken apart without the library's judgement."""


def is_certificate_label(label: str) -> bool:
    """Whether PEM of this label holds a certificate; OpenSSL's variants included."""
    return label in ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")


def parse_certificate(pem: str | bytes) -> ParsedCertificate:
    """The first certificate of a PEM text; `InvalidValue` when there is none or it is malformed."""
    text = pem if isinstance(pem, str) else pem.decode("latin-1")
    for block in pem_blocks(text):
        if is_certificate_label(block.label):
            return parse_der_certificate(block.der)
    raise InvalidValue("certificate", "There is no PEM certificate in it.")


def parse_der_certificate(encoded: bytes) -> ParsedCertificate:
    """The certificate at the start of *encoded*; `InvalidValue` when it is malformed.

    What OpenSSL puts behind the certificate in a `TRUSTED CERTIFICATE` is dropped.
    """
    try:
        first = next(der.elements(encoded), None)
    except DerError as exc:
        raise InvalidValue("certificate", f"The certificate cannot be read: {exc}") from exc
    return ParsedCertificate.read(first.encoded if first else b"")


def parsed(certificate: AnyCertificate) -> ParsedCertificate:
    """*certificate* taken apart by this package, if it is the library's."""
    if isinstance(certificate, ParsedCertificate):
        return certificate
    return ParsedCertificate.read(certificate.public_bytes(Encoding.DER))


def to_pem(certificate: AnyCertificate) -> str:
    """PEM with 64 columns and one final line end."""
    return encode_pem("CERTIFICATE", parsed(certificate).encoded)


def spki_of(certificate: AnyCertificate) -> bytes:
    """DER SubjectPublicKeyInfo with the certificate's own bytes, whether or not the key is of a known type."""
    return parsed(certificate).spki


def certificate_facts(certificate: AnyCertificate) -> CertificateFacts:
    """What the daemon remembers of *certificate*; never raises for one that could be parsed.

    Extensions and names that cannot be read are left out: monitoring an odd certificate beats losing it.
    """
    return read_facts(parsed(certificate))
