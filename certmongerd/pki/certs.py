"""Certificates: PEM and back, and the facts that the daemon remembers of one."""

from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import CertificateFacts, Template
from certmongerd.pki import der
from certmongerd.pki.fields import CertificateFields, facts_of_fields
from certmongerd.pki.pem import encode_pem, pem_blocks

__all__ = [
    "adopt_template",
    "certificate_facts",
    "is_certificate_label",
    "load_der_certificate",
    "parse_certificate",
    "spki_of",
    "to_pem",
]


def is_certificate_label(label: str) -> bool:
    """Whether PEM of this label holds a certificate; OpenSSL's variants included."""
    return label in ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")


def parse_certificate(pem: str | bytes) -> x509.Certificate:
    """The first certificate of a PEM text; `InvalidValue` when there is none or it is malformed."""
    text = pem if isinstance(pem, str) else pem.decode("latin-1")
    for block in pem_blocks(text):
        if is_certificate_label(block.label):
            return load_der_certificate(block.der)
    raise InvalidValue("certificate", "There is no PEM certificate in it.")


def load_der_certificate(encoded: bytes) -> x509.Certificate:
    """The certificate at the start of *encoded*; `InvalidValue` when it is malformed.

    What OpenSSL puts behind the certificate in a `TRUSTED CERTIFICATE` is dropped.
    """
    try:
        first = next(der.elements(encoded), None)
        certificate = x509.load_der_x509_certificate(first.encoded if first else b"")
        CertificateFields.read(certificate.public_bytes(Encoding.DER))
    except ValueError as exc:
        raise InvalidValue("certificate", f"The certificate cannot be read: {exc}") from exc
    return certificate


def to_pem(certificate: x509.Certificate) -> str:
    """PEM with 64 columns and one final line end."""
    return encode_pem("CERTIFICATE", certificate.public_bytes(Encoding.DER))


def spki_of(certificate: x509.Certificate) -> bytes:
    """DER SubjectPublicKeyInfo with the certificate's own bytes, whether or not the key is of a known type."""
    return _fields_of(certificate).spki


def certificate_facts(certificate: x509.Certificate) -> CertificateFacts:
    """What the daemon remembers of *certificate*; never raises for a certificate that could be loaded.

    Extensions and names that cannot be read are left out: monitoring an odd certificate beats losing it.
    """
    return facts_of_fields(_fields_of(certificate))


def _fields_of(certificate: x509.Certificate) -> CertificateFields:
    return CertificateFields.read(certificate.public_bytes(Encoding.DER))


def adopt_template(template: Template, facts: CertificateFacts) -> Template:
    """*template* with every unset field filled in from the certificate, so that a renewal asks for the same again."""
    is_ca = template.is_ca or facts.is_ca
    path_length = facts.ca_path_length if facts.is_ca and not template.is_ca else template.ca_path_length
    subject_der, subject = template.subject_der, template.subject
    if not subject and not subject_der:
        subject_der, subject = facts.subject_der, facts.subject
    return replace(
        template,
        subject_der=subject_der,
        subject=subject,
        hostname=template.hostname or facts.hostname,
        email=template.email or facts.email,
        principal=template.principal or facts.principal,
        ip_address=template.ip_address or facts.ip_address,
        ku=template.ku or facts.ku,
        eku=template.eku or facts.eku,
        is_ca=is_ca,
        ca_path_length=max(path_length, -1),
        crldp=template.crldp or facts.crldp,
        freshest_crl=template.freshest_crl or facts.freshest_crl,
        ocsp=template.ocsp or facts.ocsp,
        ns_comment=template.ns_comment or facts.ns_comment,
        profile=template.profile or facts.profile,
        no_ocsp_check=template.no_ocsp_check or facts.no_ocsp_check,
        ns_certtype=template.ns_certtype or facts.ns_certtype,
    )
