"""Counters, the challenge password and the choice of a new key."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from fakes.request_world import (
    NOW,
    PLAIN_CA,
    SCEP_CA,
    World,
    fresh_messages,
    monitored,
    monitored_world,
    with_candidate,
)

from certmongerd.core.effects import GenerateKey, Submit
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import CertAbsent, CertSaved, CsrBuilt, Failed, KeyGenerated, Rekey, Resubmit
from certmongerd.core.machine import step
from certmongerd.core.machine_enroll import has_fresh_messages
from certmongerd.core.model import Ca, KeyAlgorithm, KeyRecord, Request
from certmongerd.core.secret import Secret
from certmongerd.core.states import State
from certmongerd.core.step import Context, Policy

DAY = timedelta(days=1)
CONTEXT = Context(now=NOW, ca=PLAIN_CA)


def saving(request: Request) -> Request:
    return replace(request, state=State.SAVING_CERT)


def saved(request: Request, *, key_swapped: bool, policy: Policy | None = None, ca: Ca = PLAIN_CA) -> Request:
    context = Context(now=NOW, ca=ca, policy=policy or Policy())
    return step(saving(request), CertSaved(key_swapped=key_swapped), context).request


def test_each_certificate_for_a_key_is_counted() -> None:
    request = monitored()
    for count in (1, 2, 3):
        request = saved(request, key_swapped=False)
        assert request.key_issued_count == count


def test_a_swap_makes_the_candidate_the_key_and_counts_anew() -> None:
    request = replace(with_candidate(monitored()), key_issued_count=7)
    after = saved(request, key_swapped=True)
    assert after.key == request.key_next
    assert (after.key_issued_count, after.key_next, after.key_next_marker) == (1, KeyRecord(), "")


def test_a_certificate_for_the_old_key_drops_the_candidate() -> None:
    request = replace(with_candidate(monitored()), key_issued_count=7)
    after = saved(request, key_swapped=False)
    assert after.key == request.key
    assert (after.key_issued_count, after.key_next, after.key_next_marker) == (1, KeyRecord(), "")


def test_a_candidate_is_made_with_the_parameters_of_the_request_and_remembers_when() -> None:
    key = replace(monitored().key, gen_type=KeyAlgorithm.EC, gen_size=384)
    request = replace(monitored(), key=key, state=State.GENERATING_KEY_PAIR, ca_cookie="cookie")
    made = KeyGenerated(type=KeyAlgorithm.EC, size=384, pubkey_info=b"made", marker="AbCdEfGh")
    after = step(request, made, CONTEXT).request
    assert after.key == key
    assert after.key_next == KeyRecord(
        type=KeyAlgorithm.EC,
        size=384,
        gen_type=KeyAlgorithm.EC,
        gen_size=384,
        pubkey_info=b"made",
        generated_at=NOW,
    )
    assert (after.key_next_marker, after.ca_cookie) == ("AbCdEfGh", "")


def test_a_first_key_takes_its_place_at_once() -> None:
    request = replace(monitored(), state=State.GENERATING_KEY_PAIR, key_issued_count=5)
    made = KeyGenerated(type=KeyAlgorithm.RSA, size=3072, pubkey_info=b"made", marker="")
    after = step(request, made, CONTEXT).request
    assert (after.key.size, after.key.generated_at, after.key_issued_count) == (3072, NOW, 0)
    assert after.key_next_marker == ""


def test_submissions_count_for_the_key_that_signed_them() -> None:
    world = monitored_world()
    world.answer = lambda *_: Failed(FailureKind.OTHER, "no luck")
    world.happen(Resubmit())
    assert world.request.key.requested_count == 1
    world.happen(Rekey())
    assert (world.request.key.requested_count, world.request.key_next.requested_count) == (1, 1)


def rekeyed(policy: Policy, change: Callable[[Request], Request] = lambda request: request) -> bool:
    """Whether the next automatic renewal makes a new key."""
    world = monitored_world(policy=policy)
    world.request = change(world.request)
    world.live(365 * DAY)
    assert world.times_of(Submit)
    return bool(world.times_of(GenerateKey))


def test_an_automatic_renewal_keeps_the_key_unless_told_otherwise() -> None:
    assert not rekeyed(Policy(), lambda request: replace(request, key_issued_count=10**6))


@pytest.mark.parametrize(("issued", "expected"), [(1, False), (2, True), (3, True)])
def test_a_key_that_was_used_often_enough_is_changed_at_renewal(issued: int, expected: bool) -> None:
    policy = Policy(max_key_use_count=2)
    assert rekeyed(policy, lambda request: replace(request, key_issued_count=issued)) is expected


@pytest.mark.parametrize(("age", "expected"), [(100, False), (1000, True)])
def test_a_key_that_is_old_enough_is_changed_at_renewal(age: int, expected: bool) -> None:
    policy = Policy(key_expires_at=lambda made: made + timedelta(days=1200))
    made = NOW - timedelta(days=age)
    assert rekeyed(policy, lambda r: replace(r, key=replace(r.key, generated_at=made))) is expected


def test_the_age_of_a_key_that_was_given_is_unknown_and_so_not_limited() -> None:
    assert not rekeyed(Policy(key_expires_at=lambda made: made))


def test_resubmission_keeps_the_key_whatever_its_size_is_to_be_next_time() -> None:
    world = monitored_world(policy=Policy(max_key_use_count=1))
    key = replace(world.request.key, gen_size=4096)
    world.request = replace(world.request, key=key, key_issued_count=5)
    world.happen(Resubmit())
    assert world.times_of(GenerateKey) == []


@pytest.mark.parametrize(
    ("otp", "ca", "scep", "kept"),
    [
        (True, SCEP_CA, True, False),
        (False, SCEP_CA, True, True),
        (True, SCEP_CA, False, True),
        (True, PLAIN_CA, True, True),
    ],
)
def test_a_challenge_password_for_one_use_is_forgotten_after_it(otp: bool, ca: Ca, scep: bool, kept: bool) -> None:
    request = monitored(ca)
    template = replace(request.template, challenge_password=Secret("s"), challenge_password_file="/etc/challenge")
    messages = replace(fresh_messages(), last_nonce=b"new") if scep else request.scep
    request = replace(request, template=template, scep=messages)
    after = saved(request, key_swapped=False, policy=Policy(challenge_password_otp=otp), ca=ca)
    if kept:
        assert after.template == template
    else:
        assert after.template == replace(template, challenge_password=None, challenge_password_file="")


def test_a_new_signing_request_makes_messages_with_the_old_one_useless() -> None:
    request = replace(monitored(SCEP_CA), state=State.GENERATING_CSR, scep=fresh_messages(), ca_cookie="cookie")
    assert has_fresh_messages(request)
    after = step(request, CsrBuilt(csr="CSR", spkac="S"), CONTEXT).request
    assert not has_fresh_messages(after)
    assert (after.ca_cookie, after.scep.tx, after.scep.last_nonce) == ("", "tx", b"old")


def test_scep_messages_are_handed_out_once() -> None:
    request = replace(monitored(SCEP_CA), state=State.HAVE_SCEP_DATA, scep=fresh_messages(), csr="CSR")
    world = World(request=request, ca=SCEP_CA)
    world.deliver(Resubmit())
    world.settle()
    submit = next(effect for _, effect in world.effects if isinstance(effect, Submit))
    assert submit.with_scep
    assert not has_fresh_messages(world.request)


def test_a_certificate_that_vanished_right_after_it_was_stored_is_stored_again() -> None:
    request = replace(monitored(), state=State.READING_CERT, cert="PEM issued")
    for event in (CertAbsent(), Failed(FailureKind.OTHER, "no luck")):
        after = step(request, event, CONTEXT).request
        assert (after.state, after.cert) == (State.START_SAVING_CERT, "PEM issued")
        assert after.ca_error


def test_a_fresh_certificate_counts_as_looked_at() -> None:
    world = monitored_world()
    world.happen(Resubmit())
    checked: set[datetime | None] = {world.request.last_need_notify_check, world.request.last_need_enroll_check}
    assert checked == {NOW}
