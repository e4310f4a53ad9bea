"""PKCS #10 signing requests (RFC 2986) and Netscape's signed public key and challenge."""

import base64

from cryptography import x509
from cryptography.x509.oid import AttributeOID

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import Template
from certmongerd.core.secret import Secret
from certmongerd.pki import algorithms, der
from certmongerd.pki.algorithms import PrivateKey
from certmongerd.pki.extensions import requested_extensions
from certmongerd.pki.issue import key_identifier
from certmongerd.pki.keys import sign, spki_of_key
from certmongerd.pki.name_types import fits_printable_string
from certmongerd.pki.names import encode_name, format_name, repaired_name
from certmongerd.pki.pem import encode_pem


def build_csr(
    template: Template,
    key: PrivateKey,
    *,
    digest: str,
    friendly_name: str,
    default_subject: str,
    challenge: Secret | None = None,
) -> str:
    """PEM request for what *template* wants, signed with *key*.

    *default_subject* (a host name, or text of a name) is for templates without a subject. The challenge of the
    template itself is not looked at, because it may be in a file: *challenge* is the password to use. Raises
    `InvalidValue` naming the setting that cannot be encoded.
    """
    spki = spki_of_key(key)
    extensions = requested_extensions(template, subject_key_identifier=key_identifier(spki))
    values = {algorithms.EXTENSION_REQUEST: der.sequence(*(extension.encoded for extension in extensions))}
    if challenge:
        values[algorithms.CHALLENGE_PASSWORD] = _directory_string(challenge.reveal())
    if friendly_name:
        values[algorithms.FRIENDLY_NAME] = der.encode(
            der.BMP_STRING, friendly_name.encode("utf-16-be", "surrogatepass")
        )
    attributes = (der.sequence(der.oid(oid), der.encode(der.SET, value)) for oid, value in values.items())
    info = der.sequence(
        der.integer(0), requested_subject(template, default_subject), spki, der.context(0, *sorted(attributes))
    )
    return encode_pem("CERTIFICATE REQUEST", _signed(info, key, digest))


def requested_subject(template: Template, default_subject: str) -> bytes:
    """DER Name to ask for.

    A name that was copied from a certificate keeps its encoding for as long as nobody changes the text beside it;
    text is only read again when it says something else than the DER. Only wrong PrintableStrings are put right.
    """
    if template.subject_der and not _is_changed(template):
        return repaired_name(template.subject_der)
    return encode_name(template.subject or default_subject)


def _is_changed(template: Template) -> bool:
    if not template.subject:
        return False
    try:
        copied = format_name(template.subject_der)
    except InvalidValue:  # the DER is no Name
        return True
    if template.subject == copied:
        return False
    try:
        return format_name(encode_name(template.subject)) != copied
    except InvalidValue:  # not typed by anybody, so it was written down when the DER was copied
        return False


def build_spkac(key: PrivateKey, challenge: str, digest: str) -> str:
    """Base64 SignedPublicKeyAndChallenge, one line."""
    body = der.sequence(spki_of_key(key), der.encode(der.IA5_STRING, challenge.encode()))
    return base64.b64encode(_signed(body, key, digest)).decode("ascii")


def challenge_in(csr: str) -> str:
    """The challenge password (RFC 2985, 5.4.1) in a PEM request; empty when none can be read there."""
    try:
        attributes = x509.load_pem_x509_csr(csr.encode()).attributes
        return attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value.decode("utf-8", "replace")
    except (ValueError, x509.AttributeNotFound):
        return ""


def spki_base64(key: PrivateKey) -> str:
    """Base64 SubjectPublicKeyInfo, one line."""
    return base64.b64encode(spki_of_key(key)).decode("ascii")


def _signed(body: bytes, key: PrivateKey, digest: str) -> bytes:
    return der.sequence(body, algorithms.signature_algorithm(key, digest), der.bit_string(sign(key, body, digest)))


def _directory_string(value: str) -> bytes:
    """PrintableString when its character set allows, else UTF8String, as RFC 2985, 5.4.1 recommends."""
    if fits_printable_string(value):
        return der.text(der.PRINTABLE_STRING, value)
    try:
        return der.text(der.UTF8_STRING, value)
    except der.DerError:
        raise InvalidValue("template-challenge-password", "The challenge password is not Unicode text.") from None
