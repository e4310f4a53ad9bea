"""What the daemon makes of a verified reply: envelopes it opens, certificates it stores, and those it refuses."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.scep_authority import Authority, ReplyPlan, ca_with_ra
from fakes.scep_cms import EnvelopePlan, SignaturePlan, certificates_only, indefinite
from fakes.scep_responder import Scenario
from scep_material import certificate, rsa_key, signing_request
from scep_rig import ScepRig

AUTHORITY = ca_with_ra()


def shaped(**shape: object) -> ReplyPlan:
    return ReplyPlan(envelope=replace(EnvelopePlan(), **shape))  # type: ignore[arg-type]  # test shorthand


def holding(*, order: Callable[[x509.Certificate, Authority], list[x509.Certificate]]) -> ReplyPlan:
    """A bag with the issued certificate and the server's, in an order."""
    return ReplyPlan(payload=lambda csr: certificates_only(order(AUTHORITY.issue(csr), AUTHORITY)))


def bystander() -> x509.Certificate:
    return certificate("somebody else", rsa_key("bystander"))


OPENED = {
    "E1": shaped(cipher="des"),
    "E2": shaped(cipher="des", form="constructed"),
    "E3-des3": shaped(cipher="des3"),
    "E3-aes128": shaped(cipher="aes128"),
    "E3-aes192": shaped(cipher="aes192"),
    "E3-aes256": shaped(cipher="aes256"),
    "E4-sha1": shaped(transport="oaep-sha1"),
    "E4-sha256": shaped(transport="oaep-sha256"),
    "E6": shaped(form="indefinite"),
    "E7": ReplyPlan(signature=SignaturePlan(wrap=indefinite)),
    "E8": ReplyPlan(payload=lambda csr: AUTHORITY.issue(csr).public_bytes(Encoding.DER)),
    "E9-leaf-first": holding(order=lambda leaf, server: [leaf, *server.certificates]),
    "E9-leaf-last": holding(order=lambda leaf, server: [*server.certificates, leaf]),
    "E17": shaped(cipher="gcm128"),
    "V2": ReplyPlan(signature=SignaturePlan(scheme="digest-with-rsa")),
    "V3": ReplyPlan(signature=SignaturePlan(embeds=False)),
    "V9": ReplyPlan(signer=AUTHORITY.ca),
}


@pytest.mark.parametrize("name", OPENED)
def test_a_reply_in_this_form_is_opened_and_stored(rig: ScepRig, name: str) -> None:
    root = rig.daemon.certs / f"{name}.roots"
    rig.enrol(name, Scenario(authority=AUTHORITY, plans=[OPENED[name]]), "-F", str(root))
    rig.assert_issued(name)
    assert not root.exists(), "nobody vouches for certificates that came by SCEP"


def test_two_recipients_of_whom_the_second_is_ours(rig: ScepRig) -> None:
    scenario = Scenario(authority=AUTHORITY, plans=[ReplyPlan(status="3")])
    rig.enrol("E11", scenario)
    scenario.plans = [ReplyPlan(recipients=[bystander(), scenario.received[0].signer])]
    rig.poll("E11", scenario)
    rig.assert_issued("E11")


def test_a_recipient_named_by_its_key_is_ours(rig: ScepRig) -> None:
    """The signer of a first request has no key identifier, so the server makes it of the key."""
    scenario = Scenario(authority=AUTHORITY, plans=[ReplyPlan()])
    rig.enrol("E5", scenario)
    rig.assert_issued("E5")
    scenario.plans = [shaped(names_key=True)]
    before = rig.certificate("E5")
    rig.again("resubmit", "E5")
    rig.assert_issued("E5")
    assert rig.certificate("E5") != before


REFUSED: Mapping[str, tuple[Callable[[], ReplyPlan], str]] = {
    "E10": (lambda: ReplyPlan(recipients=[bystander()]), "not addressed to our key"),
    "E12": (
        lambda: ReplyPlan(
            payload=certificates_only(
                [AUTHORITY.issue(x509.load_pem_x509_csr(signing_request(rsa_key("bystander")).encode()))]
            )
        ),
        "for another key",
    ),
    "E16-padding": (lambda: shaped(fault="padding"), "scep-cipher"),
    "E16-truncated": (lambda: shaped(fault="truncated"), "cut off"),
    "E16-iv": (lambda: shaped(fault="iv"), "initialisation vector"),
    "E16-junk": (lambda: ReplyPlan(payload=b"junk"), "decrypt"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_reply_that_cannot_be_used_is_explained_and_stores_nothing(rig: ScepRig, name: str) -> None:
    plan, words = REFUSED[name]
    shown = rig.enrol(name, Scenario(authority=AUTHORITY, plans=[plan()]))
    assert shown["status"] == "NEED_GUIDANCE"
    assert words in shown["ca-error"]
    assert not (rig.daemon.certs / f"{name}.crt").exists()


INVALID = {
    "E14": (ReplyPlan(content=b"\x30\x03\x02\x01\x01"), "EnvelopedData"),
    "E15": (shaped(content_type="1.2.840.113549.1.7.2"), "type data"),
    "V5": (ReplyPlan(signature=SignaturePlan(flips_signature=True)), "signature is not valid"),
    "V6": (ReplyPlan(signature=SignaturePlan(wrong_message_digest=True)), "messageDigest"),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_reply_that_does_not_verify_leaves_the_request_to_the_next_attempt(rig: ScepRig, name: str) -> None:
    plan, words = INVALID[name]
    scenario = Scenario(authority=AUTHORITY, plans=[plan, ReplyPlan()], repeats_transactions=True)
    shown = rig.enrol(name, scenario)
    assert (shown["status"], words in shown["ca-error"]) == ("CA_UNREACHABLE", True), shown
    rig.poll(name, scenario)
    rig.assert_issued(name)
    assert len({each.transaction_id for each in scenario.received}) == 1


@pytest.mark.parametrize("code", [*map(str, range(13)), "99", None])
def test_a_failure_is_a_rejection_in_words(rig: ScepRig, code: str | None) -> None:
    name = f"F{code}"
    plan = ReplyPlan(status="2", fail_info=code, fail_info_text="ask the desk\n\0about it")
    shown = rig.enrol(name, Scenario(authority=AUTHORITY, plans=[plan]))
    assert shown["status"] == "CA_REJECTED"
    assert "ask the desk about it" in shown["ca-error"]
    assert len(shown["ca-error"]) < 400


def test_a_challenge_password_that_the_server_repeats_is_not_shown(rig: ScepRig) -> None:
    plan = ReplyPlan(status="2", fail_info="2", fail_info_text='the challenge "open sesame 7" is wrong')
    shown = rig.enrol("repeats", Scenario(authority=AUTHORITY, plans=[plan]), "-L", "open sesame 7")
    assert shown["status"] == "CA_REJECTED"
    assert 'the challenge "…" is wrong' in shown["ca-error"]
    assert "open sesame" not in rig.daemon.log.read_text()
