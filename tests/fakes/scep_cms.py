"""CMS for a test responder, built byte by byte and read strictly: shares nothing with the code under test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from asn1crypto import cms, core
from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

DATA = "1.2.840.113549.1.7.1"
HASHES: Final[Mapping[str, tuple[str, str, hashes.HashAlgorithm]]] = {
    "md5": ("1.2.840.113549.2.5", "1.2.840.113549.1.1.4", hashes.MD5()),
    "sha1": ("1.3.14.3.2.26", "1.2.840.113549.1.1.5", hashes.SHA1()),
    "sha224": ("2.16.840.1.101.3.4.2.4", "1.2.840.113549.1.1.14", hashes.SHA224()),
    "sha256": ("2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.11", hashes.SHA256()),
    "sha384": ("2.16.840.1.101.3.4.2.2", "1.2.840.113549.1.1.12", hashes.SHA384()),
    "sha512": ("2.16.840.1.101.3.4.2.3", "1.2.840.113549.1.1.13", hashes.SHA512()),
}
ECDSA_SHA256 = "1.2.840.10045.4.3.2"
CIPHERS: Final[Mapping[str, tuple[str, int, int]]] = {
    "des": ("1.3.14.3.2.7", 8, 8),
    "des3": ("1.2.840.113549.3.7", 24, 8),
    "aes128": ("2.16.840.1.101.3.4.1.2", 16, 16),
    "aes192": ("2.16.840.1.101.3.4.1.22", 24, 16),
    "aes256": ("2.16.840.1.101.3.4.1.42", 32, 16),
    "gcm128": ("2.16.840.1.101.3.4.1.6", 16, 12),
    "gcm256": ("2.16.840.1.101.3.4.1.46", 32, 12),
}


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 128:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(content).to_bytes(size, "big") + content


def indefinite(tag: int, *parts: bytes) -> bytes:
    return bytes((tag, 0x80)) + b"".join(parts) + b"\0\0"


def oid(dotted: str) -> bytes:
    return bytes(core.ObjectIdentifier(dotted).dump())


def algorithm(dotted: str, parameters: bytes = b"\x05\0") -> bytes:
    return tlv(0x30, oid(dotted), parameters)


def issuer_and_serial(certificate: x509.Certificate) -> bytes:
    serial = bytes(core.Integer(certificate.serial_number).dump())
    return tlv(0x30, certificate.issuer.public_bytes(), serial)


def key_identifier(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def certificates_only(certificates: Sequence[x509.Certificate], wrap: Callable[..., bytes] = tlv) -> bytes:
    """Degenerate SignedData."""
    embedded = tlv(0xA0, *(each.public_bytes(Encoding.DER) for each in certificates))
    signed = wrap(0x30, tlv(2, b"\1"), tlv(0x31), tlv(0x30, oid(DATA)), embedded, tlv(0x31))
    return wrap(0x30, oid("1.2.840.113549.1.7.2"), wrap(0xA0, signed))


def _block_cipher(name: str, key: bytes) -> Any:
    if name == "des":
        return TripleDES(key * 3)
    return TripleDES(key) if name == "des3" else algorithms.AES(key)


def cbc_encrypt(name: str, key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    padder = block_padding.PKCS7(len(iv) * 8).padder()
    context = Cipher(_block_cipher(name, key), modes.CBC(iv)).encryptor()
    return context.update(padder.update(plaintext) + padder.finalize()) + context.finalize()


def cbc_decrypt(name: str, key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    context = Cipher(_block_cipher(name, key), modes.CBC(iv)).decryptor()
    unpadder = block_padding.PKCS7(len(iv) * 8).unpadder()
    return unpadder.update(context.update(ciphertext) + context.finalize()) + unpadder.finalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopePlan:
    """How an envelope is made."""

    cipher: str = "aes128"
    form: str = "primitive"
    """primitive, constructed (as Go servers), or indefinite with the content in pieces."""
    transport: str = "v15"
    """v15, oaep-sha1, oaep-sha256."""
    names_key: bool = False
    """Name the recipient by key identifier."""
    content_type: str = DATA
    fault: str = ""
    """padding (a block that is no padding), truncated (half a block missing), iv (of seven bytes)."""


def envelope(plaintext: bytes, recipients: Sequence[x509.Certificate], plan: EnvelopePlan = EnvelopePlan()) -> bytes:
    """ContentInfo with EnvelopedData."""
    cipher_oid, key_bytes, iv_bytes = CIPHERS[plan.cipher]
    key, iv = bytes(range(1, key_bytes + 1)), bytes(range(100, 100 + iv_bytes))
    if plan.cipher.startswith("gcm"):
        parameters = tlv(0x30, tlv(4, iv), tlv(2, b"\x10"))
        ciphertext = AESGCM(key).encrypt(iv, plaintext, None)
    else:
        parameters = tlv(4, iv[:7] if plan.fault == "iv" else iv)
        ciphertext = cbc_encrypt(plan.cipher, key, iv, plaintext)
        if plan.fault == "padding":
            ciphertext = cbc_encrypt(plan.cipher, key, iv, bytes(len(iv)))[: len(iv)]
        elif plan.fault == "truncated":
            ciphertext = ciphertext[: -len(iv) // 2]
    infos = tlv(0x31, *(_recipient(key, recipient, plan) for recipient in recipients))
    encryption = algorithm(cipher_oid, parameters)
    wrap = indefinite if plan.form == "indefinite" else tlv
    if plan.form == "primitive":
        content = tlv(0x80, ciphertext)
    else:
        pieces = [tlv(4, ciphertext[start : start + 100]) for start in range(0, len(ciphertext), 100)]
        content = wrap(0xA0, *(pieces if plan.form == "indefinite" else [tlv(4, ciphertext)]))
    inner = wrap(0x30, oid(plan.content_type), encryption, content)
    return wrap(0x30, oid("1.2.840.113549.1.7.3"), wrap(0xA0, wrap(0x30, tlv(2, b"\0"), infos, inner)))


def _recipient(key: bytes, recipient: x509.Certificate, plan: EnvelopePlan) -> bytes:
    public = recipient.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    transport = algorithm("1.2.840.113549.1.1.1")
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    if plan.transport != "v15":
        name = plan.transport.removeprefix("oaep-")
        digest_oid, _, digest = HASHES[name]
        scheme = padding.OAEP(mgf=padding.MGF1(digest), algorithm=digest, label=None)
        mask = algorithm("1.2.840.113549.1.1.8", algorithm(digest_oid))
        explicit = b"" if name == "sha1" else tlv(0xA0, algorithm(digest_oid)) + tlv(0xA1, mask)
        transport = algorithm("1.2.840.113549.1.1.7", tlv(0x30, explicit))
    name_of = tlv(0x80, key_identifier(recipient)) if plan.names_key else issuer_and_serial(recipient)
    version = tlv(2, b"\2" if plan.names_key else b"\0")
    return tlv(0x30, version, name_of, transport, tlv(4, public.encrypt(key, scheme)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignaturePlan:
    """How a reply is signed, and what is wrong with it."""

    digest: str = "sha256"
    scheme: str = "rsa"
    """rsa, digest-with-rsa, pss, ecdsa."""
    embeds: bool = True
    """Whether the signer's certificate is in the message."""
    embedded_first: Sequence[x509.Certificate] = ()
    """Certificates before it."""
    names_key: bool = False
    wrong_message_digest: bool = False
    flips_signature: bool = False
    unsorted: bool = False
    """Attributes in reverse of DER order."""
    wrap: Callable[..., bytes] = tlv
    signers: int = 1
    repeats: Sequence[bytes] = field(default=())
    """Attributes to add as they are."""


