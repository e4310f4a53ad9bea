import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given
from hypothesis import strategies as st
from pki_material import certificate, ec_key

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.core.model import NamedCertificate, Template
from certmongerd.pki import der
from certmongerd.pki.certs import to_pem
from certmongerd.pki.pem import encode_pem
from certmongerd.pki.reply import EnvelopedReply, IssuedCertificates, RootLists, parse_issued, parse_roots

_ROOT = certificate(Template(subject="CN=Root", is_ca=True), key=ec_key("Root"), authority=ec_key("Root"))
_CA = certificate(Template(subject="CN=CA", is_ca=True), key=ec_key("CA"), issuer="CN=Root", authority=ec_key("Root"))
_LEAF = certificate(Template(subject="CN=leaf"), issuer="CN=CA", authority=ec_key("CA"))
ROOT, CA, LEAF = to_pem(_ROOT), to_pem(_CA), to_pem(_LEAF)
_BAG = pkcs7.serialize_certificates(
    [x509.load_der_x509_certificate(entry.encoded) for entry in (_ROOT, _LEAF, _CA)], Encoding.DER
)
_ENVELOPED = der.sequence(der.oid("1.2.840.113549.1.7.3"), der.context(0, der.sequence(der.integer(0))))
_CHAIN = (NamedCertificate(nickname="chain #1", pem=CA), NamedCertificate(nickname="chain #2", pem=ROOT))


def _indefinite(content: bytes) -> bytes:
    """BER as some servers send it: the outermost lengths left open."""
    (oid, wrapped) = der.decode(content).children()
    return b"\x30\x80" + oid.encoded + b"\xa0\x80" + wrapped.content + b"\0\0\0\0"


@pytest.mark.parametrize(
    "output",
    [
        LEAF.encode(),
        ("issued:\n\n" + LEAF + "\nbye\n").encode(),
        LEAF.replace("\n", "\r\n").encode(),
        LEAF.rstrip().encode(),
        ("0 warnings\n" + LEAF).encode(),
        b"\xff\xfe caf\xe9\n" + LEAF.encode(),
        _LEAF.encoded,
        _LEAF.encoded + b"\n",
        encode_pem("X509 CERTIFICATE", _LEAF.encoded).encode(),
        json.dumps({"certificate": LEAF}).encode(),
        json.dumps({"certificate": LEAF, "chain": "no array", "roots": [{"nickname": "x"}, 7], "more": 1}).encode(),
    ],
    ids=["pem", "text", "crlf", "cut", "digit", "binary", "der", "der-line", "label", "json", "json-odd"],
)
def test_one_certificate_is_found_in_every_form(output: bytes) -> None:
    assert parse_issued(output) == IssuedCertificates(certificate=LEAF)


@pytest.mark.parametrize(
    "output",
    [
        (ROOT + LEAF + CA).encode(),
        ("root:\n" + ROOT + "leaf:\n" + LEAF + CA + LEAF).encode(),
        _BAG,
        _indefinite(_BAG),
        encode_pem("PKCS7", _BAG).encode(),
        encode_pem("CMS", _BAG).encode(),
    ],
    ids=["pem", "repeated", "pkcs7-der", "pkcs7-ber", "pkcs7-pem", "cms-pem"],
)
def test_several_certificates_are_sorted_into_leaf_and_chain(output: bytes) -> None:
    assert parse_issued(output) == IssuedCertificates(certificate=LEAF, chain=_CHAIN)


def test_an_object_names_chain_and_roots() -> None:
    output = {
        "certificate": LEAF,
        "chain": [{"certificate": CA, "nickname": "my CA"}, {"certificate": ROOT}],
        "roots": [{"certificate": ROOT}, {"certificate": ROOT, "nickname": "two\nlines"}],
    }
    assert parse_issued(("\n" + json.dumps(output)).encode()) == IssuedCertificates(
        certificate=LEAF,
        chain=(NamedCertificate(nickname="my CA", pem=CA), NamedCertificate(nickname="chain #2", pem=ROOT)),
        roots=(NamedCertificate(nickname="root #1", pem=ROOT), NamedCertificate(nickname="two lines", pem=ROOT)),
    )


def test_certificates_beside_the_leaf_of_an_object_come_before_its_chain() -> None:
    output = {"certificate": encode_pem("PKCS7", _BAG), "chain": [{"certificate": ROOT, "nickname": "r"}]}
    reply = parse_issued(json.dumps(output).encode())
    assert isinstance(reply, IssuedCertificates)
    assert [(entry.nickname, entry.pem) for entry in reply.chain] == [
        ("chain #0.1", CA),
        ("chain #0.2", ROOT),
        ("r", ROOT),
    ]


