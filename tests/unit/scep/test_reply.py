"""Evaluating replies: what is accepted, in which order things are refused."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.scep_authority import (
    FAIL_INFO_TEXT,
    MESSAGE_TYPE,
    OCTETS,
    PKI_STATUS,
    PRINTABLE,
    RECIPIENT_NONCE,
    SENDER_NONCE,
    TRANSACTION_ID,
    UTF8,
    Alteration,
    Authority,
    Identity,
    ReceivedMessage,
    ReplyPlan,
    ca_with_ra,
    reply_to,
    single_ca,
)
from fakes.scep_cms import EnvelopePlan, indefinite, oid, tlv
from hypothesis import given, settings
from hypothesis import strategies as st
from scep_material import CERT_SIGN, KEY_ENCIPHERMENT, NOW, certificate, ec_key, rsa_key, signing_request

from certmongerd.scep.message import Outgoing
from certmongerd.scep.oids import MessageType
from certmongerd.scep.reply import Invalid, Pending, Rejected, Success, Verdict, open_reply
from certmongerd.scep.trust import TrustedCertificates

NONCE = bytes(range(16))
TRANSACTION = "4711"
CMC_RA = "1.3.6.1.5.5.7.3.28"
REQUEST = Outgoing(transaction_id=TRANSACTION, sender_nonce=NONCE, message_type=MessageType.PKCS_REQ)


@cache
def authority() -> Authority:
    return ca_with_ra()


@cache
def received() -> ReceivedMessage:
    key = rsa_key("client")
    csr = x509.load_pem_x509_csr(signing_request(key).encode())
    return ReceivedMessage(
        message_type="19",
        transaction_id=TRANSACTION,
        sender_nonce=NONCE,
        digest="sha256",
        cipher="aes128",
        signer=certificate("client.example.org", key),
        plaintext=csr.public_bytes(Encoding.DER),
    )


def trusted(of: Authority, *others: x509.Certificate) -> TrustedCertificates:
    ca = None if of.ca == of.ra else of.ca.certificate
    return TrustedCertificates(ra=of.ra.certificate, ca=ca, others=others)


def verdict(plan: ReplyPlan, *, of: Authority | None = None, others: Sequence[x509.Certificate] = ()) -> Verdict:
    server = of or authority()
    body = reply_to(received(), server, plan)
    return open_reply(body, request=REQUEST, trusted=trusted(server, *others), now=NOW)


def signed(**changes: object) -> ReplyPlan:
    return ReplyPlan().with_signature(**changes)


def without(attribute: str) -> Alteration:
    return lambda values: values.__delitem__(attribute)


def changed(attribute: str, value: bytes) -> Alteration:
    return lambda values: values.__setitem__(attribute, value)


def altered(alteration: Alteration, status: str = "0") -> ReplyPlan:
    return ReplyPlan(status=status, alter=alteration)


def below_ca(name: str, **options: object) -> Identity:
    key = rsa_key(name)
    ca = authority().ca
    return Identity(key=key, certificate=certificate(name, key, issuer=ca.certificate, issuer_key=ca.key, **options))  # type: ignore[arg-type]  # test shorthand


# --- accepted


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("scheme", ["rsa", "digest-with-rsa"])
def test_every_digest_under_both_signature_names_verifies(digest: str, scheme: str) -> None:
    assert isinstance(verdict(signed(digest=digest, scheme=scheme)), Success)


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(signed(scheme="pss"), id="pss"),
        pytest.param(signed(embeds=False), id="signer not embedded"),
        pytest.param(signed(names_key=True), id="signer named by key identifier"),
        pytest.param(signed(unsorted=True), id="attributes not in DER order"),
        pytest.param(signed(wrap=indefinite), id="indefinite lengths"),
        pytest.param(ReplyPlan(string_tag=UTF8), id="UTF8String attributes"),
        pytest.param(ReplyPlan(envelope=EnvelopePlan(form="constructed")), id="constructed encryptedContent"),
        pytest.param(ReplyPlan(envelope=EnvelopePlan(form="indefinite")), id="indefinite envelope"),
        pytest.param(altered(without(SENDER_NONCE)), id="no senderNonce"),
        pytest.param(altered(changed(SENDER_NONCE, tlv(OCTETS, NONCE))), id="senderNonce echoed"),
        pytest.param(altered(changed(MESSAGE_TYPE, tlv(PRINTABLE, b"3 \0"))), id="trailing blank and NUL"),
    ],
)
def test_variants_that_servers_use_are_accepted(plan: ReplyPlan) -> None:
    assert isinstance(verdict(plan), Success)


def test_the_issued_certificate_may_stand_before_the_signers() -> None:
    issued = authority().issue(received().csr)
    assert isinstance(verdict(signed(embedded_first=(issued,))), Success)


@pytest.mark.parametrize("usages", [None, (CERT_SIGN, "crl_sign"), (CERT_SIGN,), ("digital_signature",)])
def test_a_single_self_signed_ca_is_its_own_anchor_whatever_its_usage(usages: Sequence[str] | None) -> None:
    assert isinstance(verdict(ReplyPlan(), of=single_ca(usages)), Success)


def test_the_ca_may_sign_although_there_is_an_ra() -> None:
    assert isinstance(verdict(ReplyPlan(signer=authority().ca)), Success)


def test_an_unlisted_registration_authority_of_the_ca_may_sign() -> None:
    assert isinstance(verdict(ReplyPlan(signer=below_ca("other RA", ca=False, purposes=(CMC_RA,)))), Success)


@pytest.mark.parametrize("usages", [(KEY_ENCIPHERMENT,), ("key_agreement",)])
def test_a_listed_certificate_may_sign_whatever_its_usage(usages: Sequence[str]) -> None:
    listed = below_ca("listed", ca=False, usages=usages)
    assert isinstance(verdict(ReplyPlan(signer=listed), others=(listed.certificate,)), Success)


def test_an_ec_registration_authority_may_sign() -> None:
    key, ca = ec_key("ec RA"), authority().ca
    signer = Identity(key=key, certificate=certificate("EC RA", key, issuer=ca.certificate, issuer_key=ca.key))
    assert isinstance(verdict(ReplyPlan(signer=signer), others=(signer.certificate,)), Success)


# --- refused


def foreign() -> Identity:
    key = rsa_key("foreign CA")
    return Identity(key=key, certificate=certificate("Foreign CA", key, ca=True))


@pytest.mark.parametrize("status", ["0", "2", "3"])
@pytest.mark.parametrize(
    ("alteration", "part"),
    [
        pytest.param(without(MESSAGE_TYPE), "messageType", id="messageType missing"),
        pytest.param(changed(MESSAGE_TYPE, tlv(PRINTABLE, b"19")), "messageType", id="messageType 19"),
        pytest.param(without(TRANSACTION_ID), "transactionID", id="transactionID missing"),
        pytest.param(changed(TRANSACTION_ID, tlv(PRINTABLE, b"4712")), "transactionID", id="other transactionID"),
        pytest.param(changed(TRANSACTION_ID, tlv(OCTETS, b"4711")), "transactionID", id="transactionID no string"),
        pytest.param(without(PKI_STATUS), "pkiStatus", id="pkiStatus missing"),
        pytest.param(changed(PKI_STATUS, tlv(PRINTABLE, b"9")), "pkiStatus", id="pkiStatus 9"),
        pytest.param(without(RECIPIENT_NONCE), "recipientNonce", id="recipientNonce missing"),
        pytest.param(changed(RECIPIENT_NONCE, tlv(OCTETS, bytes(16))), "recipientNonce", id="other nonce"),
        pytest.param(changed(RECIPIENT_NONCE, tlv(OCTETS, NONCE[:15])), "recipientNonce", id="15 bytes"),
        pytest.param(changed("1.2.840.113549.1.9.3", oid("1.2.3")), "contentType", id="contentType"),
    ],
)
def test_a_reply_with_a_wrong_attribute_is_not_believed_whatever_it_says(
    status: str, alteration: Alteration, part: str
) -> None:
    outcome = verdict(altered(alteration, status))
    assert isinstance(outcome, Invalid)
    assert part in outcome.reason


@pytest.mark.parametrize("status", ["0", "2", "3"])
@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"flips_signature": True}, "signature"),
        ({"wrong_message_digest": True}, "messageDigest"),
        ({"signers": 2}, "2 signers"),
        ({"signers": 0}, "0 signers"),
        ({"repeats": [tlv(0x30, oid(PKI_STATUS), tlv(0x31, tlv(PRINTABLE, b"0")))]}, "pkiStatus"),
    ],
)
def test_a_badly_signed_reply_is_not_believed(status: str, changes: dict[str, object], part: str) -> None:
    outcome = verdict(ReplyPlan(status=status).with_signature(**changes))
    assert isinstance(outcome, Invalid)
    assert part in outcome.reason


def test_an_attribute_with_two_values_is_refused() -> None:
    twice = tlv(PRINTABLE, b"0") + tlv(PRINTABLE, b"3")
    assert isinstance(verdict(altered(changed(PKI_STATUS, twice))), Invalid)


@pytest.mark.parametrize("status", ["0", "2", "3"])
def test_signers_that_do_not_belong_to_the_server_are_refused(status: str) -> None:
    client = below_ca("another client", ca=False)
    expired = below_ca("expired RA", ca=False, purposes=(CMC_RA,), not_after=NOW - timedelta(hours=1))
    for signer in (foreign(), client, expired):
        assert isinstance(verdict(ReplyPlan(status=status, signer=signer)), Invalid), signer


def test_an_expired_ra_is_refused_although_it_is_listed() -> None:
    ra = below_ca("expired RA", ca=False, not_after=NOW - timedelta(hours=1))
    server = Authority(ca=authority().ca, ra=ra)
    outcome = verdict(ReplyPlan(), of=server)
    assert isinstance(outcome, Invalid)
    assert "not valid at this time" in outcome.reason


def test_a_registration_authority_below_an_end_entity_is_refused() -> None:
    middle = below_ca("client as issuer", ca=False)
    key = rsa_key("false RA")
    false_ra = certificate("False RA", key, issuer=middle.certificate, issuer_key=middle.key, purposes=(CMC_RA,))
    plan = ReplyPlan(signer=Identity(key=key, certificate=false_ra))
    assert isinstance(verdict(plan.with_signature(embedded_first=(middle.certificate,))), Invalid)


def test_an_embedded_intermediate_leads_to_the_ca() -> None:
    middle = below_ca("Intermediate", ca=True)
    key = rsa_key("deep RA")
    ra = certificate("Deep RA", key, issuer=middle.certificate, issuer_key=middle.key, purposes=(CMC_RA,))
    plan = ReplyPlan(signer=Identity(key=key, certificate=ra))
    assert isinstance(verdict(plan.with_signature(embedded_first=(middle.certificate,))), Success)
    assert isinstance(verdict(plan), Invalid)


def test_a_success_without_envelope_or_with_other_content_is_refused() -> None:
    assert isinstance(verdict(ReplyPlan(content=b"no envelope")), Invalid)
    assert isinstance(verdict(ReplyPlan(envelope=EnvelopePlan(content_type="1.2.840.113549.1.7.2"))), Invalid)


def test_a_reply_signed_by_an_unknown_certificate_that_is_not_embedded_is_refused() -> None:
    assert isinstance(verdict(ReplyPlan(signer=foreign()).with_signature(embeds=False)), Invalid)


# --- outcomes

CONTENTS = [None, b"", b"\0", b"anything"]


@pytest.mark.parametrize("content", CONTENTS)
def test_pending_is_believed_whatever_the_content(content: bytes | None) -> None:
    outcome = verdict(ReplyPlan(status="3", content=content))
    assert isinstance(outcome, Pending)
    assert outcome.cookie


def test_the_cookie_falls_back_to_the_transaction() -> None:
    assert verdict(altered(without(SENDER_NONCE), "3")) == Pending(TRANSACTION)


@pytest.mark.parametrize("content", [None, b""])
def test_an_empty_success_means_pending(content: bytes | None) -> None:
    outcome = verdict(ReplyPlan(content=content))
    assert isinstance(outcome, Pending)
    assert outcome.note


@pytest.mark.parametrize("content", CONTENTS)
def test_failure_is_believed_whatever_the_content(content: bytes | None) -> None:
    assert isinstance(verdict(ReplyPlan(status="2", fail_info="2", content=content)), Rejected)


def test_failures_have_distinct_texts() -> None:
    texts = set()
    for number in [*range(13), 99, None]:
        outcome = verdict(ReplyPlan(status="2", fail_info=None if number is None else str(number)))
        assert isinstance(outcome, Rejected)
        texts.add(outcome.text)
    assert len(texts) == 15
    assert any("99" in text for text in texts)


def test_failinfo_text_is_added_as_one_bounded_clean_line() -> None:
    said = "Schlüssel\r\n\x1b[31mabgelehnt\u2028" + "x" * 10_000
    outcome = verdict(ReplyPlan(status="2", fail_info="2", fail_info_text=said))
    assert isinstance(outcome, Rejected)
    assert "Schlüssel [31mabgelehnt xxx" in outcome.text
    assert outcome.text.isprintable()
    assert len(outcome.text) < 400


def test_failinfo_text_of_another_type_is_refused() -> None:
    assert isinstance(verdict(altered(changed(FAIL_INFO_TEXT, tlv(2, b"\1")), "2")), Invalid)


@cache
def good_body() -> bytes:
    return reply_to(received(), authority(), ReplyPlan())


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_replies_are_never_a_success_with_other_content(data: st.DataObject) -> None:
    body = bytearray(good_body())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] = data.draw(st.integers(0, 255))
    outcome = open_reply(bytes(body), request=REQUEST, trusted=trusted(authority()), now=NOW)
    if isinstance(outcome, Success):
        assert outcome.enveloped in good_body()
    else:
        assert isinstance(outcome, Invalid)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_invalid_without_an_exception(body: bytes) -> None:
    assert isinstance(open_reply(body, request=REQUEST, trusted=trusted(authority()), now=NOW), Invalid)
