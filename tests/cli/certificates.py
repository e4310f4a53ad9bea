"""Certificates that the recorded transcripts speak of, made anew for each run."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_ROOT = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Org"),
        x509.NameAttribute(NameOID.COMMON_NAME, "Example Root CA"),
    ]
)
_NOT_BEFORE = datetime(2024, 1, 15, 12, 0, 0, tzinfo=UTC)
_NOT_AFTER = datetime(2044, 7, 15, 12, 30, 59, tzinfo=UTC)


def _key_usage(*used: str) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in used for name in names})


def _builder(subject: x509.Name, serial: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_ROOT)
        .serial_number(serial)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
    )


def _tracked() -> x509.CertificateBuilder:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Org"),
            x509.NameAttribute(NameOID.COMMON_NAME, "www.example.org"),
        ]
    )
    names = [x509.RFC822Name("hostmaster@example.org"), x509.DNSName("www.example.org"), x509.DNSName("example.org")]
    usages = [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        x509.ObjectIdentifier("1.3.6.1.5.5.7.3.17"),
        x509.ObjectIdentifier("1.2.3.4"),
    ]
    return (
        _builder(subject, 17)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            _key_usage("digital_signature", "content_commitment", "key_encipherment"),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    )


def write_certificates(directory: Path) -> None:
    """Put root-ca.pem, scep-ra.pem and tracked.pem into *directory*."""
    root_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ra_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    tracked_key = ec.generate_private_key(ec.SECP256R1())
    root = (
        _builder(_ROOT, 1)
        .public_key(root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
    )
    ra_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example RA")])
    ra = (
        _builder(ra_name, 2)
        .public_key(ra_key.public_key())
        .add_extension(_key_usage("digital_signature", "key_encipherment"), critical=True)
    )
    tracked = _tracked().public_key(tracked_key.public_key())
    for name, builder in (("root-ca", root), ("scep-ra", ra), ("tracked", tracked)):
        certificate = builder.sign(root_key, hashes.SHA256())
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
