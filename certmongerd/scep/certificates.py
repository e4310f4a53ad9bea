"""What SCEP asks of a certificate: its key, its usage, who signed it."""

from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from certmongerd.core.errors import RemoteProtocolError

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def load_certificate(der: bytes) -> x509.Certificate:
    """The certificate in *der*. Raises RemoteProtocolError, also when only its names cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        # The library reads names when they are asked for, and then raises where nobody expects it.
        _ = (certificate.subject, certificate.issuer)
    except (ValueError, TypeError, x509.InvalidVersion) as exc:
        raise RemoteProtocolError("A certificate cannot be read") from exc
    return certificate


def extension_of(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """The value of an extension; None when it is absent, or the extensions cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None


def is_rsa(certificate: x509.Certificate) -> bool:
    """Whether something can be encrypted to the key."""
    try:
        return isinstance(certificate.public_key(), rsa.RSAPublicKey)
    except (ValueError, UnsupportedAlgorithm):
        return False


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether basicConstraints says so."""
    constraints = extension_of(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def may_encrypt(certificate: x509.Certificate) -> bool:
    """Whether keyUsage allows encrypting keys or data to it, or says nothing."""
    usage = extension_of(certificate, x509.KeyUsage)
    return usage is None or usage.key_encipherment or usage.data_encipherment


def key_identifiers(certificate: x509.Certificate) -> frozenset[bytes]:
    """Values by which CMS may name the certificate's key: its extension, and the digest of RFC 5280 section 4.2.1.2."""
    found: set[bytes] = set()
    extension = extension_of(certificate, x509.SubjectKeyIdentifier)
    if extension is not None:
        found.add(extension.digest)
    try:
        found.add(x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest)
    except (ValueError, UnsupportedAlgorithm):
        return frozenset(found)  # a key that cannot be read has no digest
    return frozenset(found)


def issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """Whether *issuer* signed *subject*: key identifiers or names fit, and the signature verifies."""
    return _is_named_as_issuer(issuer, subject) and _has_signed(issuer, subject)


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether *certificate* was signed with its own key."""
    return issued(certificate, certificate)


def _is_named_as_issuer(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """Whether *subject* means *issuer*: by key identifier, else by issuer and serial, else by name."""
    authority = extension_of(subject, x509.AuthorityKeyIdentifier)
    own = extension_of(issuer, x509.SubjectKeyIdentifier)
    if authority is not None and authority.key_identifier is not None and own is not None:
        return authority.key_identifier == own.digest
    if authority is not None and authority.authority_cert_serial_number is not None:
        return authority.authority_cert_serial_number == issuer.serial_number
    return issuer.subject == subject.issuer


def _has_signed(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """Whether the signature of *subject* verifies with the key of *issuer*."""
    try:
        subject.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
