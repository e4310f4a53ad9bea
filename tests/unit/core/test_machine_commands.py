"""What operators and news of the CA do to requests, state by state."""

from dataclasses import replace
from typing import Final

import pytest
from fakes.request_world import (
    NOW,
    PLAIN_CA,
    monitored,
    new_request,
)

from certmongerd.core.effects import Again
from certmongerd.core.events import (
    CaChanged,
    Event,
    Refresh,
    Rekey,
    Resubmit,
)
from certmongerd.core.ids import CaName
from certmongerd.core.machine import step
from certmongerd.core.model import KeyStorage
from certmongerd.core.states import STUCK_STATES, State
from certmongerd.core.step import Context

S = State

CONTEXT: Final = Context(now=NOW, ca=PLAIN_CA, cas=(PLAIN_CA,))


@pytest.mark.parametrize("state", [state for state in State if state in STUCK_STATES])
def test_a_stuck_request_is_moved_by_an_operator(state: State) -> None:
    request = replace(monitored(), state=state)
    assert step(request, Resubmit(), CONTEXT).request.state is S.NEED_CSR
    assert step(request, Rekey(), CONTEXT).request.state is S.NEED_KEY_PAIR


@pytest.mark.parametrize("state", State)
def test_resubmit_and_rekey_start_anew_in_every_state(state: State) -> None:
    request = replace(monitored(), state=state, ca_cookie="cookie", ca_error="old trouble", attempts=3, demands=2)
    for command, expected in ((Resubmit(), S.NEED_CSR), (Rekey(), S.NEED_KEY_PAIR)):
        outcome = step(request, command, CONTEXT)
        assert outcome.accepted
        after = outcome.request
        assert (after.state, after.ca_cookie, after.ca_error) == (expected, "", "")
        assert (after.attempts, after.demands) == (0, 0)
        assert after.cert == request.cert


@pytest.mark.parametrize("state", State)
def test_resubmit_and_rekey_without_a_key_location_explain_themselves(state: State) -> None:
    request = replace(monitored(), state=state, key_storage=KeyStorage())
    for command in (Resubmit(), Rekey()):
        after = step(request, command, CONTEXT).request
        assert after.state is S.NEED_GUIDANCE
        assert "no key location" in after.ca_error


@pytest.mark.parametrize("state", State)
def test_refresh_is_for_requests_that_wait_for_their_ca(state: State) -> None:
    request = replace(monitored(), state=state, ca_cookie="cookie", attempts=7)
    outcome = step(request, Refresh(), CONTEXT)
    if state in {S.CA_UNREACHABLE, S.CA_WORKING}:
        assert (outcome.accepted, outcome.request.state, outcome.action) == (True, S.HAVE_CSR, Again())
        assert (outcome.request.attempts, outcome.request.ca_cookie) == (0, "cookie")
    elif state is S.NEED_SCEP_ENCRYPTION_CERT:
        assert (outcome.accepted, outcome.request.state, outcome.action) == (True, S.NEED_SCEP_DATA, Again())
    else:
        assert not outcome.accepted
        assert outcome.request == request


@pytest.mark.parametrize("state", State)
def test_news_of_the_ca_move_only_requests_that_wait_for_it(state: State) -> None:
    moves = {
        S.CA_UNREACHABLE: S.HAVE_CSR,
        S.CA_WORKING: S.HAVE_CSR,
        S.CA_UNCONFIGURED: S.HAVE_CSR,
        S.NEED_SCEP_ENCRYPTION_CERT: S.NEED_SCEP_DATA,
        S.NEED_CA: S.NEED_TO_SUBMIT,
    }
    outcome = step(replace(monitored(), state=state), CaChanged(), Context(now=NOW, ca=PLAIN_CA))
    assert outcome.request.state is moves.get(state, state)
    assert outcome.accepted is (state in moves)


def test_a_request_whose_ca_is_still_missing_goes_on_waiting_for_it() -> None:
    outcome = step(replace(monitored(), state=S.NEED_CA), CaChanged(), Context(now=NOW))
    assert not outcome.accepted


def test_resubmitting_before_the_key_was_read_reads_it_instead_of_making_another() -> None:
    request = replace(new_request(), state=S.NEWLY_ADDED_NEED_KEYINFO_READ_PIN)
    assert step(request, Resubmit(), CONTEXT).request.state is S.NEED_KEYINFO


@pytest.mark.parametrize("state", [S.NEWLY_ADDED, S.NEWLY_ADDED_READING_CERT, S.NEED_CA])
@pytest.mark.parametrize("command", [Resubmit(), Rekey()])
def test_a_command_before_the_choice_of_a_ca_chooses_one(state: State, command: Event) -> None:
    request = replace(new_request(), ca_name=CaName(""), state=state)
    default = replace(PLAIN_CA, is_default=True)
    assert step(request, command, Context(now=NOW, cas=(default,))).request.ca_name == "plain"


def test_a_watched_request_without_ca_is_not_given_one_by_a_command() -> None:
    request = replace(monitored(), ca_name=CaName(""))
    default = replace(PLAIN_CA, is_default=True)
    assert step(request, Resubmit(), Context(now=NOW, cas=(default,))).request.ca_name == ""
