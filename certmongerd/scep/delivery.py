"""Opens the envelope that a CA put the issued certificate in."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.core.model import Ca
from certmongerd.scep.bag import certificates_in
from certmongerd.scep.caps import Capabilities, choose_cipher
from certmongerd.scep.enveloped import open_envelope, parse_enveloped
from certmongerd.scep.errors import UndecryptableReply
from certmongerd.scep.oids import Cipher
from certmongerd.scep.transaction import spki_der

_Content = TypeVar("_Content")

_PEM: Final = re.compile(rb"-----BEGIN [A-Z0-9# ]+-----(.*?)-----END ", re.DOTALL)


def decrypt_reply(
    data: bytes,
    keys: Sequence[tuple[PrivateKeyTypes, Sequence[x509.Certificate]]],
    *,
    ca: Ca | None = None,
) -> list[x509.Certificate]:
    """Certificates out of the EnvelopedData *data* (DER, BER or PEM); those for one of the *keys* first.

    Each key comes with the certificates a reply may be addressed to: the
    self-signed one and the one held. All keys are tried, since servers address
    replies to whatever signed the request. With *ca*, an error hints at
    settings that help with servers which do not do what they announce.

    Raises UndecryptableReply when no key opens it, other RemoteProtocolErrors
    when it is malformed or has no certificate inside.
    """
    certificates = open_reply(data, keys, certificates_in, ca=ca)
    own = {spki_der(key.public_key()) for key, _ in keys if isinstance(key, rsa.RSAPrivateKey)}
    return sorted(certificates, key=lambda certificate: _spki(certificate) not in own)


def open_reply(
    data: bytes,
    keys: Sequence[tuple[PrivateKeyTypes, Sequence[x509.Certificate]]],
    read: Callable[[bytes], _Content],
    *,
    ca: Ca | None = None,
) -> _Content:
    """What *read* makes of the first plaintext of the EnvelopedData *data* that it can read; see `decrypt_reply`."""
    usable = [(key, certificates) for key, certificates in keys if isinstance(key, rsa.RSAPrivateKey)]
    envelope = parse_enveloped(_binary(data))
    try:
        return _first(open_envelope(envelope, usable), read)
    except RemoteProtocolError as exc:
        raise UndecryptableReply(f"{exc}{_hint(ca)}") from exc


def _binary(data: bytes) -> bytes:
    """Take PEM armour off, if there is some."""
    match = _PEM.search(data)
    if match is None:
        return data
    try:
        return base64.b64decode(b"".join(match[1].split()), validate=True)
    except binascii.Error as exc:
        raise RemoteProtocolError("The envelope is not valid PEM") from exc


def _first(plaintexts: Sequence[bytes], read: Callable[[bytes], _Content]) -> _Content:
    """The first plaintext that can be read."""
    reason: RemoteProtocolError | None = None
    for plaintext in plaintexts:
        try:
            return read(plaintext)
        except RemoteProtocolError as exc:
            reason = reason or exc
    raise RemoteProtocolError(f"The reply does not decrypt to what was asked for: {reason}")


def _hint(ca: Ca | None) -> str:
    """What may help against a reply that cannot be decrypted."""
    if ca is None:
        return ""
    cipher = choose_cipher(Capabilities.of(ca.capabilities), ca.scep_cipher)
    if cipher in (Cipher.DES, Cipher.DES3):
        return ""
    return '; perhaps setting "scep-cipher" to DES3 and "scep-digest" to SHA1 for this CA helps'


def _spki(certificate: x509.Certificate) -> bytes:
    """DER SubjectPublicKeyInfo of an RSA certificate; empty for others."""
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return b""
    return spki_der(public) if isinstance(public, rsa.RSAPublicKey) else b""
