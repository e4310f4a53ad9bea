"""The CA behind the test responder: reads requests strictly, plans replies, issues certificates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from asn1crypto import cms, core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from fakes.scep_cms import (
    CIPHERS,
    HASHES,
    EnvelopePlan,
    SignaturePlan,
    certificates_only,
    envelope,
    issuer_and_serial,
    open_with,
    sign,
    tlv,
)
from scep_material import CERT_SIGN, DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, NOW, certificate, rsa_key

MESSAGE_TYPE = "2.16.840.1.113733.1.9.2"
PKI_STATUS = "2.16.840.1.113733.1.9.3"
FAIL_INFO = "2.16.840.1.113733.1.9.4"
SENDER_NONCE = "2.16.840.1.113733.1.9.5"
RECIPIENT_NONCE = "2.16.840.1.113733.1.9.6"
TRANSACTION_ID = "2.16.840.1.113733.1.9.7"
FAIL_INFO_TEXT = "1.3.6.1.5.5.7.24.1"
PRINTABLE, UTF8, OCTETS = 0x13, 0x0C, 0x04

ENROLMENTS = frozenset({"17", "19"})
"""RenewalReq and PKCSReq."""
SERVER_NONCE = bytes(range(200, 216))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMessage:
    """What a PKIOperation asked for, after everything about it was checked."""

    message_type: str
    transaction_id: str
    sender_nonce: bytes
    digest: str
    cipher: str
    signer: x509.Certificate
    plaintext: bytes
    recipient: bytes = b""
    """IssuerAndSerialNumber that the envelope names, DER."""

    @property
    def csr(self) -> x509.CertificateSigningRequest:
        return x509.load_der_x509_csr(self.plaintext)

    @property
    def challenge(self) -> str:
        return self.csr.attributes.get_attribute_for_oid(x509.oid.AttributeOID.CHALLENGE_PASSWORD).value.decode()


def read_message(data: bytes, ra_key: rsa.RSAPrivateKey) -> ReceivedMessage:
    """Read and verify a request strictly; an AssertionError tells what is wrong with it."""
    info = cms.ContentInfo.load(data, strict=True)
    assert info.dump(force=True) == data, "the message is not DER"
    signed = info["content"]
    assert signed["version"].native == "v1"
    (signer_info,) = signed["signer_infos"]
    assert signer_info["version"].native == "v1"
    (choice,) = signed["certificates"]
    signer = x509.load_der_x509_certificate(choice.chosen.dump())
    sid = signer_info["sid"].chosen
    assert sid["issuer"].dump() == choice.chosen.issuer.dump()
    assert sid["serial_number"].native == signer.serial_number
    attributes = signer_info["signed_attrs"]
    encoded = [attribute.dump() for attribute in attributes]
    assert encoded == sorted(encoded), "the attributes are not in DER order"
    values: dict[str, list[bytes]] = {}
    for attribute in attributes:
        assert attribute["type"].dotted not in values
        values[attribute["type"].dotted] = [value.dump() for value in attribute["values"]]
    assert all(len(each) == 1 for each in values.values())
    digest = _digest_name(signer_info["digest_algorithm"]["algorithm"].dotted)
    content = signed["encap_content_info"]["content"].native
    _check_signature(signer_info, signer, digest, values["1.2.840.113549.1.9.4"][0], content)
    message_type = _text(values[MESSAGE_TYPE][0])
    plaintext = open_with(content, ra_key)
    if message_type in ENROLMENTS:
        assert x509.load_der_x509_csr(plaintext).is_signature_valid, "the signing request does not prove its key"
    return ReceivedMessage(
        message_type=message_type,
        transaction_id=_text(values[TRANSACTION_ID][0]),
        sender_nonce=_octets(values[SENDER_NONCE][0]),
        digest=digest,
        cipher=_cipher_name(content),
        signer=signer,
        recipient=_recipient(content),
        plaintext=plaintext,
    )


def _check_signature(
    info: cms.SignerInfo, signer: x509.Certificate, digest: str, message_digest: bytes, content: bytes
) -> None:
    context = hashes.Hash(HASHES[digest][2])
    context.update(content)
    assert message_digest == tlv(4, context.finalize())
    assert info["signature_algorithm"]["algorithm"].dotted == "1.2.840.113549.1.1.1"
    key = signer.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    signed = tlv(0x31, info["signed_attrs"].contents)
    key.verify(info["signature"].native, signed, padding.PKCS1v15(), HASHES[digest][2])


def _digest_name(dotted: str) -> str:
    return next(name for name, row in HASHES.items() if row[0] == dotted)


def _cipher_name(enveloped: bytes) -> str:
    inner = cms.ContentInfo.load(enveloped)["content"]["encrypted_content_info"]
    dotted = inner["content_encryption_algorithm"]["algorithm"].dotted
    return next(name for name, row in CIPHERS.items() if row[0] == dotted)


def _recipient(enveloped: bytes) -> bytes:
    (info,) = cms.ContentInfo.load(enveloped)["content"]["recipient_infos"]
    return bytes(info.chosen["rid"].chosen.dump())


def _text(value: bytes) -> str:
    assert value[0] == PRINTABLE
    return str(core.PrintableString.load(value).native)


def _octets(value: bytes) -> bytes:
    assert value[0] == OCTETS
    return bytes(core.OctetString.load(value).native)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate with its key."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def rsa_key(self) -> rsa.RSAPrivateKey:
        assert isinstance(self.key, rsa.RSAPrivateKey)
        return self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA and the certificate that requests are encrypted to; both may be the same."""

    ca: Identity
    ra: Identity

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        return tuple(dict.fromkeys((self.ra.certificate, self.ca.certificate)))

    @property
    def recipient(self) -> bytes:
        """How requests have to name whom they are encrypted to."""
        return issuer_and_serial(self.ra.certificate)

    def issue(
        self,
        csr: x509.CertificateSigningRequest,
        *,
        purposes: Sequence[str] = (),
        not_after: datetime = NOW + timedelta(days=10),
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(csr.subject)
            .issuer_name(self.ca.certificate.subject)
            .public_key(csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(NOW, not_after) - timedelta(hours=1))
            .not_valid_after(not_after)
        )
        if purposes:
            oids = [x509.ObjectIdentifier(purpose) for purpose in purposes]
            builder = builder.add_extension(x509.ExtendedKeyUsage(oids), critical=False)
        own = x509.SubjectKeyIdentifier.from_public_key(csr.public_key())
        builder = builder.add_extension(own, critical=False)
        return builder.sign(self.ca.key, hashes.SHA256())


