import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from pki_material import certificate, ec_key, rsa_key

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import Template
from certmongerd.core.secret import Secret
from certmongerd.pki import algorithms, der
from certmongerd.pki.certs import certificate_facts
from certmongerd.pki.csr import build_csr, build_spkac, requested_subject, spki_base64
from certmongerd.pki.issue import key_identifier
from certmongerd.pki.keys import PrivateKey, spki_of_key
from certmongerd.pki.names import encode_name, format_name
from certmongerd.pki.pem import pem_blocks

_RECORDED = json.loads(
    (Path(__file__).parents[2] / "data" / "csr" / "certmonger-0.79.17.json").read_text(encoding="utf-8")
)
_NOT_COMPARED = {algorithms.SUBJECT_KEY_IDENTIFIER, algorithms.AUTHORITY_KEY_IDENTIFIER}


def _info(pem: str) -> tuple[der.Element, ...]:
    (block,) = pem_blocks(pem)
    assert block.label == "CERTIFICATE REQUEST"
    return der.decode(block.der).children()[0].children()


def _attributes(pem: str) -> dict[str, der.Element]:
    pairs = [attribute.children() for attribute in _info(pem)[3].children()]
    return {der.read_oid(oid): values for oid, values in pairs}


def _extensions(pem: str) -> list[tuple[str, bytes]]:
    requested = _attributes(pem)[algorithms.EXTENSION_REQUEST].children()[0].children()
    return [(der.read_oid(extension.children()[0]), extension.encoded) for extension in requested]


def _template(fields: dict[str, Any]) -> Template:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    if "subject_der" in values:
        values["subject_der"] = bytes.fromhex(values["subject_der"])
    return Template(**values)


def _build(template: Template, challenge: str | None = None, key: PrivateKey | None = None, name: str = "id") -> str:
    return build_csr(
        template,
        key or ec_key("csr"),
        digest="sha256",
        friendly_name=name,
        default_subject="localhost",
        challenge=Secret(challenge) if challenge else None,
    )


@pytest.mark.parametrize("row", _RECORDED, ids=lambda row: row["id"])
def test_a_request_is_what_certmonger_makes_of_the_same_settings(row: dict[str, Any]) -> None:
    ours = _build(_template(row["template"]), row["challenge"], name=row["id"])
    theirs = row["csr"]
    assert _info(ours)[1].encoded == _info(theirs)[1].encoded
    assert _attributes(ours).keys() == _attributes(theirs).keys()
    for oid, values in _attributes(ours).items():
        if oid != algorithms.EXTENSION_REQUEST:
            assert values.encoded == _attributes(theirs)[oid].encoded
    comparable = [[entry for entry in _extensions(pem) if entry[0] not in _NOT_COMPARED] for pem in (ours, theirs)]
    assert comparable[0] == comparable[1]


@pytest.mark.parametrize("key", [rsa_key("csr"), ec_key("csr")], ids=["rsa", "ec"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_the_signature_verifies(key: PrivateKey, digest: str) -> None:
    pem = build_csr(Template(), key, digest=digest, friendly_name="", default_subject="h")
    (block,) = pem_blocks(pem)
    info, algorithm, signature = der.decode(block.der).children()
    assert algorithm.encoded == algorithms.signature_algorithm(key, digest)
    public, hash_algorithm = key.public_key(), algorithms.digest_named(digest)
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature.content[1:], info.encoded, padding.PKCS1v15(), hash_algorithm)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature.content[1:], info.encoded, ec.ECDSA(hash_algorithm))


def test_a_digest_that_is_too_old_for_ecdsa_is_refused() -> None:
    with pytest.raises(InvalidValue, match='"md5"'):
        build_csr(Template(), ec_key("csr"), digest="md5", friendly_name="", default_subject="h")


def test_the_key_identifier_is_that_of_the_key() -> None:
    request = x509.load_pem_x509_csr(_build(Template(), key=rsa_key("csr")).encode())
    public = rsa_key("csr").public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    value = request.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert value == x509.SubjectKeyIdentifier.from_public_key(public)
    assert value.digest == key_identifier(spki_of_key(rsa_key("csr")))


def test_a_certificate_authority_is_requested_with_its_path_length() -> None:
    request = x509.load_pem_x509_csr(_build(Template(is_ca=True, ca_path_length=0)).encode())
    extension = request.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (extension.value.ca, extension.value.path_length, extension.critical) == (True, 0, True)


@pytest.mark.parametrize(
    ("challenge", "tag"),
    [("secret 1", der.PRINTABLE_STRING), ("under_score", der.UTF8_STRING), ("gehäim", der.UTF8_STRING)],
)
def test_the_challenge_is_printable_string_only_where_it_fits(challenge: str, tag: int) -> None:
    (value,) = _attributes(_build(Template(), challenge))[algorithms.CHALLENGE_PASSWORD].children()
    assert (value.tag, der.read_text(value)) == (tag, challenge)


def test_without_challenge_and_nickname_there_is_only_the_extension_request() -> None:
    assert list(_attributes(_build(Template(), name=""))) == [algorithms.EXTENSION_REQUEST]