def sign(
    content: bytes | None,
    attributes: Mapping[str, bytes],
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    certificate: x509.Certificate,
    plan: SignaturePlan = SignaturePlan(),
) -> bytes:
    """ContentInfo with SignedData around *content* (None: absent); *attributes* are DER values by OID."""
    digest_oid, _, digest = HASHES[plan.digest]
    context = hashes.Hash(digest)
    context.update(b"other" if plan.wrong_message_digest else content or b"")
    standard = {"1.2.840.113549.1.9.3": oid(DATA), "1.2.840.113549.1.9.4": tlv(4, context.finalize())}
    everything = {**standard, **attributes}
    encoded = [tlv(0x30, oid(kind), tlv(0x31, value)) for kind, value in everything.items()] + list(plan.repeats)
    encoded.sort(reverse=plan.unsorted)
    signature_algorithm, signature = _signature(tlv(0x31, *encoded), key, plan)
    if plan.flips_signature:
        signature = signature[:-1] + bytes((signature[-1] ^ 1,))
    name = tlv(0x80, key_identifier(certificate)) if plan.names_key else issuer_and_serial(certificate)
    version = tlv(2, b"\3" if plan.names_key else b"\1")
    info = tlv(0x30, version, name, algorithm(digest_oid), tlv(0xA0, *encoded), signature_algorithm, tlv(4, signature))
    wrap = plan.wrap
    string = (
        b"" if content is None else wrap(0xA0, wrap(0x24, tlv(4, content)) if wrap is indefinite else tlv(4, content))
    )
    embedded = [*plan.embedded_first, *([certificate] if plan.embeds else [])]
    bag = tlv(0xA0, *(each.public_bytes(Encoding.DER) for each in embedded)) if embedded else b""
    signed = wrap(
        0x30,
        tlv(2, b"\1"),
        tlv(0x31, algorithm(digest_oid)),
        wrap(0x30, oid(DATA), string),
        bag,
        tlv(0x31, *([info] * plan.signers)),
    )
    return wrap(0x30, oid("1.2.840.113549.1.7.2"), wrap(0xA0, signed))


