"""How requests deal with CAs that refuse, wait, fail or talk nonsense, and with stores that do not store."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.request_events import RESULTS
from fakes.request_phases import (
    CSR,
    DONE,
    KEY,
    READING,
    REJECTION,
    SAVE,
    SCEP,
    SUBMIT,
    enrolled,
    last_submission,
    names,
    words,
)
from fakes.request_world import (
    NOW,
    OLD_SPKI,
    PLAIN_CA,
    SCEP_CA,
    issue_again,
    monitored,
    monitored_world,
    new_request,
    submitting,
)

from certmongerd.core.effects import (
    Idle,
    Notice,
    Notify,
    Operation,
    ReadKey,
    SaveCaCerts,
    SaveCert,
    Submit,
    Wait,
)
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    Begin,
    Event,
    Failed,
    Impossible,
    NeedKeyPair,
    NeedScepMessages,
    Rejected,
    Rekey,
    Resubmit,
    Unconfigured,
    Unreachable,
    Unusable,
    Working,
)
from certmongerd.core.machine import step
from certmongerd.core.model import Request
from certmongerd.core.states import State
from certmongerd.core.step import Context


def test_a_rejected_rekey_keeps_certificate_and_key_and_goes_on_watching() -> None:
    world = monitored_world(answer=lambda *_: Rejected("not yours"))
    before = world.request
    world.states.clear()
    world.happen(Rekey())
    assert names(world) == words(KEY, CSR, SUBMIT, "MONITORING")
    assert (world.request.cert, world.request.key) == (before.cert, before.key)
    assert world.request.ca_error == "not yours"
    assert world.disk.spki == OLD_SPKI


def test_a_rejection_without_a_certificate_is_told_and_rests() -> None:
    world = enrolled(PLAIN_CA, Rejected("not yours"))
    assert names(world) == words(READING, KEY, CSR, SUBMIT, REJECTION)
    assert (world.action, world.request.ca_error, world.request.ca_cookie) == (Idle(), "not yours", "")
    assert world.request.is_stuck


def test_a_rejected_renewal_is_not_told_and_not_repeated_before_the_next_threshold() -> None:
    world = monitored_world(answer=lambda *_: Rejected("not yours"))
    world.live(timedelta(days=365 - 27))
    first = len(world.times_of(Submit))
    world.live(timedelta(days=19))
    assert (first, len(world.times_of(Submit))) == (1, 1)
    assert Notify(Notice.REJECTION) not in [effect for _, effect in world.effects]
    world.live(timedelta(days=2))
    assert len(world.times_of(Submit)) == 2


def test_an_unreachable_ca_is_asked_again_after_a_minute_then_less_and_less_often() -> None:
    world = enrolled(PLAIN_CA, *[Unreachable("no route")] * 12)
    assert names(world)[-1] == "CA_UNREACHABLE"
    assert not world.request.is_stuck
    delays = [world.wait() for _ in range(11)]
    assert delays == [timedelta(minutes=m) for m in (1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360)]
    assert world.request.ca_error == "no route"
    world.wait()
    assert names(world)[-1] == "MONITORING"
    assert world.request.ca_error == ""


def test_a_repeated_submission_of_an_unreachable_ca_reuses_key_and_signing_request() -> None:
    world = enrolled(PLAIN_CA, Unreachable("no route"))
    world.states.clear()
    world.wait()
    assert names(world) == words(SUBMIT, SAVE, DONE)


def test_a_pending_request_is_polled_with_its_cookie_after_the_ca_s_delay() -> None:
    world = enrolled(PLAIN_CA, Working(cookie="a=1", delay=timedelta(seconds=7)))
    assert names(world) == words(READING, KEY, CSR, SUBMIT, "CA_WORKING")
    assert world.request.ca_cookie == "a=1"
    assert world.wait() == timedelta(seconds=7)
    assert last_submission(world) == Submit(Operation.POLL, with_scep=False)
    assert names(world)[-len(words(SUBMIT, SAVE, DONE)) :] == words(SUBMIT, SAVE, DONE)
    assert world.request.ca_cookie == ""
    assert world.request.key.requested_count == 1


def test_a_delay_without_a_cookie_submits_anew() -> None:
    world = enrolled(PLAIN_CA, Working(cookie="", delay=timedelta(seconds=3)))
    world.wait()
    assert [effect for _, effect in world.effects if isinstance(effect, Submit)] == [
        Submit(Operation.SUBMIT, with_scep=False),
        Submit(Operation.SUBMIT, with_scep=False),
    ]
    assert world.request.key.requested_count == 2


def test_a_pending_request_without_a_delay_is_polled_less_and_less_often() -> None:
    world = enrolled(PLAIN_CA, *[Working(cookie="c")] * 4)
    assert [world.wait() for _ in range(4)] == [timedelta(minutes=m) for m in (1, 2, 4, 8)]


def test_polls_that_are_wanted_at_once_slow_down() -> None:
    world = enrolled(PLAIN_CA, *[Working(cookie="c", delay=timedelta(0))] * 40)
    delays = [world.wait() for _ in range(40)]
    assert delays[:3] == [timedelta(0), timedelta(seconds=1), timedelta(seconds=1)]
    assert set(delays[-10:]) == {timedelta(seconds=15)}


def test_a_pending_scep_request_is_polled_with_fresh_messages() -> None:
    world = enrolled(SCEP_CA, Working(cookie="tx", delay=timedelta(seconds=60)))
    world.states.clear()
    world.wait()
    assert names(world) == words("NEED_TO_SUBMIT", SCEP, SUBMIT, SAVE, DONE)
    assert last_submission(world) == Submit(Operation.POLL, with_scep=True)
    assert world.disk.messages_made == 2


def test_an_unconfigured_ca_stops_an_enrolment_but_is_asked_again() -> None:
    world = enrolled(PLAIN_CA, Unconfigured("no settings"))
    assert names(world)[-1] == "CA_UNCONFIGURED"
    assert world.request.is_stuck
    assert world.wait() == timedelta(minutes=1)
    assert names(world)[-1] == "MONITORING"


@pytest.mark.parametrize("answer", [Unconfigured("no settings"), Unusable("gibberish")])
def test_trouble_at_a_renewal_does_not_end_the_watch_over_a_valid_certificate(answer: Event) -> None:
    world = monitored_world(answer=lambda *_: answer)
    world.happen(Resubmit())
    assert names(world)[-1] == "MONITORING"
    assert world.request.ca_error in {"no settings", "gibberish"}
    assert isinstance(world.action, Wait)


def test_an_unusable_answer_to_an_enrolment_needs_guidance() -> None:
    world = enrolled(PLAIN_CA, Unusable("gibberish"))
    assert names(world)[-1] == "NEED_GUIDANCE"
    assert world.request.ca_error == "gibberish"
    assert world.action == Idle()


def test_a_helper_that_is_never_content_with_its_scep_messages_is_given_up() -> None:
    world = enrolled(SCEP_CA, *[NeedScepMessages(were_given=True)] * 100)
    delays = []
    while isinstance(world.action, Wait):
        delays.append(world.wait())
    assert delays == [timedelta(minutes=m) for m in (1, 2, 4, 8, 16)]
    assert names(world)[-1] == "NEED_GUIDANCE"
    assert "keeps asking for SCEP messages" in world.request.ca_error
    assert len(world.times_of(Submit)) == 6


def test_a_helper_that_keeps_wanting_new_keys_is_given_up() -> None:
    world = enrolled(PLAIN_CA, *[NeedKeyPair()] * 100)
    delays = []
    while isinstance(world.action, Wait):
        delays.append(world.wait())
    assert delays == [timedelta(seconds=s) for s in (30, 60, 120)]
    assert names(world)[-1] == "NEED_GUIDANCE"
    assert "keeps asking for a new key" in world.request.ca_error


def test_a_new_key_on_demand_after_many_polls_is_not_mistaken_for_a_loop() -> None:
    pending = Working(cookie="c", delay=timedelta(seconds=60))
    world = enrolled(PLAIN_CA, *[pending] * 10, NeedKeyPair())
    world.states.clear()
    for _ in range(11):
        world.wait()
    assert names(world)[-len(words(KEY, CSR, SUBMIT, SAVE, DONE)) :] == words(KEY, CSR, SUBMIT, SAVE, DONE)


def test_a_new_key_on_demand_submits_without_the_old_cookie() -> None:
    world = enrolled(PLAIN_CA, Working(cookie="c"), NeedKeyPair())
    world.wait()
    world.wait()
    assert last_submission(world).operation is Operation.SUBMIT


@pytest.mark.parametrize("command", [Resubmit(), Rekey()])
def test_a_command_for_a_pending_request_submits_instead_of_polling(command: Event) -> None:
    world = enrolled(PLAIN_CA, Working(cookie="c"))
    world.happen(command)
    assert last_submission(world).operation is Operation.SUBMIT
    assert names(world)[-1] == "MONITORING"


def test_a_certificate_that_cannot_be_saved_is_told_and_tried_again_less_and_less_often() -> None:
    world = enrolled()
    world.overrides = {SaveCert: Failed(FailureKind.OTHER, "disk full")}
    world.states.clear()
    world.happen(Resubmit())
    failing = "NEED_TO_NOTIFY_ISSUED_SAVE_FAILED NOTIFYING_ISSUED_SAVE_FAILED START_SAVING_CERT"
    assert names(world) == words(CSR, SUBMIT, "NEED_TO_SAVE_CERT START_SAVING_CERT SAVING_CERT", failing)
    assert [world.wait() for _ in range(3)] == [timedelta(minutes=m) for m in (1, 2, 4)]
    assert world.request.ca_error == "disk full"
    world.overrides = {}
    world.wait()
    assert names(world)[-1] == "MONITORING"
    assert world.disk.certificate == (world.request.cert, world.request.cert_facts)


def test_ca_certificates_that_cannot_be_saved_are_told_and_tried_again() -> None:
    world = enrolled()
    world.overrides = {SaveCaCerts: Failed(FailureKind.OTHER, "disk full")}
    world.states.clear()
    world.happen(Resubmit())
    failing = "NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED NOTIFYING_ISSUED_CA_SAVE_FAILED NEED_TO_SAVE_CA_CERTS"
    assert names(world) == words(CSR, SUBMIT, *words(SAVE)[:7], failing)
    assert [world.wait() for _ in range(3)] == [timedelta(minutes=m) for m in (1, 2, 4)]
    world.overrides = {}
    world.wait()
    assert names(world)[-1] == "MONITORING"


def test_a_restart_amid_saving_stores_the_certificate_that_was_issued() -> None:
    world = monitored_world()
    world.overrides = {SaveCert: Failed(FailureKind.PERMS, "read-only")}
    world.happen(Rekey())
    assert names(world)[-1] == "NEED_CERTSAVE_PERMS"
    issued = world.request.cert
    world.overrides = {}
    world.restart()
    assert names(world)[-1] == "MONITORING"
    assert world.disk.certificate is not None
    assert world.disk.certificate[0] == world.request.cert == issued
    assert world.disk.spki == b"public key number 2"


def test_a_key_that_vanished_is_made_again_but_not_at_once() -> None:
    world = monitored_world()
    world.request = replace(world.request, state=State.HAVE_KEY_PAIR)
    world.disk.spki = None
    world.happen(Begin())
    assert names(world)[-1] == "NEED_KEY_PAIR"
    assert world.wait() == timedelta(seconds=30)
    assert names(world)[-1] == "MONITORING"


def test_a_candidate_that_vanished_leaves_the_old_key_and_is_made_again() -> None:
    world = monitored_world()
    world.overrides = {ReadKey: Failed(FailureKind.PIN, "no PIN")}
    world.happen(Rekey())
    assert names(world)[-1] == "NEED_KEYINFO_READ_PIN"
    world.overrides, world.disk.candidate = {}, None
    world.restart()
    assert (names(world)[-1], world.request.key_next_marker) == ("NEED_KEY_PAIR", "")
    assert world.disk.spki == OLD_SPKI
    world.wait()
    assert world.request.key.pubkey_info == b"public key number 3"


@pytest.mark.parametrize("known", [new_request(), monitored()])
def test_the_end_of_every_submission_is_remembered(known: Request) -> None:
    later = NOW + timedelta(hours=1)
    answers = [event for event in RESULTS[Submit] if not isinstance(event, Failed | Impossible)]
    for answer in answers:
        request = replace(submitting(known), submitted=NOW)
        for case in (request, replace(request, demands=100)):
            assert step(case, answer, Context(now=later, ca=PLAIN_CA)).request.submitted == later


def test_a_renewal_starts_counting_the_ca_s_demands_anew() -> None:
    world = monitored_world()
    world.request = replace(world.request, demands=3, attempts=9)
    world.answer = lambda world, effect: NeedKeyPair() if world.request.demands == 0 else issue_again(world, effect)
    world.live(timedelta(days=365 - 27))
    assert world.issued == 1
    assert world.request.key.pubkey_info == b"public key number 2"


def test_an_enrolment_says_when_it_was_submitted() -> None:
    world = enrolled(PLAIN_CA, Unreachable("no route"))
    assert world.request.submitted == NOW
    world.wait()
    assert world.request.submitted == NOW + timedelta(minutes=1)
