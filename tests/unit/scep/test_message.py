"""The check of a message before it is sent."""

from contextlib import suppress
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.scep_authority import MESSAGE_TYPE, OCTETS, PRINTABLE, SENDER_NONCE, TRANSACTION_ID, ca_with_ra
from fakes.scep_cms import SignaturePlan, certificates_only, envelope, sign, tlv
from hypothesis import given, settings
from hypothesis import strategies as st
from scep_material import certificate, rsa_key

from certmongerd.core.errors import InvalidValue
from certmongerd.scep.message import Outgoing, inspect_outgoing
from certmongerd.scep.oids import MessageType

SUBMIT = frozenset({MessageType.PKCS_REQ, MessageType.RENEWAL_REQ})
POLL = frozenset({MessageType.CERT_POLL})
KEY = rsa_key("client")
GOOD = {
    MESSAGE_TYPE: tlv(PRINTABLE, b"19"),
    TRANSACTION_ID: tlv(PRINTABLE, b"1"),
    SENDER_NONCE: tlv(OCTETS, bytes(16)),
}


@cache
def ra() -> x509.Certificate:
    return ca_with_ra().ra.certificate


def message(
    changes: dict[str, bytes | None] | None = None,
    plan: SignaturePlan | None = None,
    recipient: x509.Certificate | None = None,
) -> bytes:
    values = {kind: value for kind, value in {**GOOD, **(changes or {})}.items() if value is not None}
    content = envelope(b"request", [recipient or ra()])
    return sign(content, values, KEY, certificate("client", KEY), plan or SignaturePlan())


def check(data: bytes, accepted: frozenset[MessageType] = SUBMIT) -> Outgoing:
    return inspect_outgoing(data, ra=ra(), accepted=accepted)


def test_a_good_message_tells_what_its_reply_has_to_answer() -> None:
    assert check(message()) == Outgoing(transaction_id="1", sender_nonce=bytes(16), message_type=MessageType.PKCS_REQ)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        pytest.param(b"random text", "ASN.1", id="random text"),
        pytest.param(certificate("x", KEY).public_bytes(Encoding.DER), r"decoded|SignedData", id="certificate"),
        pytest.param(certificates_only([certificate("x", KEY)]), "0 signers", id="no signer"),
        pytest.param(message({MESSAGE_TYPE: None}), "messageType", id="no messageType"),
        pytest.param(message({MESSAGE_TYPE: tlv(PRINTABLE, b"20")}), "messageType is 20", id="poll with submit"),
        pytest.param(message({TRANSACTION_ID: None}), "transactionID", id="no transactionID"),
        pytest.param(message({SENDER_NONCE: None}), "senderNonce", id="no nonce"),
        pytest.param(message({SENDER_NONCE: tlv(OCTETS, bytes(15))}), "senderNonce", id="short nonce"),
        pytest.param(message(plan=SignaturePlan(flips_signature=True)), "signature", id="signature broken"),
        pytest.param(message(plan=SignaturePlan(wrong_message_digest=True)), "messageDigest", id="digest wrong"),
        pytest.param(message(plan=SignaturePlan(embeds=False)), "signer", id="no certificate"),
        pytest.param(message(recipient=certificate("other", KEY)), "RA", id="other RA"),
    ],
)
def test_a_defect_is_explained(data: bytes, part: str) -> None:
    with pytest.raises(InvalidValue, match=part) as refused:
        check(data)
    assert refused.value.what == "pkiMessage"


def test_an_enrolment_is_no_poll() -> None:
    with pytest.raises(InvalidValue, match="messageType is 19 instead of 20"):
        check(message(), POLL)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_messages_raise_only_the_declared_error(data: st.DataObject) -> None:
    body = bytearray(good())
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255))
    with suppress(InvalidValue):
        assert check(bytes(body)).message_type in SUBMIT


@cache
def good() -> bytes:
    return message()
