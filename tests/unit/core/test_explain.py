"""Explanations: every state has words, waiting requests a time and a rule, stuck ones advice."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.request_world import NOW, SCEP_CA, monitored, new_request

from certmongerd.core.explain import MEANING, explain
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
