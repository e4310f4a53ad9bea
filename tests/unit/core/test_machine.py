"""The whole table: every state, every event."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Final

import pytest
from fakes.request_events import COMMANDS, CONTEXTS, EVENTS, RESULTS, requests
from fakes.request_world import monitored

from certmongerd.core.effects import (
    Action,
    Again,
    AskRenewalInfo,
    BuildCsr,
    BuildScep,
    Effect,
    GenerateKey,
    Idle,
    Notice,
    Notify,
    ReadCert,
    ReadKey,
    RunPostSave,
    RunPreSave,
    SaveCaCerts,
    SaveCert,
    Submit,
    Wait,
)
from certmongerd.core.events import (
    Begin,
    CertAbsent,
    Continue,
    TimerFired,
)
from certmongerd.core.machine import TRANSITIONS, step
from certmongerd.core.states import STUCK_STATES, State
from certmongerd.core.step import IllegalTransition

S = State

WORK: Final[dict[State, Effect | type[Effect]]] = {
    S.NEWLY_ADDED_READING_KEYINFO: ReadKey(cert_is_next=True),
    S.NEWLY_ADDED_READING_CERT: ReadCert(),
    S.GENERATING_KEY_PAIR: GenerateKey(),
    S.READING_KEYINFO: ReadKey(),
    S.GENERATING_CSR: BuildCsr(),
    S.GENERATING_SCEP_DATA: BuildScep(),
    S.SUBMITTING: Submit,
    S.PRE_SAVE_CERT: RunPreSave(),
    S.SAVING_CERT: SaveCert(),
    S.SAVING_CA_CERTS: SaveCaCerts(),
    S.SAVING_ONLY_CA_CERTS: SaveCaCerts(),
    S.READING_CERT: ReadCert(),
    S.POST_SAVED_CERT: RunPostSave(),
    S.NOTIFYING_VALIDITY: Notify(Notice.VALIDITY),
    S.NOTIFYING_REJECTION: Notify(Notice.REJECTION),
    S.NOTIFYING_ISSUED_SAVE_FAILED: Notify(Notice.ISSUED_SAVE_FAILED),
    S.NOTIFYING_ISSUED_CA_SAVE_FAILED: Notify(Notice.ISSUED_CA_SAVE_FAILED),
    S.NOTIFYING_ISSUED_SAVED: Notify(Notice.ISSUED_SAVED),
    S.NOTIFYING_ONLY_CA_SAVE_FAILED: Notify(Notice.ONLY_CA_SAVE_FAILED),
}
"""The one effect of each state that has work to do."""

ONLY_WAITING: Final = frozenset(
    {
        S.CA_WORKING,
        S.CA_UNREACHABLE,
        S.CA_UNCONFIGURED,
        S.NEED_SCEP_ENCRYPTION_CERT,
        S.NEED_CERTSAVE_PERMS,
        S.NEED_CERTSAVE_PIN,
        S.NEED_CERTSAVE_TOKEN,
        S.NEED_CA_CERT_SAVE_PERMS,
        S.NEED_ONLY_CA_CERT_SAVE_PERMS,
    }
)
MAY_WAIT: Final = ONLY_WAITING | {
    S.NEED_KEY_PAIR,
    S.NEED_KEYINFO,
    S.NEED_CSR,
    S.NEED_SCEP_DATA,
    S.NEED_TO_SAVE_CERT,
    S.START_SAVING_CERT,
    S.NEED_TO_SAVE_CA_CERTS,
    S.MONITORING,
}
RESTING: Final = STUCK_STATES - ONLY_WAITING


def effect_class(work: Effect | type[Effect]) -> type[Effect]:
    return work if isinstance(work, type) else type(work)


def fits(state: State, action: Action, *, is_watching: bool) -> bool:
    """Whether *action* is one that may be asked for in *state*."""
    work = WORK.get(state)
    if state is S.MONITORING and action == AskRenewalInfo():
        return True
    if work is not None:
        return isinstance(action, work) if isinstance(work, type) else action == work
    if is_watching:
        # Whatever it waits for, it wakes up for notices about the certificate it holds.
        return state in RESTING | MAY_WAIT and (isinstance(action, Wait) or action == Notify(Notice.VALIDITY))
    if state in RESTING:
        return isinstance(action, Idle)
    if state in ONLY_WAITING:
        return isinstance(action, Wait)
    return isinstance(action, Again) or (isinstance(action, Wait) and state in MAY_WAIT)


@pytest.mark.parametrize("state", State)
def test_any_event_in_any_state_is_handled_or_illegal_and_asks_for_what_fits_the_new_state(state: State) -> None:
    for kind, context, event in product(requests(), CONTEXTS, EVENTS):
        before = replace(kind, state=state)
        try:
            outcome = step(before, event, context)
        except IllegalTransition:
            assert event not in COMMANDS
            continue
        after = outcome.request
        assert isinstance(after.state, State)
        assert after.id == before.id
        assert (after.key_storage, after.cert_storage) == (before.key_storage, before.cert_storage)
        if not outcome.accepted:
            assert after == before
        elif isinstance(event, Begin):
            assert outcome.action == Again()
        else:
            shown = (event, after.state, outcome.action)
            assert fits(after.state, outcome.action, is_watching=after.is_watching), shown
        if isinstance(outcome.action, Wait):
            assert timedelta(0) <= outcome.action.delay <= timedelta(days=7)


@pytest.mark.parametrize("state", State)
def test_a_step_depends_on_nothing_but_its_arguments(state: State) -> None:
    for kind, event in product(requests(), EVENTS):
        before = replace(kind, state=state)
        try:
            first = step(before, event, CONTEXTS[-1])
        except IllegalTransition:
            continue
        assert step(before, event, CONTEXTS[-1]) == first
        assert before == replace(kind, state=state)


def test_the_error_of_an_illegal_event_names_the_event_and_the_state() -> None:
    with pytest.raises(IllegalTransition, match=r"^CertAbsent cannot happen in state MONITORING$"):
        step(monitored(), CertAbsent(), CONTEXTS[0])


def test_the_table_handles_exactly_what_can_happen_in_each_state() -> None:
    expected = {(state, type(event)) for state, work in WORK.items() for event in RESULTS[effect_class(work)]}
    expected |= {(state, TimerFired) for state in MAY_WAIT}
    expected |= {(state, Continue) for state in State if state not in WORK and state not in RESTING | ONLY_WAITING}
    expected |= {(S.MONITORING, type(event)) for event in RESULTS[AskRenewalInfo]}
    # Restarted requests pass through these two and stay.
    expected |= {(S.CA_REJECTED, Continue), (S.NEED_GUIDANCE, Continue)}
    assert set(TRANSITIONS) == expected
