"""Where each kind of failure of each effect leads."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from fakes.request_events import RESULTS
from fakes.request_world import NOW, PLAIN_CA, SCEP_CA, Answer, Disk, World, issue_again, monitored, new_request
from hypothesis import given, settings
from hypothesis import strategies as st

from certmongerd.core.effects import Action, Effect, Idle, Submit, Wait
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    Begin,
    Event,
    Failed,
    Impossible,
    Issued,
    NeedScepMessages,
    Rekey,
    Resubmit,
    ScepBuilt,
    ScepImpossible,
    ScepObstacle,
)
from certmongerd.core.machine import step
from certmongerd.core.model import Hook, Request
from certmongerd.core.states import STUCK_STATES, State
from certmongerd.core.step import Context, Policy

S = State
PERMS, PIN, TOKEN, OTHER = FailureKind.PERMS, FailureKind.PIN, FailureKind.TOKEN, FailureKind.OTHER

LEADS_TO: Final[dict[State, dict[FailureKind, State]]] = {
    S.NEWLY_ADDED_READING_KEYINFO: {
        PIN: S.NEWLY_ADDED_NEED_KEYINFO_READ_PIN,
        TOKEN: S.NEWLY_ADDED_NEED_KEYINFO_READ_TOKEN,
        # A key that is there but of no use must not be replaced by a new one.
        PERMS: S.NEED_GUIDANCE,
        OTHER: S.NEED_GUIDANCE,
    },
    S.NEWLY_ADDED_READING_CERT: dict.fromkeys(FailureKind, S.NEWLY_ADDED_DECIDING),
    S.GENERATING_KEY_PAIR: {
        PERMS: S.NEED_KEY_GEN_PERMS,
        PIN: S.NEED_KEY_GEN_PIN,
        TOKEN: S.NEED_KEY_GEN_TOKEN,
        OTHER: S.NEED_KEY_PAIR,
    },
    S.READING_KEYINFO: {
        PERMS: S.NEED_KEYINFO,
        PIN: S.NEED_KEYINFO_READ_PIN,
        TOKEN: S.NEED_KEYINFO_READ_TOKEN,
        OTHER: S.NEED_KEYINFO,
    },
    S.GENERATING_CSR: {
        PERMS: S.NEED_CSR,
        PIN: S.NEED_CSR_GEN_PIN,
        TOKEN: S.NEED_CSR_GEN_TOKEN,
        OTHER: S.NEED_CSR,
    },
    S.GENERATING_SCEP_DATA: {
        PERMS: S.NEED_SCEP_DATA,
        PIN: S.NEED_SCEP_GEN_PIN,
        TOKEN: S.NEED_SCEP_GEN_TOKEN,
        OTHER: S.NEED_SCEP_DATA,
    },
    S.SUBMITTING: {
        PERMS: S.CA_UNREACHABLE,
        PIN: S.NEED_CSR_GEN_PIN,
        TOKEN: S.NEED_CSR_GEN_TOKEN,
        OTHER: S.CA_UNREACHABLE,
    },
    S.SAVING_CERT: {
        PERMS: S.NEED_CERTSAVE_PERMS,
        PIN: S.NEED_CERTSAVE_PIN,
        TOKEN: S.NEED_CERTSAVE_TOKEN,
        OTHER: S.NEED_TO_NOTIFY_ISSUED_SAVE_FAILED,
    },
    S.SAVING_CA_CERTS: {
        PERMS: S.NEED_CA_CERT_SAVE_PERMS,
        PIN: S.NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED,
        TOKEN: S.NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED,
        OTHER: S.NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED,
    },
    S.SAVING_ONLY_CA_CERTS: {
        PERMS: S.NEED_ONLY_CA_CERT_SAVE_PERMS,
        PIN: S.NEED_TO_NOTIFY_ONLY_CA_SAVE_FAILED,
        TOKEN: S.NEED_TO_NOTIFY_ONLY_CA_SAVE_FAILED,
        OTHER: S.NEED_TO_NOTIFY_ONLY_CA_SAVE_FAILED,
    },
    S.READING_CERT: dict.fromkeys(FailureKind, S.START_SAVING_CERT),
}


@pytest.mark.parametrize("state", LEADS_TO)
def test_each_kind_of_failure_has_its_state_and_its_reason_is_kept(state: State) -> None:
    for kind, expected in LEADS_TO[state].items():
        after = step(replace(new_request(), state=state), Failed(kind, "no luck"), Context(now=NOW)).request
        assert after.state is expected
        if state is not S.NEWLY_ADDED_READING_CERT:
            assert after.ca_error == "no luck"


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (S.PRE_SAVE_CERT, S.NEED_TO_SAVE_CERT),
        (S.POST_SAVED_CERT, S.NEED_TO_NOTIFY_ISSUED_SAVED),
        (S.NOTIFYING_ISSUED_SAVED, S.MONITORING),
        (S.NOTIFYING_REJECTION, S.CA_REJECTED),
        (S.NOTIFYING_ISSUED_SAVE_FAILED, S.START_SAVING_CERT),
        (S.NOTIFYING_ISSUED_CA_SAVE_FAILED, S.NEED_TO_SAVE_CA_CERTS),
        (S.NOTIFYING_ONLY_CA_SAVE_FAILED, S.MONITORING),
        (S.NOTIFYING_VALIDITY, S.MONITORING),
    ],
)
def test_commands_and_notices_that_break_hold_nothing_up(state: State, expected: State, kind: FailureKind) -> None:
    request = replace(monitored(), state=state, last_need_enroll_check=NOW)
    assert step(request, Failed(kind, "no luck"), Context(now=NOW)).request.state is expected


@pytest.mark.parametrize(
    ("obstacle", "expected", "action"),
    [
        (ScepObstacle.NO_ENCRYPTION_CERTIFICATE, S.NEED_SCEP_ENCRYPTION_CERT, Wait(timedelta(hours=6))),
        (ScepObstacle.NOT_RSA, S.NEED_SCEP_RSA_CLIENT_KEY, Idle()),
        (ScepObstacle.BAD_SETTING, S.NEED_GUIDANCE, Idle()),
    ],
)
def test_what_keeps_scep_messages_from_being_made_has_its_state(
    obstacle: ScepObstacle, expected: State, action: Action
) -> None:
    event = ScepImpossible(obstacle=obstacle, reason="no")
    outcome = step(replace(new_request(), state=S.GENERATING_SCEP_DATA), event, Context(now=NOW, ca=SCEP_CA))
    assert (outcome.request.state, outcome.request.ca_error, outcome.action) == (expected, "no", action)


def test_a_bad_scep_setting_does_not_end_the_watch_over_a_valid_certificate() -> None:
    event = ScepImpossible(obstacle=ScepObstacle.BAD_SETTING, reason="unknown cipher")
    outcome = step(replace(monitored(), state=S.GENERATING_SCEP_DATA), event, Context(now=NOW, ca=SCEP_CA))
    assert (outcome.request.state, outcome.request.ca_error) == (S.MONITORING, "unknown cipher")


def test_a_signing_request_that_cannot_be_made_needs_guidance() -> None:
    outcome = step(replace(new_request(), state=S.GENERATING_CSR), Impossible("bad subject"), Context(now=NOW))
    assert (outcome.request.state, outcome.request.ca_error) == (S.NEED_GUIDANCE, "bad subject")


@pytest.mark.parametrize(("request_", "expected"), [(new_request(), S.NEED_GUIDANCE), (monitored(), S.MONITORING)])
def test_a_certificate_for_a_stranger_s_key_is_refused(request_: Request, expected: State) -> None:
    request = replace(request_, state=S.SUBMITTING, key=replace(request_.key, pubkey_info=b"ours"), cert="held")
    after = step(request, Issued(cert="new", spki=b"theirs"), Context(now=NOW, ca=PLAIN_CA)).request
    assert (after.state, after.cert) == (expected, "held")
    assert "another key" in after.ca_error


def test_a_scep_server_that_repeats_itself_does_not_renew_anything() -> None:
    request = replace(monitored(SCEP_CA), state=S.SUBMITTING, key=replace(new_request().key, pubkey_info=b"ours"))
    after = step(request, Issued(cert=request.cert, spki=b"ours"), Context(now=NOW, ca=SCEP_CA)).request
    assert after.state is S.MONITORING
    assert "held already" in after.ca_error


@pytest.mark.parametrize("kind", FailureKind)
def test_retries_of_what_fails_by_itself_become_rare(kind: FailureKind) -> None:
    for state in LEADS_TO:
        request = replace(new_request(), state=state)
        delays = []
        for _ in range(20):
            outcome = step(request, Failed(kind, "no luck"), Context(now=NOW))
            if not isinstance(outcome.action, Wait):
                break
            delays.append(outcome.action.delay.total_seconds())
            request = replace(outcome.request, state=state)
        assert delays == sorted(delays)
        assert not delays or (30 <= delays[0] <= 60 and delays[-1] == 6 * 3600)


def constant_worlds() -> st.SearchStrategy[dict[type[Effect], Event | None]]:
    """For each effect the result that it has every time; None for what the disk and a good CA say."""
    choices = {
        # Made messages differ every time, so that they are no constant result.
        kind: st.sampled_from([event for event in results if not isinstance(event, ScepBuilt)])
        for kind, results in RESULTS.items()
    }
    return st.fixed_dictionaries({kind: st.one_of(*[st.none()] * 3, some) for kind, some in choices.items()})


def constant_answer(event: Event | None) -> Answer:
    """A CA that always answers *event*; honest about whether it was given SCEP messages."""

    def answer(world: World, effect: Submit) -> Event:
        if isinstance(event, NeedScepMessages):
            return NeedScepMessages(were_given=effect.with_scep)
        return event or issue_again(world, effect)

    return answer


@settings(max_examples=150, deadline=None)
@given(
    results=constant_worlds(),
    start=st.sampled_from([new_request(), new_request(SCEP_CA), monitored(), monitored(SCEP_CA)]),
    first=st.sampled_from([Begin(), Resubmit(), Rekey()]),
    hooked=st.booleans(),
    policy=st.sampled_from([Policy(), Policy(max_key_use_count=1)]),
)
def test_no_constant_answers_make_a_request_work_without_a_pause(
    results: dict[type[Effect], Event | None],
    start: Request,
    first: Event,
    hooked: bool,
    policy: Policy,
) -> None:
    command = Hook(command="/bin/true", uid="0") if hooked else Hook()
    world = World(
        request=replace(start, pre_save=command, post_save=command),
        ca=SCEP_CA if start.ca_name == SCEP_CA.id else PLAIN_CA,
        overrides={kind: event for kind, event in results.items() if event and kind is not Submit},
        disk=Disk(spki=b"public key number 1"),
        policy=policy,
        answer=constant_answer(results.pop(Submit)),
    )
    world.happen(first)  # fails after so many effects without a pause
    for _ in range(60):
        if not isinstance(world.action, Wait):
            assert world.request.state in STUCK_STATES
            return
        world.wait()
    submissions = world.times_of(Submit)
    assert all(submissions.count(at) <= 2 for at in set(submissions))
    assert world.now - NOW >= timedelta(minutes=5)
