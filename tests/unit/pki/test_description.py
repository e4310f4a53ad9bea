import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pki_material import certificate, ec_key, raw_certificate, rsa_key

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import Template
from certmongerd.core.secret import Secret
from certmongerd.pki import der
from certmongerd.pki.certs import to_pem
from certmongerd.pki.csr import build_csr
from certmongerd.pki.description import describe_certificate, describe_request, key_text
from certmongerd.pki.keys import PrivateKey
from certmongerd.pki.pem import encode_pem, pem_blocks

TEMPLATE = Template(
    subject="CN=www.example.org,O=Org",
    hostname=("www.example.org", "b.example.org"),
    email=("a@example.org",),
    ip_address=("192.0.2.1",),
    principal=("host/www@EXAMPLE.ORG",),
    ku="101",
    eku=("1.3.6.1.5.5.7.3.1",),
    ns_comment="a comment",
)


def csr(key: PrivateKey, challenge: Secret | None = None) -> str:
    return build_csr(
        TEMPLATE, key, digest="sha256", friendly_name="web", default_subject="CN=unused", challenge=challenge
    )


def test_a_certificate_is_described_with_all_that_was_asked_for() -> None:
    issued = certificate(TEMPLATE, authority=ec_key("ca"), issuer="CN=Authority")
    described = describe_certificate(to_pem(issued))
    facts = described.facts
    assert (facts.subject, facts.issuer, facts.serial) == ("O=Org,CN=www.example.org", "CN=Authority", "05")
    assert facts.hostname == TEMPLATE.hostname
    assert facts.ip_address == TEMPLATE.ip_address
    assert (described.key, described.signature) == ("EC, P-256", "ECDSA with SHA-256")
    assert len(described.key_identifier) == len(described.authority_key_identifier) == 59
    assert described.other_extensions == ("2.16.840.1.113730.1.13",)
    digest = hashlib.sha256(issued.encoded).hexdigest().upper()
    assert described.fingerprints[1] == ("SHA-256", ":".join(digest[at : at + 2] for at in range(0, 64, 2)))


@pytest.mark.parametrize(("key", "text"), [(ec_key("k"), "EC, P-256"), (rsa_key("k"), "RSA, 2048 bits")])
def test_a_request_is_described_as_the_certificate_it_asks_for(key: PrivateKey, text: str) -> None:
    described = describe_request(csr(key))
    facts = described.facts
    assert facts.subject == "O=Org,CN=www.example.org"
    assert (facts.hostname, facts.principal, facts.ku) == (TEMPLATE.hostname, TEMPLATE.principal, "101")
    assert described.key == text
    assert described.attributes == (("friendly name", "web"),)


def test_a_challenge_password_is_mentioned_and_not_told() -> None:
    described = describe_request(csr(ec_key("k"), Secret("geheim")))
    assert ("challenge password", "set") in described.attributes
    assert "geheim" not in repr(described)


def spki_of_type(oid: str) -> bytes:
    return der.sequence(der.sequence(der.oid(oid)), der.bit_string(b"key"))


def test_keys_of_other_types_are_named_by_type_curve_or_identifier() -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    assert key_text(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)) == "Ed25519"
    curve = ec.generate_private_key(ec.SECP256K1()).public_key()
    assert key_text(curve.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)) == "EC, 1.3.132.0.10"
    assert key_text(spki_of_type("2.16.840.1.101.3.4.3.18")) == "ML-DSA-65"
    assert key_text(spki_of_type("1.2.3.4")) == "1.2.3.4"
    assert key_text(spki_of_type("1.2.840.113549.1.1.1")) == "unreadable"


def test_a_certificate_that_libraries_refuse_is_described_all_the_same() -> None:
    attribute = der.sequence(der.oid("2.5.4.3"), der.encode(der.PRINTABLE_STRING, b"*.example.org"))
    encoded = raw_certificate(subject=der.sequence(der.set_of(attribute)), not_after=b"garbage")
    described = describe_certificate(encode_pem("CERTIFICATE", encoded))
    assert described.facts.subject == "CN=*.example.org"
    assert described.facts.not_after is None


@pytest.mark.parametrize("describe", [describe_certificate, describe_request])
@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"])
def test_what_is_none_is_refused(describe: object, text: str) -> None:
    with pytest.raises(InvalidValue):
        describe(text)  # type: ignore[operator]


CERTIFICATE_DER = certificate(TEMPLATE, authority=ec_key("ca")).encoded
CSR_DER = next(pem_blocks(csr(ec_key("k")))).der


@given(st.sampled_from([0, 1]), st.integers(0, 600), st.integers(0, 255), st.integers(0, 3))
def test_damaged_objects_are_described_or_refused(which: int, at: int, octet: int, removed: int) -> None:
    encoded = (CERTIFICATE_DER, CSR_DER)[which]
    at %= len(encoded)
    damaged = encoded[:at] + bytes([octet]) + encoded[at + removed :]
    label, describe = (("CERTIFICATE", describe_certificate), ("CERTIFICATE REQUEST", describe_request))[which]
    try:
        described = describe(encode_pem(label, damaged))
    except InvalidValue:
        return
    assert all(text.isprintable() for text in (described.key, *described.uris, described.signature))