def single_ca(usages: Sequence[str] | None = None) -> Authority:
    """One self-signed certificate that does everything."""
    key = rsa_key("responder CA")
    identity = Identity(key=key, certificate=certificate("Test CA", key, ca=True, usages=usages))
    return Authority(ca=identity, ra=identity)


def ca_with_ra() -> Authority:
    """A root and a registration authority below it."""
    ca_key, ra_key = rsa_key("responder CA"), rsa_key("responder RA")
    ca = certificate("Test CA", ca_key, ca=True, usages=(CERT_SIGN,))
    usages = (DIGITAL_SIGNATURE, KEY_ENCIPHERMENT)
    ra = certificate("Test RA", ra_key, issuer=ca, issuer_key=ca_key, ca=False, usages=usages)
    return Authority(ca=Identity(key=ca_key, certificate=ca), ra=Identity(key=ra_key, certificate=ra))


Alteration = Callable[[dict[str, bytes]], None]
Payload = Callable[[x509.CertificateSigningRequest], bytes]


def unaltered(attributes: dict[str, bytes]) -> None:
    """Leave attributes as they are."""
    del attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyPlan:
    """What the responder answers, and how."""

    status: str = "0"
    fail_info: str | None = None
    fail_info_text: str | None = None
    string_tag: int = PRINTABLE
    alter: Alteration = unaltered
    """Changes the DER attribute values, by OID, before they are signed."""
    envelope: EnvelopePlan = field(default_factory=EnvelopePlan)
    signature: SignaturePlan = field(default_factory=SignaturePlan)
    signer: Identity | None = None
    """Signs instead of the RA."""
    recipients: Sequence[x509.Certificate] = ()
    """Addressed instead of the request's signer."""
    payload: bytes | Payload | None = None
    """Enveloped instead of an issued certificate; may be made of the signing request."""
    content: bytes | None = field(default=b"unset")
    """What is signed instead of the envelope; None: absent."""

    @property
    def is_conclusive(self) -> bool:
        """Whether a client has to take the transaction for finished: a genuine failure, or a certificate for it."""
        is_genuine = self.alter is unaltered and self.signer is None and self.signature == SignaturePlan()
        return is_genuine and (self.status == "2" or (self.status == "0" and self.content == b"unset"))

    def with_signature(self, **changes: object) -> "ReplyPlan":
        return replace(self, signature=replace(self.signature, **changes))  # type: ignore[arg-type]  # test shorthand


def reply_to(
    request: ReceivedMessage,
    authority: Authority,
    plan: ReplyPlan = ReplyPlan(),
    csr: x509.CertificateSigningRequest | None = None,
) -> bytes:
    """The body of the answer to *request*; *csr* is the one that a poll is about."""
    values: dict[str, bytes] = {
        MESSAGE_TYPE: tlv(plan.string_tag, b"3"),
        TRANSACTION_ID: tlv(plan.string_tag, request.transaction_id.encode()),
        PKI_STATUS: tlv(plan.string_tag, plan.status.encode()),
        SENDER_NONCE: tlv(OCTETS, SERVER_NONCE),
        RECIPIENT_NONCE: tlv(OCTETS, request.sender_nonce),
    }
    if plan.fail_info is not None:
        values[FAIL_INFO] = tlv(plan.string_tag, plan.fail_info.encode())
    if plan.fail_info_text is not None:
        values[FAIL_INFO_TEXT] = tlv(UTF8, plan.fail_info_text.encode())
    plan.alter(values)
    signer = plan.signer or authority.ra
    return sign(_content(request, authority, plan, csr), values, signer.key, signer.certificate, plan.signature)


def _content(
    request: ReceivedMessage, authority: Authority, plan: ReplyPlan, csr: x509.CertificateSigningRequest | None
) -> bytes | None:
    if plan.content != b"unset":
        return plan.content
    if plan.status != "0":
        return None
    payload = plan.payload
    if payload is None:
        payload = certificates_only([authority.issue(csr or request.csr)])
    elif callable(payload):
        payload = payload(csr or request.csr)
    return envelope(payload, plan.recipients or [request.signer], plan.envelope)
