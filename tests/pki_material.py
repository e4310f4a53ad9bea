"""Keys and certificates for tests of pki and keystore; keys are made once per run."""

from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certmongerd.core.model import KeyAlgorithm, Template
from certmongerd.pki import algorithms, der
from certmongerd.pki.certs import ParsedCertificate, parse_der_certificate
from certmongerd.pki.extensions import requested_extensions
from certmongerd.pki.issue import Extension, key_identifier
from certmongerd.pki.keys import PrivateKey, generate_private_key, sign, spki_of_key
from certmongerd.pki.names import encode_name

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@cache
def ec_key(name: str) -> PrivateKey:
    """The EC key called *name*, the same throughout a run."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(name: str) -> PrivateKey:
    """The RSA key called *name*, the same throughout a run."""
    del name
    return generate_private_key(KeyAlgorithm.RSA, 2048)


def raw_certificate(
    *,
    subject: bytes = b"",
    issuer: bytes = b"",
    serial: bytes = b"\x05",
    not_after: bytes = b"360102030405Z",
    extensions: bytes = b"",
    key: PrivateKey | None = None,
) -> bytes:
    """DER certificate with parts as given, be they right or wrong; *extensions* is what stands behind the key."""
    subject = subject or encode_name("CN=raw")
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    validity = der.sequence(der.encode(der.UTC_TIME, b"250102030405Z"), der.encode(der.UTC_TIME, not_after))
    to_be_signed = der.sequence(
        der.context(0, der.integer(2)),
        der.encode(der.INTEGER, serial),
        algorithm,
        issuer or subject,
        validity,
        subject,
        spki_of_key(key or ec_key("raw")),
        extensions,
    )
    signature = sign(ec_key("signer"), to_be_signed, "sha256")
    return der.sequence(to_be_signed, algorithm, der.bit_string(signature))


def extended(*extensions: Extension) -> bytes:
    """The extensions field of a certificate."""
    return der.context(3, der.sequence(*(extension.encoded for extension in extensions)))


def certificate(
    template: Template, *, key: PrivateKey | None = None, issuer: str = "", authority: PrivateKey | None = None
) -> ParsedCertificate:
    """A certificate with what *template* asks for; *authority*'s key makes the authority key identifier."""
    key = key or ec_key("leaf")
    extensions = list(requested_extensions(template, subject_key_identifier=key_identifier(spki_of_key(key))))
    if authority is not None:
        value = der.sequence(der.encode(0x80, key_identifier(spki_of_key(authority))))
        extensions.append(Extension.build(algorithms.AUTHORITY_KEY_IDENTIFIER, value))
    subject = template.subject_der or encode_name(template.subject)
    encoded = raw_certificate(
        subject=subject,
        issuer=encode_name(issuer) if issuer else subject,
        extensions=extended(*extensions),
        key=key,
    )
    return parse_der_certificate(encoded)


def damaged_rsa_pem(name: str) -> bytes:
    """The RSA key *name* with a wrong exponent: its public key is right, its signatures are not."""
    key = rsa_key(name)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        p=numbers.p,
        q=numbers.q,
        d=numbers.d,
        dmp1=numbers.dmp1 + 2,
        dmq1=numbers.dmq1,
        iqmp=numbers.iqmp,
        public_numbers=numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    return wrong.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def server_identity(address: str) -> bytes:
    """PEM of a self-signed TLS server certificate for an IP address, valid now, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private
