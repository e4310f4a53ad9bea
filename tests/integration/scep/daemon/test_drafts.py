"""Servers of every draft of the protocol, from the second to the RFC: first enrolment, pending, refusal, renewal."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from fakes.scep_authority import SENDER_NONCE, Authority, ReplyPlan, ca_with_ra, single_ca
from fakes.scep_cms import EnvelopePlan, SignaturePlan
from fakes.scep_responder import Answer, Scenario, certificates_answer
from scep_rig import ScepRig, chain_of, intermediate_with_ra

NOT_KNOWN = Answer(status=404)


def keep(plan: ReplyPlan) -> ReplyPlan:
    return plan


def as_the_rfc(plan: ReplyPlan) -> ReplyPlan:
    """No senderNonce, a text beside the code."""

    def alter(values: dict[str, bytes]) -> None:
        del values[SENDER_NONCE]

    return replace(plan, alter=alter, fail_info_text="not today" if plan.status == "2" else None)


def as_old_servers(plan: ReplyPlan) -> ReplyPlan:
    """DES and MD5."""
    return replace(plan, envelope=EnvelopePlan(cipher="des"), signature=SignaturePlan(digest="md5"))


def as_ndes(plan: ReplyPlan) -> ReplyPlan:
    """Triple DES, and one byte of content in a failure."""
    shaped = replace(plan, envelope=EnvelopePlan(cipher="des3"))
    return replace(shaped, content=b"\0") if plan.status == "2" else shaped


@dataclass(frozen=True, kw_only=True)
class Draft:
    make: Callable[[], Scenario]
    shape: Callable[[ReplyPlan], ReplyPlan] = keep
    renewal: str = "19"
    signs_with_certificate: bool = True


def second() -> Scenario:
    authority = single_ca()
    return Scenario(
        authority=authority,
        capabilities=NOT_KNOWN,
        certificates={"0": certificates_answer(authority.ca.certificate)},
    )


def third() -> Scenario:
    root, authority = intermediate_with_ra()
    members = (authority.ra.certificate, authority.ca.certificate)
    return Scenario(
        authority=authority,
        capabilities=NOT_KNOWN,
        certificates=certificates_answer(*members),
        chain=chain_of(root.certificate),
    )


def offering(*words: str, authority: Callable[[], Authority] = ca_with_ra) -> Callable[[], Scenario]:
    return lambda: Scenario(authority=authority(), capabilities=Answer(body="\r\n".join(words).encode()))


DRAFTS = {
    "d2": Draft(make=second, shape=as_old_servers, signs_with_certificate=False),
    "d3": Draft(make=third, shape=as_old_servers, signs_with_certificate=False),
    "d10": Draft(make=offering("POSTPKIOperation", "SHA-1", "DES3")),
    "d11": Draft(make=offering("POSTPKIOperation", "Renewal", "SHA-1", "DES3")),
    "d18": Draft(make=offering("POSTPKIOperation", "Renewal", "SHA-512", "SHA-256", "SHA-1", "DES3"), shape=as_ndes),
    "d23": Draft(make=offering("GetNextCACert", "POSTPKIOperation", "Renewal", "SHA-512", "SHA-256", "AES", "DES3")),
    "rfc": Draft(make=offering("SCEPStandard", "Renewal"), shape=as_the_rfc, renewal="17"),
}


@pytest.mark.parametrize("name", DRAFTS)
def test_a_server_of_this_draft_issues_waits_refuses_and_renews(rig: ScepRig, name: str) -> None:
    draft = DRAFTS[name]
    scenario = draft.make()
    pending, issued = draft.shape(ReplyPlan(status="3")), draft.shape(ReplyPlan())
    refused = draft.shape(ReplyPlan(status="2", fail_info="2"))
    scenario.plans = [pending, issued, issued, refused]

    assert rig.enrol(name, scenario)["status"] == "CA_WORKING"
    rig.poll(name, scenario)
    rig.assert_issued(name)
    first = rig.certificate(name)

    rig.again("resubmit", name)
    rig.assert_issued(name)
    renewal = scenario.received[2]
    assert scenario.types == ["19", "20", draft.renewal]
    assert (renewal.signer == first) == draft.signs_with_certificate
    assert rig.certificate(name) != first

    scenario.repeats_transactions = True  # the second request has the same key, and with it the first one's ID
    shown = rig.request(f"{name}-refused", ca=name)
    assert (shown["status"], "badRequest" in shown["ca-error"]) == ("CA_REJECTED", True)