@pytest.mark.parametrize("output", [_ENVELOPED, encode_pem("PKCS7", _ENVELOPED).encode()], ids=["der", "pem"])
def test_an_encrypted_reply_is_handed_on(output: bytes) -> None:
    assert parse_issued(output) == EnvelopedReply(der=_ENVELOPED)


def test_an_encrypted_reply_in_ber_is_handed_on_unchanged() -> None:
    assert parse_issued(_indefinite(_ENVELOPED)) == EnvelopedReply(der=_indefinite(_ENVELOPED))


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"0",
        b"issued",
        LEAF.replace("-----BEGIN CERTIFICATE-----\n", "").encode(),
        encode_pem("CERTIFICATE", b"\x30\x00").encode(),
        (LEAF + encode_pem("CERTIFICATE", b"junk")).encode(),
        encode_pem("PRIVATE KEY", b"secret").encode(),
        encode_pem("PKCS7", der.sequence(der.oid("1.2.840.113549.1.7.2"), der.context(0))).encode(),
        der.sequence(der.oid("1.2.840.113549.1.7.2"), der.context(0, der.sequence())),
        b"\x30\x80" + der.oid("1.2.840.113549.1.7.2") + b"\xa0\x80" * 1000,
        _indefinite(_BAG)[:-3],
        b"{",
        b"{" * 100_000,
        b"[]",
        b"{}",
        b'{"certificate": 7}',
        b'{"certificate": "none"}',
        json.dumps({"certificate": encode_pem("PKCS7", _ENVELOPED)}).encode(),
        json.dumps({"certificate": LEAF, "chain": [{"certificate": "junk"}]}).encode(),
    ],
)
def test_output_without_a_usable_certificate_is_refused(output: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_issued(output)
    assert "secret" not in str(caught.value)


def _pair(nickname: str, pem: str) -> str:
    return f"{nickname}\n{pem}"


def _named(*pairs: tuple[str, str]) -> tuple[NamedCertificate, ...]:
    return tuple(NamedCertificate(nickname=nickname, pem=pem) for nickname, pem in pairs)


_ONE = _pair("one", ROOT)
_TWO = _pair("two", CA)


@pytest.mark.parametrize(
    ("text", "lists"),
    [
        ("", RootLists()),
        (_ONE, RootLists(roots=_named(("one", ROOT)))),
        (_ONE.rstrip("\n"), RootLists(roots=_named(("one", ROOT)))),
        (_ONE + "\n\n\n", RootLists(roots=_named(("one", ROOT)))),
        (_ONE + _TWO, RootLists(roots=_named(("one", ROOT), ("two", CA)))),
        (_ONE + "\n" + _TWO, RootLists(roots=_named(("one", ROOT)), other_roots=_named(("two", CA)))),
        (_ONE + "\n\n" + _TWO, RootLists(roots=_named(("one", ROOT)), others=_named(("two", CA)))),
        (
            _ONE + "\n" + _TWO + _ONE + "\n" + _TWO,
            RootLists(
                roots=_named(("one", ROOT)),
                other_roots=_named(("two", CA), ("one", ROOT)),
                others=_named(("two", CA)),
            ),
        ),
        (
            json.dumps(
                {
                    "roots": [{"nickname": "one", "certificate": ROOT}, {"certificate": CA}],
                    "other-roots": [{"nickname": "two", "certificate": CA}],
                    "other": "no array",
                }
            ),
            RootLists(roots=_named(("one", ROOT)), other_roots=_named(("two", CA))),
        ),
        ("{}", RootLists()),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_lists_of_ca_certificates_are_read(text: str, lists: RootLists, line_end: str) -> None:
    assert parse_roots(text.replace("\n", line_end).encode()) == lists


@pytest.mark.parametrize(
    "text",
    [
        ROOT,
        "\n" + _ONE,
        "one\n" + _TWO,
        "one\n",
        "one\n\n" + ROOT,
        "one\njunk\n",
        _pair("one", encode_pem("CERTIFICATE", b"junk")),
        ROOT.replace("-----END CERTIFICATE-----\n", "").join(["one\n", ""]),
        _ONE + "\n\n\n" + _TWO,
        _ONE + "\n" + _TWO + "\n" + _ONE + "\n" + _TWO,
        "{",
    ],
)
def test_a_malformed_list_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_roots(text.encode())


@given(st.one_of(st.binary(max_size=200), st.text(max_size=80).map(str.encode)))
def test_arbitrary_output_is_refused_or_understood(output: bytes) -> None:
    for data in (output, output + LEAF.encode(), b'{"certificate":' + output, _LEAF.encoded[:40] + output):
        for function in (parse_issued, parse_roots):
            try:
                function(data)
            except RemoteProtocolError:
                continue
