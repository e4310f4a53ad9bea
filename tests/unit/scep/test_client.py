"""Making the messages of a request, as an independent strict reader sees them."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import count

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.scep_authority import Authority, ReceivedMessage, ca_with_ra, read_message, single_ca
from scep_material import NOW, certificate, ec_key, pem, rsa_key, signing_request

from certmongerd.core.errors import InvalidValue
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, ScepMessages
from certmongerd.scep.client import MissingEncryptionCertificate, NotRsaKey, ScepInputs, build_messages
from certmongerd.scep.message import inspect_outgoing
from certmongerd.scep.oids import Cipher, Digest, MessageType

KEY = rsa_key("client")
NEXT = rsa_key("next")
NONCE = bytes(range(16))
BROKEN_PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
ALL = ("AES", "DES3", "POSTPKIOperation", "Renewal", "SHA-1", "SHA-256", "SCEPStandard")


@cache
def server() -> Authority:
    return ca_with_ra()


@cache
def held() -> x509.Certificate:
    ca = server().ca
    return certificate("client.example.org", KEY, issuer=ca.certificate, issuer_key=ca.key, serial=77)


def ca_of(authority: Authority, *capabilities: str) -> Ca:
    issuer = "" if authority.ca == authority.ra else pem(authority.ca.certificate)
    return Ca(
        id=CaName("scep"),
        capabilities=capabilities,
        encryption_cert=pem(authority.ra.certificate),
        encryption_issuer_cert=issuer,
    )


def distinct_bytes() -> Iterator[bytes]:
    return (bytes((number % 256,)) for number in count(1))


def inputs_for(csr: str = "", **changes: object) -> ScepInputs:
    source = distinct_bytes()
    values: dict[str, object] = {
        "csr": csr or signing_request(KEY, challenge="secret"),
        "ca": ca_of(server(), *ALL),
        "key": KEY,
        "now": NOW,
        "nonce": NONCE,
        "random_bytes": lambda size: next(source) * size,
    }
    return ScepInputs(**{**values, **changes})  # type: ignore[arg-type]  # test shorthand


def read(message: str) -> ReceivedMessage:
    lines = message.splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN PKCS7-----", "-----END PKCS7-----")
    assert max(map(len, lines)) == 64
    return read_message(base64.b64decode("".join(lines[1:-1])), server().ra.rsa_key)


def der_of(message: str) -> bytes:
    return base64.b64decode("".join(message.splitlines()[1:-1]))


def test_a_first_request_is_signed_with_a_self_signed_certificate() -> None:
    inputs = inputs_for()
    messages = build_messages(inputs)

    request = read(messages.req)
    assert request.message_type == "19"
    assert (request.transaction_id, request.sender_nonce) == (messages.tx, NONCE)
    assert (request.cipher, request.digest) == ("aes128", "sha256")
    assert request.csr.public_bytes(Encoding.PEM).decode() == inputs.csr
    assert request.challenge == "secret"
    assert request.signer.public_bytes(Encoding.DER) == messages.minicert
    assert request.signer.subject == request.signer.issuer
    assert (messages.req_next, messages.gic_next) == ("", "")
    assert messages.nonce == NONCE


def test_a_poll_names_the_issuing_ca_and_the_subject() -> None:
    poll = read(build_messages(inputs_for()).gic)
    assert poll.message_type == "20"
    names = core.Sequence.load(poll.plaintext, strict=True)
    assert names[0].dump() == server().ca.certificate.subject.public_bytes()
    assert names[1].dump() == x509.load_pem_x509_csr(signing_request(KEY).encode()).subject.public_bytes()


def test_a_poll_to_a_single_ca_names_that_ca() -> None:
    authority = single_ca()
    message = build_messages(inputs_for(ca=ca_of(authority))).gic
    plaintext = read_message(der_of(message), authority.ra.rsa_key).plaintext
    assert core.Sequence.load(plaintext)[0].dump() == authority.ca.certificate.subject.public_bytes()


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("digest", Digest)
def test_every_cipher_and_digest_can_be_set(cipher: Cipher, digest: Digest) -> None:
    ca = replace(ca_of(server()), scep_cipher=cipher.value.lower(), scep_digest=digest.value)
    request = read(build_messages(inputs_for(ca=ca)).req)
    assert (request.cipher, request.digest) == (cipher.value.lower(), digest.value.lower())


def test_a_server_that_offers_nothing_gets_triple_des_and_sha1() -> None:
    request = read(build_messages(inputs_for(ca=ca_of(server()))).req)
    assert (request.cipher, request.digest) == ("des3", "sha1")


def test_a_renewal_is_signed_with_the_certificate_held_in_another_transaction() -> None:
    first = build_messages(inputs_for())
    renewal = build_messages(inputs_for(certificate=pem(held()), old=first))

    request = read(renewal.req)
    assert request.signer == held()
    assert request.message_type == "17"
    assert renewal.tx != first.tx
    assert read(renewal.gic).signer == held()
    assert renewal.minicert == b""


@pytest.mark.parametrize(
    ("words", "message_type"),
    [
        (("Renewal", "SCEPStandard"), "17"),
        (("Renewal", "AES", "SHA-256"), "19"),
        (("SCEPStandard",), "19"),
    ],
)
def test_renewal_req_is_for_servers_that_announce_both_renewal_and_the_rfc(
    words: tuple[str, ...], message_type: str
) -> None:
    messages = build_messages(inputs_for(certificate=pem(held()), ca=ca_of(server(), *words)))
    assert read(messages.req).message_type == message_type
    assert messages.has_renewal_req == (message_type == "17")


def test_a_first_request_is_never_a_renewal_req() -> None:
    messages = build_messages(inputs_for())
    assert (read(messages.req).message_type, messages.has_renewal_req) == ("19", False)


def test_a_server_that_refused_a_renewal_req_gets_a_pkcs_req_signed_with_the_certificate() -> None:
    old = ScepMessages(avoids_renewal_req=True)
    messages = build_messages(inputs_for(certificate=pem(held()), old=old))
    assert (read(messages.req).message_type, messages.has_renewal_req) == ("19", False)
    assert read(messages.req).signer == held()
    assert messages.avoids_renewal_req


def finished(messages: ScepMessages) -> ScepMessages:
    return ScepMessages(tx=messages.tx, last_nonce=messages.nonce)


def test_each_transaction_after_a_finished_one_has_another_id_and_retries_keep_theirs() -> None:
    seen: list[str] = []
    old = ScepMessages()
    for _ in range(5):
        messages = build_messages(inputs_for(old=old))
        assert messages.tx not in seen
        assert build_messages(inputs_for(old=messages)).tx == messages.tx, "a retry is the same transaction"
        seen.append(messages.tx)
        old = finished(messages)


def test_a_renewal_after_a_rejected_renewal_is_another_transaction() -> None:
    first = build_messages(inputs_for(certificate=pem(held())))
    again = build_messages(inputs_for(certificate=pem(held()), old=finished(first)))
    assert again.tx != first.tx


def test_a_renewal_to_a_server_that_offers_nothing_is_self_signed() -> None:
    renewal = build_messages(inputs_for(certificate=pem(held()), ca=ca_of(server())))
    assert read(renewal.req).signer.public_bytes(Encoding.DER) == renewal.minicert


@pytest.mark.parametrize("reason", ["expired", "other CA", "other key", "unreadable"])
def test_a_certificate_that_cannot_sign_is_replaced_by_a_self_signed_one(reason: str) -> None:
    ca = server().ca
    text = {
        "expired": pem(
            certificate("client", KEY, issuer=ca.certificate, issuer_key=ca.key, not_after=NOW - timedelta(minutes=1))
        ),
        "other CA": pem(certificate("client", KEY)),
        "other key": pem(certificate("client", NEXT, issuer=ca.certificate, issuer_key=ca.key)),
        "unreadable": BROKEN_PEM,
    }[reason]
    messages = build_messages(inputs_for(certificate=text))
    assert read(messages.req).signer.public_bytes(Encoding.DER) == messages.minicert


def test_a_rekey_has_messages_of_the_old_and_of_the_new_key() -> None:
    csr = signing_request(NEXT)
    messages = build_messages(inputs_for(csr, key_next=NEXT, certificate=pem(held())))

    plain, rekey = read(messages.req), read(messages.req_next)
    assert plain.signer == held()
    assert rekey.signer.public_bytes(Encoding.DER) == messages.minicert
    assert rekey.signer.public_key() == NEXT.public_key()
    assert plain.csr == rekey.csr
    assert plain.transaction_id == rekey.transaction_id == messages.tx
    assert (read(messages.gic).signer, read(messages.gic_next).signer) == (plain.signer, rekey.signer)


def test_a_rekey_from_an_ec_key_is_an_enrolment_of_the_new_key() -> None:
    old = certificate("client", ec_key("old"), issuer=server().ca.certificate, issuer_key=server().ca.key)
    csr = signing_request(NEXT)
    messages = build_messages(inputs_for(csr, key=ec_key("old"), key_next=NEXT, certificate=pem(old)))
    assert (messages.req, messages.gic) == ("", "")
    assert read(messages.req_next).signer.public_key() == NEXT.public_key()


def test_transaction_and_self_signed_certificate_stay_while_nonces_change() -> None:
    first = build_messages(inputs_for())
    later = build_messages(inputs_for(old=first, nonce=bytes(16), now=NOW + timedelta(hours=5)))
    assert (later.tx, later.minicert) == (first.tx, first.minicert)
    assert read(later.req).sender_nonce == bytes(16)
    assert der_of(later.req) != der_of(first.req)


def test_a_running_transaction_keeps_an_id_made_by_another_program() -> None:
    own = certificate("client.example.org", KEY, identifiers=False)
    old = ScepMessages(tx="FROM-ELSEWHERE", minicert=own.public_bytes(Encoding.DER))
    polled = read(build_messages(inputs_for(old=old, is_polling=True)).gic)
    assert polled.transaction_id == "FROM-ELSEWHERE"
    assert polled.signer == own
    assert build_messages(inputs_for(old=old)).tx != "FROM-ELSEWHERE"


def test_the_last_nonce_is_kept() -> None:
    assert build_messages(inputs_for(old=ScepMessages(last_nonce=b"used"))).last_nonce == b"used"


def test_messages_pass_the_check_before_sending() -> None:
    messages = build_messages(inputs_for())
    outgoing = inspect_outgoing(
        der_of(messages.req), ra=server().ra.certificate, accepted=frozenset({MessageType.PKCS_REQ})
    )
    assert (outgoing.transaction_id, outgoing.sender_nonce) == (messages.tx, NONCE)


def test_without_an_rsa_key_there_are_no_messages() -> None:
    key = ec_key("client")
    with pytest.raises(NotRsaKey, match="key is EC"):
        build_messages(inputs_for(signing_request(key), key=key))


@pytest.mark.parametrize(
    "encryption_cert",
    [
        "",
        "rubbish",
        BROKEN_PEM,
        pem(certificate("EC", ec_key("ra"))),
    ],
)
def test_without_a_usable_encryption_certificate_there_are_no_messages(encryption_cert: str) -> None:
    ca = replace(ca_of(server()), encryption_cert=encryption_cert)
    with pytest.raises(MissingEncryptionCertificate, match="CA scep"):
        build_messages(inputs_for(ca=ca))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"csr": "rubbish"}, "csr"),
        ({"key": NEXT}, "csr"),
        ({"nonce": b"short"}, "nonce"),
        ({"ca": Ca(id=CaName("x"), scep_cipher="bogus")}, "scep-cipher"),
        ({"ca": Ca(id=CaName("x"), scep_digest="bogus")}, "scep-digest"),
    ],
)
def test_unusable_inputs_are_named(changes: dict[str, object], what: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        build_messages(inputs_for(**changes))  # type: ignore[arg-type]  # test shorthand
    assert refused.value.what == what


def test_an_unreadable_pool_certificate_does_not_stop_a_renewal() -> None:
    ca = replace(ca_of(server(), *ALL), encryption_cert_pool=BROKEN_PEM)
    assert read(build_messages(inputs_for(ca=ca, certificate=pem(held()))).req).signer == held()


def test_inputs_do_not_show_keys() -> None:
    assert "RSAPrivateKey" not in repr(inputs_for())