def test_key_usage_without_any_bit_is_left_out() -> None:
    assert algorithms.KEY_USAGE not in dict(_extensions(_build(Template(ku="000"))))


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"subject": "CN=a,b"}, "template-subject"),
        ({"hostname": ("ünï.example.org",)}, "template-hostname"),
        ({"email": ("ü@example.org",)}, "template-email"),
        ({"ip_address": ("192.0.2.256",)}, "template-ip-address"),
        ({"ku": "1x1"}, "template-ku"),
        ({"eku": ("serverAuth",)}, "template-eku"),
        ({"ocsp": ("http://ü/",)}, "template-ocsp"),
        ({"crldp": ("http://ü/",)}, "template-crldp"),
        ({"freshest_crl": ("http://ü/",)}, "template-freshest-crl"),
        ({"certificate_template": "Foo"}, "template-ms-certificate-template"),
        ({"certificate_template": "9.9:1"}, "template-ms-certificate-template"),
        ({"principal": ("\ud800@R",)}, "template-principal"),
        ({"profile": "\ud800"}, "template-profile"),
    ],
)
def test_a_setting_that_cannot_be_encoded_is_named(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        _build(Template(**fields))
    assert caught.value.what == what


def test_a_copied_subject_keeps_its_encoding() -> None:
    copied = der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.encode(der.BMP_STRING, b"\0a"))))
    for text in ("CN=a", ""):
        assert requested_subject(Template(subject_der=copied, subject=text), "h") == copied


def test_a_changed_subject_text_wins_over_the_copied_der() -> None:
    template = Template(subject_der=encode_name("CN=old,O=Org"), subject="CN=new,O=Org")
    assert requested_subject(template, "h") == encode_name("CN=new,O=Org")


def test_a_copied_subject_whose_text_cannot_be_typed_is_kept() -> None:
    copied = der.sequence(
        der.set_of(der.sequence(der.oid("2.5.4.3"), der.encode(der.UTF8_STRING, b"a"))),
        der.set_of(der.sequence(der.oid("1.2.3"), der.encode(der.INTEGER, b"\1"))),
    )
    assert requested_subject(Template(subject_der=copied, subject="OID.1.2.3=#zz,CN=a"), "h") == copied


def test_a_wrong_printable_string_is_not_requested_again() -> None:
    wrong = der.sequence(
        der.set_of(der.sequence(der.oid("2.5.4.3"), der.encode(der.PRINTABLE_STRING, b"*.example.org")))
    )
    pem = _build(Template(subject_der=wrong, subject="CN=*.example.org"))
    assert x509.load_pem_x509_csr(pem.encode()).subject.rfc4514_string() == "CN=*.example.org"


def test_a_signed_public_key_and_challenge_verifies() -> None:
    key = ec_key("csr")
    body, _algorithm, signature = der.decode(base64.b64decode(build_spkac(key, "päss", "sha256"))).children()
    spki, challenge = body.children()
    assert spki.encoded == spki_of_key(key) == base64.b64decode(spki_base64(key))
    assert (challenge.tag, challenge.content) == (der.IA5_STRING, "päss".encode())
    public = key.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature.content[1:], body.encoded, ec.ECDSA(algorithms.digest_named("sha256")))


_WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
_ASCII = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
_ASCIIS = st.lists(_ASCII, max_size=3).map(tuple)
_TEMPLATES = st.builds(
    Template,
    subject=st.one_of(st.just(""), _WORDS.map(lambda word: format_name(encode_name(word.replace("=", ""))))),
    hostname=_ASCIIS,
    email=_ASCIIS,
    principal=st.lists(_WORDS, max_size=2).map(tuple),
    ip_address=st.lists(st.ip_addresses().map(lambda address: str(address).partition("%")[0]), max_size=2).map(tuple),
    ku=st.text("01", max_size=7),
    eku=st.lists(st.sampled_from(["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"]), max_size=2).map(tuple),
    is_ca=st.booleans(),
    ca_path_length=st.integers(-1, 9),
    crldp=_ASCIIS,
    freshest_crl=_ASCIIS,
    ocsp=_ASCIIS,
    ns_comment=_WORDS,
    profile=st.text(st.characters(max_codepoint=0xD7FF), max_size=9),
    no_ocsp_check=st.booleans(),
    ns_certtype=st.lists(st.sampled_from(algorithms.NETSCAPE_CERT_TYPES), max_size=3).map(",".join),
    certificate_template=st.sampled_from(["", "1.2.3:4", "1.2.3:4:5"]),
)


@settings(max_examples=60)
@given(_TEMPLATES, _WORDS, st.one_of(st.none(), _WORDS))
def test_a_request_for_any_template_parses_back(template: Template, name: str, challenge: str | None) -> None:
    pem = _build(template, challenge, name=name)
    request = x509.load_pem_x509_csr(pem.encode())
    assert request.is_signature_valid
    expected = template.subject or "CN=localhost"
    assert format_name(_info(pem)[1].encoded) == format_name(encode_name(expected))
    assert [oid for oid, _ in _extensions(pem)] == [extension.oid.dotted_string for extension in request.extensions]


@settings(max_examples=60)
@given(_TEMPLATES)
def test_a_certificate_with_what_was_asked_for_gives_the_same_template_again(template: Template) -> None:
    facts = certificate_facts(certificate(replace(template, subject="CN=x")))
    assert (facts.hostname, facts.email, facts.eku) == (template.hostname, template.email, template.eku)
    assert (facts.ku, facts.is_ca, facts.crldp) == (template.ku.rstrip("0"), template.is_ca, template.crldp)
    assert (facts.freshest_crl, facts.ocsp) == (template.freshest_crl, template.ocsp)
    assert facts.no_ocsp_check is template.no_ocsp_check
    assert {*facts.ns_certtype.split(",")} == {*template.ns_certtype.split(",")}
