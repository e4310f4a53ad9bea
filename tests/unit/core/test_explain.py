"""Explanations: every state has words, waiting requests a time and a rule, stuck ones advice."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.request_world import NOW, SCEP_CA, monitored, new_request
from fakes.request_world import facts as facts_of

from certmongerd.core.explain import MEANING, explain
from certmongerd.core.model import KeyStorage
from certmongerd.core.states import STUCK_STATES, State
from certmongerd.core.step import Context

CONTEXT = Context(now=NOW, ca=SCEP_CA, cas=(SCEP_CA,))
WAITING = (State.CA_UNREACHABLE, State.CA_WORKING, State.CA_UNCONFIGURED, State.NEED_SCEP_ENCRYPTION_CERT)


def test_every_state_has_a_meaning() -> None:
    assert set(MEANING) == set(State)


@pytest.mark.parametrize("state", [state for state in State if state in STUCK_STATES])
def test_a_stuck_request_says_that_somebody_has_to_act_and_how(state: State) -> None:
    facts = dict(explain(replace(new_request(SCEP_CA), state=state, ca_error="because"), CONTEXT))
    assert (facts["state"], facts["stuck"], facts["reason"]) == (state.value, "yes", "because")
    assert "somebody" in facts["next attempt"]
    assert facts["advice"]
    assert "{" not in facts["advice"]


@pytest.mark.parametrize("state", WAITING)
def test_a_waiting_request_says_when_it_goes_on_and_by_which_rule(state: State) -> None:
    soon = NOW + timedelta(minutes=8)
    request = replace(new_request(SCEP_CA), state=state, attempts=3, next_attempt=soon)
    facts = dict(explain(request, CONTEXT))
    assert facts["next attempt"] == soon.strftime("%Y-%m-%d %H:%M:%S UTC")
    assert "minute" in facts["rule"]
    assert facts["attempts"].startswith("3 ")


def test_a_watched_certificate_says_when_it_is_renewed() -> None:
    facts = dict(explain(monitored(SCEP_CA), CONTEXT))
    assert facts["next attempt"] == (NOW + timedelta(days=365 - 28, seconds=1)).strftime("%Y-%m-%d %H:%M:%S UTC")
    assert "28 days" in facts["rule"]
    assert facts["certificate"].startswith("valid until")


def test_a_certificate_that_is_not_renewed_says_so() -> None:
    facts = dict(explain(replace(monitored(SCEP_CA), autorenew=False), CONTEXT))
    assert "switched off" in facts["next attempt"]


@pytest.mark.parametrize("state", State)
def test_every_state_says_what_comes_next_and_by_which_rule_or_who_has_to_act(state: State) -> None:
    held = replace(monitored(SCEP_CA), state=state)
    for request in (held, replace(new_request(SCEP_CA), state=state)):
        facts = dict(explain(request, CONTEXT))
        assert facts["meaning"] == MEANING[state]
        if state in STUCK_STATES:
            assert (facts["stuck"], bool(facts["advice"])) == ("yes", True)
        elif request is held or state is not State.MONITORING:
            assert facts["next attempt"]
            assert facts["rule"]
    soon = NOW + timedelta(minutes=8)
    if state is not State.MONITORING:
        facts = dict(explain(replace(held, next_attempt=soon), CONTEXT))
        assert facts["next attempt"] == "2030-01-01 12:08:00 UTC"
        assert facts["rule"]


def test_rules_differ_between_what_waits_and_what_is_at_work() -> None:
    waiting = replace(new_request(), state=State.NEED_CSR, next_attempt=NOW, attempts=1)
    assert "half a minute" in dict(explain(waiting, CONTEXT))["rule"]
    assert dict(explain(replace(waiting, next_attempt=None), CONTEXT))["next attempt"] == "under way"
    running = replace(new_request(), state=State.SUBMITTING)
    assert "submit_timeout" in dict(explain(running, CONTEXT))["rule"]


def test_a_certificate_that_is_held_says_that_people_are_told_of_its_end() -> None:
    stuck = replace(monitored(SCEP_CA), state=State.NEED_CSR_GEN_PIN)
    assert "notify_ttls" in dict(explain(stuck, CONTEXT))["notices"]
    assert "not tracked" in dict(explain(replace(stuck, monitor=False), CONTEXT))["notices"]
    assert "notices" not in dict(explain(new_request(), CONTEXT))


def test_an_expired_certificate_says_so_and_is_tried_daily() -> None:
    expired = Context(now=NOW + timedelta(days=366), ca=SCEP_CA, cas=(SCEP_CA,))
    watched = replace(monitored(SCEP_CA), last_need_enroll_check=expired.now - timedelta(hours=1))
    facts = dict(explain(watched, expired))
    assert facts["certificate"].startswith("expired at")
    assert facts["rule"] == "an expired certificate is tried once a day"


def test_a_certificate_without_a_key_is_not_renewed_and_says_so() -> None:
    keyless = replace(monitored(SCEP_CA), key_storage=KeyStorage())
    assert "no key location" in dict(explain(keyless, CONTEXT))["next attempt"]


@pytest.mark.parametrize(
    ("life", "words"),
    [
        (timedelta(days=90), "28 days of"),
        (timedelta(days=1), "12 hours of"),
        (timedelta(hours=1), "20 minutes of"),
        (timedelta(seconds=30), "10 seconds of"),
    ],
)
def test_the_rule_of_a_renewal_names_the_threshold(life: timedelta, words: str) -> None:
    assert words in dict(explain(monitored(SCEP_CA, facts_of(life=life)), CONTEXT))["rule"]


def test_an_overdue_renewal_says_that_it_is_put_off() -> None:
    late = Context(now=NOW + timedelta(days=360), ca=SCEP_CA, cas=(SCEP_CA,))
    soon = late.now + timedelta(minutes=20)
    overdue = replace(monitored(SCEP_CA), last_need_enroll_check=NOW, next_attempt=soon)
    facts = dict(explain(overdue, late))
    assert facts["next attempt"] == "2030-12-27 12:20:00 UTC"
    assert "up to an hour" in facts["rule"]
