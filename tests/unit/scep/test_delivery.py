"""Opening the envelope with the issued certificate, in all the forms servers use."""

import base64
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.scep_cms import EnvelopePlan, certificates_only, envelope, indefinite
from hypothesis import given, settings
from hypothesis import strategies as st
from scep_material import certificate, ec_key, rsa_key

from certmongerd.core.errors import RemoteProtocolError
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca
from certmongerd.scep.client import UndecryptableReply, decrypt_reply
from certmongerd.scep.oids import Cipher

KEY = rsa_key("client")
OTHER = rsa_key("other client")


@cache
def signer() -> x509.Certificate:
    return certificate("signer", KEY)


@cache
def issued() -> x509.Certificate:
    return certificate("issued", KEY, issuer=root(), issuer_key=rsa_key("root"))


@cache
def root() -> x509.Certificate:
    return certificate("root", rsa_key("root"), ca=True)


def der(each: x509.Certificate) -> bytes:
    return each.public_bytes(Encoding.DER)


def opened(data: bytes) -> list[x509.Certificate]:
    return decrypt_reply(data, [(KEY, [signer()])])


@pytest.mark.parametrize("cipher", ["des", "des3", "aes128", "aes192", "aes256", "gcm128", "gcm256"])
@pytest.mark.parametrize("form", ["primitive", "constructed", "indefinite"])
def test_every_cipher_in_every_form_is_opened(cipher: str, form: str) -> None:
    plan = EnvelopePlan(cipher=cipher, form=form)
    assert opened(envelope(certificates_only([issued()]), [signer()], plan)) == [issued()]


@pytest.mark.parametrize("transport", ["v15", "oaep-sha1", "oaep-sha256", "oaep-sha384", "oaep-sha512"])
@pytest.mark.parametrize("names_key", [False, True])
def test_every_key_transport_and_way_to_name_us_is_opened(transport: str, names_key: bool) -> None:
    plan = EnvelopePlan(transport=transport, names_key=names_key)
    assert opened(envelope(certificates_only([issued()]), [signer()], plan)) == [issued()]


def pem_of(data: bytes, label: str) -> bytes:
    return b"-----BEGIN %b-----\r\n%b-----END %b-----\r\n" % (label.encode(), base64.encodebytes(data), label.encode())


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(lambda: der(issued()), id="bare certificate"),
        pytest.param(lambda: pem_of(der(issued()), "CERTIFICATE"), id="PEM certificate"),
        pytest.param(lambda: pem_of(certificates_only([issued()]), "PKCS7"), id="PEM SignedData"),
        pytest.param(lambda: certificates_only([issued()], indefinite), id="BER SignedData"),
        pytest.param(lambda: base64.encodebytes(der(issued())), id="base64"),
    ],
)
def test_every_form_of_the_payload_is_read(payload: object) -> None:
    assert callable(payload)
    assert opened(envelope(payload(), [signer()])) == [issued()]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_our_certificate_comes_first_whatever_the_order(order: Sequence[int]) -> None:
    members = [issued(), root()]
    payload = certificates_only([members[position] for position in order])
    assert opened(envelope(payload, [signer()])) == [issued(), root()]


def test_a_certificate_of_an_unknown_version_is_refused() -> None:
    version_2 = der(issued()).replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101"), 1)
    with pytest.raises(RemoteProtocolError, match="cannot be read"):
        opened(envelope(version_2, [signer()]))


def test_pem_armour_is_taken_off() -> None:
    data = pem_of(envelope(der(issued()), [signer()]), "PKCS7")
    assert opened(data) == [issued()]


def test_we_may_be_the_second_recipient() -> None:
    stranger = certificate("stranger", OTHER)
    assert opened(envelope(der(issued()), [stranger, signer()])) == [issued()]


def test_a_recipient_named_unexpectedly_is_still_tried_with_every_key() -> None:
    data = envelope(der(issued()), [certificate("other name", KEY)])
    keys: list[tuple[PrivateKeyTypes, list[x509.Certificate]]] = [
        (OTHER, [certificate("x", OTHER)]),
        (ec_key("x"), []),
        (KEY, [signer()]),
    ]
    assert decrypt_reply(data, keys)[0] == issued()


def test_a_reply_to_somebody_else_is_told_apart() -> None:
    data = envelope(der(issued()), [certificate("stranger", OTHER)])
    with pytest.raises(UndecryptableReply, match=r"not addressed to our key|does not decrypt"):
        opened(data)


def test_without_an_rsa_key_nothing_is_opened() -> None:
    with pytest.raises(UndecryptableReply):
        decrypt_reply(envelope(der(issued()), [signer()]), [(ec_key("x"), [])])


def test_a_settings_hint_is_given_only_when_aes_was_used() -> None:
    data = envelope(b"rubbish", [signer()])
    with pytest.raises(UndecryptableReply, match="scep-cipher"):
        decrypt_reply(data, [(KEY, [signer()])], ca=Ca(id=CaName("ndes"), capabilities=("AES",)))
    with pytest.raises(UndecryptableReply) as refused:
        decrypt_reply(data, [(KEY, [signer()])], ca=Ca(id=CaName("ndes"), scep_cipher=Cipher.DES3.value))
    assert "scep-cipher" not in str(refused.value)


@pytest.mark.parametrize("cipher", ["des", "aes128", "gcm128"])
def test_a_truncated_or_damaged_ciphertext_is_explained(cipher: str) -> None:
    data = envelope(der(issued()), [signer()], EnvelopePlan(cipher=cipher))
    with pytest.raises(RemoteProtocolError, match="cut off"):
        opened(data[:-9])
    with pytest.raises(RemoteProtocolError):
        opened(data[:-1] + bytes((data[-1] ^ 0x55,)))


def test_what_is_no_envelope_is_refused() -> None:
    for data in (b"", b"text", certificates_only([issued()]), der(issued())):
        with pytest.raises(RemoteProtocolError):
            opened(data)


@cache
def good() -> bytes:
    return envelope(certificates_only([issued()]), [signer()], EnvelopePlan(form="constructed"))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_envelopes_raise_only_the_declared_error(data: st.DataObject) -> None:
    body = bytearray(good())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] = data.draw(st.integers(0, 255))
    with suppress(RemoteProtocolError):
        assert opened(bytes(body))