def _signature(
    data: bytes, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, plan: SignaturePlan
) -> tuple[bytes, bytes]:
    digest_oid, with_rsa, digest = HASHES[plan.digest]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return tlv(0x30, oid(ECDSA_SHA256)), key.sign(data, ec.ECDSA(digest))
    if plan.scheme == "pss":
        mask = algorithm("1.2.840.113549.1.1.8", algorithm(digest_oid))
        salt = tlv(0xA2, tlv(2, bytes((digest.digest_size,))))
        parameters = tlv(0x30, tlv(0xA0, algorithm(digest_oid)), tlv(0xA1, mask), salt)
        scheme = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
        return algorithm("1.2.840.113549.1.1.10", parameters), key.sign(data, scheme, digest)
    name = with_rsa if plan.scheme == "digest-with-rsa" else "1.2.840.113549.1.1.1"
    return algorithm(name), key.sign(data, padding.PKCS1v15(), digest)


def open_with(data: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Plaintext of a strictly DER EnvelopedData with one recipient."""
    info = cms.ContentInfo.load(data, strict=True)
    assert info["content_type"].native == "enveloped_data"
    enveloped = info["content"]
    assert enveloped["version"].native == "v0"
    (recipient,) = enveloped["recipient_infos"]
    assert recipient.chosen["key_encryption_algorithm"]["algorithm"].dotted == "1.2.840.113549.1.1.1"
    inner = enveloped["encrypted_content_info"]
    assert inner["content_type"].native == "data"
    encryption = inner["content_encryption_algorithm"]
    (name,) = (name for name, row in CIPHERS.items() if row[0] == encryption["algorithm"].dotted)
    content_key = key.decrypt(recipient.chosen["encrypted_key"].native, padding.PKCS1v15())
    assert len(content_key) == CIPHERS[name][1]
    return cbc_decrypt(name, content_key, encryption["parameters"].native, inner["encrypted_content"].native)
