"""How the data of a CA are gathered, phase by phase."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Final

import pytest
from fakes.request_world import NOW

from certmongerd.core.ca_data import CaData, EncryptionCerts, Offer, Phase, Roots, Text, Words
from certmongerd.core.ca_machine import (
    PHASE_TRANSITIONS,
    DataNotSaved,
    DataSaved,
    Fetched,
    FetchFailed,
    FetchLater,
    FetchRefused,
    FetchUnsupported,
    GoOn,
    HookFailed,
    HookOver,
    IllegalPhaseEvent,
    PhaseAction,
    PhaseEvent,
    PhaseRecord,
    PhaseState,
    PhaseStep,
    Refetch,
    Timer,
    step_phase,
)
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaType, Hook, NamedCertificate

P = PhaseState
ROOT: Final = NamedCertificate(nickname="root", pem="R")
FULL: Final = Ca(
    id=CaName("ca"),
    external_helper="/bin/true",
    aka="me",
    default_profile="p",
    profiles=("p",),
    required_enroll_attributes=("template-subject",),
    required_renewal_attributes=("template-subject",),
    capabilities=("AES",),
    root_certs=(ROOT,),
    other_root_certs=(ROOT,),
    other_certs=(ROOT,),
    encryption_cert="r",
    encryption_issuer_cert="c",
    encryption_cert_pool="p",
    offers_renewal_info=True,
    error="old trouble",
)
SAME: Final[dict[Phase, CaData]] = {
    Phase.IDENTIFY: Text("me"),
    Phase.CERTS: Roots(roots=(ROOT,), other_roots=(ROOT,), others=(ROOT,)),
    Phase.PROFILES: Words(("p",)),
    Phase.DEFAULT_PROFILE: Text("p"),
    Phase.ENROLLMENT_REQS: Words(("template-subject",)),
    Phase.RENEWAL_REQS: Words(("template-subject",)),
    Phase.CAPABILITIES: Words(("AES",)),
    Phase.ENCRYPTION_CERTS: EncryptionCerts(ra="r", ca="c", pool="p"),
    Phase.RENEWAL_INFO: Offer(is_there=True),
}
EMPTY: Final[dict[Phase, CaData]] = {
    phase: type(data)("") if isinstance(data, Text) else Words(()) if isinstance(data, Words) else type(data)()
    for phase, data in SAME.items()
}
TEXT_PHASES: Final = [phase for phase in Phase if phase not in {Phase.CERTS, Phase.ENCRYPTION_CERTS}]
REFRESHING: Final = PhaseRecord(state=P.REFRESHING)
ENDS: Final = tuple(NOW + timedelta(days=days) for days in (10, 20, 3))


def fetched(phase: Phase, data: CaData) -> PhaseStep:
    return step_phase(FULL, phase, REFRESHING, Fetched(data=data, not_afters=ENDS), NOW)


def events(phase: Phase) -> tuple[PhaseEvent, ...]:
    return (
        Refetch(),
        GoOn(),
        Timer(),
        Fetched(data=SAME[phase]),
        Fetched(data=EMPTY[phase], not_afters=ENDS),
        FetchLater(None),
        FetchLater(timedelta(0)),
        FetchLater(timedelta(seconds=-5)),
        FetchLater(timedelta(seconds=90)),
        FetchRefused("no"),
        FetchFailed("no route"),
        FetchUnsupported(),
        DataSaved(),
        DataNotSaved("read-only"),
        HookOver(),
        HookFailed("why"),
    )


LEGAL_ACTIONS: Final[dict[PhaseState, set[PhaseAction]]] = {
    P.NEED_TO_REFRESH: {PhaseAction.GO_ON, PhaseAction.REST},
    P.REFRESHING: {PhaseAction.FETCH},
    P.NEED_TO_SAVE_DATA: {PhaseAction.GO_ON, PhaseAction.REST},
    P.PRE_SAVE_DATA: {PhaseAction.RUN_PRE_SAVE},
    P.START_SAVING_DATA: {PhaseAction.GO_ON, PhaseAction.REST},
    P.SAVING_DATA: {PhaseAction.SAVE},
    P.NEED_POST_SAVE_DATA: {PhaseAction.GO_ON, PhaseAction.REST},
    P.POST_SAVE_DATA: {PhaseAction.RUN_POST_SAVE},
    P.SAVED_DATA: {PhaseAction.GO_ON},
    P.IDLE: {PhaseAction.REST},
    P.UNREACHABLE: {PhaseAction.REST},
    P.DISABLED: {PhaseAction.REST},
}


@pytest.mark.parametrize("state", PhaseState)
def test_any_event_in_any_state_of_any_phase_is_handled_or_illegal(state: PhaseState) -> None:
    hooked = replace(FULL, pre_save=Hook(command="/bin/true"), post_save=Hook(command="/bin/true"))
    internal = replace(FULL, type=CaType.INTERNAL_SELF)
    for phase, ca, refetch in product(Phase, (FULL, hooked, internal), (None, timedelta(days=1))):
        for event in events(phase):
            record = PhaseRecord(state=state, refetch_after=refetch)
            try:
                outcome = step_phase(ca, phase, record, event, NOW)
            except IllegalPhaseEvent:
                assert not isinstance(event, Refetch)
                continue
            assert outcome.ca.id == ca.id
            assert outcome.action in LEGAL_ACTIONS[outcome.record.state]
            assert outcome.delay is None or outcome.action is PhaseAction.REST
            assert outcome.delay is None or timedelta(seconds=1) <= outcome.delay <= timedelta(days=365)
            follow_up = outcome.record.state, Timer if outcome.delay is not None else GoOn
            assert (
                follow_up in PHASE_TRANSITIONS
                or outcome.action not in {PhaseAction.REST, PhaseAction.GO_ON}
                or (outcome.action is PhaseAction.REST and outcome.delay is None)
            )


def test_an_illegal_event_says_what_and_where() -> None:
    with pytest.raises(IllegalPhaseEvent, match=r"^DataSaved cannot happen in state IDLE$"):
        step_phase(FULL, Phase.CERTS, PhaseRecord(state=P.IDLE), DataSaved(), NOW)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("state", PhaseState)
def test_everything_is_fetched_anew_on_request_whatever_the_state(phase: Phase, state: PhaseState) -> None:
    outcome = step_phase(FULL, phase, PhaseRecord(state=state), Refetch(), NOW)
    assert (outcome.record.state, outcome.action) == (P.NEED_TO_REFRESH, PhaseAction.GO_ON)
    outcome = step_phase(FULL, phase, outcome.record, GoOn(), NOW)
    assert (outcome.record.state, outcome.action) == (P.REFRESHING, PhaseAction.FETCH)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("state", PhaseState)
def test_the_internal_ca_has_nothing_to_fetch(phase: Phase, state: PhaseState) -> None:
    internal = replace(FULL, type=CaType.INTERNAL_SELF)
    outcome = step_phase(internal, phase, PhaseRecord(state=state), Refetch(), NOW)
    assert (outcome.record.state, outcome.action, outcome.delay) == (P.DISABLED, PhaseAction.REST, None)


@pytest.mark.parametrize("phase", Phase)
def test_unchanged_data_end_old_trouble_and_wake_nobody(phase: Phase) -> None:
    outcome = fetched(phase, SAME[phase])
    assert outcome.ca == replace(FULL, error="")
    assert not outcome.wakes_requests
    assert outcome.action is PhaseAction.REST


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CERTS])
def test_changed_data_wake_the_requests_of_the_ca(phase: Phase) -> None:
    outcome = fetched(phase, EMPTY[phase])
    assert outcome.ca != replace(FULL, error="")
    assert outcome.wakes_requests
    assert outcome.action is PhaseAction.REST


def test_changed_certificates_are_saved_between_the_ca_s_commands() -> None:
    ca = replace(FULL, pre_save=Hook(command="/bin/true"), post_save=Hook(command="/bin/true"))
    outcome = step_phase(ca, Phase.CERTS, REFRESHING, Fetched(data=Roots(), not_afters=ENDS), NOW)
    states, wakes = [outcome.record.state], outcome.wakes_requests
    answers: dict[PhaseAction, PhaseEvent] = {
        PhaseAction.GO_ON: GoOn(),
        PhaseAction.RUN_PRE_SAVE: HookOver(),
        PhaseAction.SAVE: DataSaved(),
        PhaseAction.RUN_POST_SAVE: HookOver(),
    }
    while outcome.action is not PhaseAction.REST:
        outcome = step_phase(outcome.ca, Phase.CERTS, outcome.record, answers[outcome.action], NOW)
        states.append(outcome.record.state)
        wakes |= outcome.wakes_requests
    assert states == [
        P.NEED_TO_SAVE_DATA,
        P.PRE_SAVE_DATA,
        P.START_SAVING_DATA,
        P.SAVING_DATA,
        P.NEED_POST_SAVE_DATA,
        P.POST_SAVE_DATA,
        P.SAVED_DATA,
        P.NEED_TO_REFRESH,
    ]
    assert outcome.delay == timedelta(seconds=129_600)
    assert not wakes


def test_certificates_that_never_reached_their_files_are_saved_after_the_next_fetch() -> None:
    fetched_once = fetched(Phase.CERTS, EMPTY[Phase.CERTS])
    assert fetched_once.ca.certs_to_save  # and on disk together with the certificates; then the daemon is killed
    again = Fetched(data=EMPTY[Phase.CERTS], not_afters=ENDS)
    outcome = step_phase(fetched_once.ca, Phase.CERTS, REFRESHING, again, NOW)
    assert outcome.record.state is P.NEED_TO_SAVE_DATA
    saved = step_phase(outcome.ca, Phase.CERTS, PhaseRecord(state=P.SAVED_DATA), GoOn(), NOW)
    assert not saved.ca.certs_to_save
    assert step_phase(saved.ca, Phase.CERTS, REFRESHING, again, NOW).action is PhaseAction.REST


def test_without_commands_saving_goes_straight_on() -> None:
    saving = step_phase(FULL, Phase.CERTS, PhaseRecord(state=P.NEED_TO_SAVE_DATA), GoOn(), NOW)
    assert saving.record.state is P.START_SAVING_DATA
    saved = step_phase(FULL, Phase.CERTS, PhaseRecord(state=P.NEED_POST_SAVE_DATA), GoOn(), NOW)
    assert saved.record.state is P.SAVED_DATA


def resting(state: PhaseState, event: PhaseEvent, times: int, refetch: timedelta | None = None) -> list[PhaseStep]:
    """What comes of *event*, and of it again whenever it is time."""
    ca = replace(FULL, pre_save=Hook(command="/bin/false"), post_save=Hook(command="/bin/false"), certs_to_save=True)
    now = NOW
    record = PhaseRecord(state=state, refetch_at=NOW + refetch if refetch is not None else None)
    steps = []
    for _ in range(times):
        step = step_phase(ca, Phase.CERTS, record, event, now)
        steps.append(step)
        if step.delay is None:
            break
        now += step.delay
        after = step_phase(step.ca, Phase.CERTS, step.record, Timer(), now)
        ca, record = after.ca, after.record
    return steps


@pytest.mark.parametrize(
    ("state", "event"),
    [(P.SAVING_DATA, DataNotSaved("why")), (P.POST_SAVE_DATA, HookFailed("why"))],
)
def test_saving_and_the_command_after_it_are_tried_again_less_and_less_often(
    state: PhaseState, event: PhaseEvent
) -> None:
    steps = resting(state, event, 15)
    minutes = [step.delay / timedelta(minutes=1) for step in steps if step.delay is not None]
    assert minutes[:4] == [0.5, 1, 2, 4]
    assert minutes[-3:] == [360, 360, 360]
    assert {(step.ca.deployment_error, step.ca.trouble, step.ca.certs_to_save) for step in steps} == {
        ("why", "old trouble; why", True)
    }


def test_certificates_are_saved_though_the_command_before_that_fails_and_it_stays_visible() -> None:
    steps = resting(P.PRE_SAVE_DATA, HookFailed("why"), 15)
    assert [step.delay for step in steps] == [timedelta(seconds=s) for s in (30, 60, 120)] + [None]
    last = steps[-1]
    assert last.record.state is P.START_SAVING_DATA
    record = replace(last.record, state=P.SAVED_DATA)
    done = step_phase(last.ca, Phase.CERTS, record, GoOn(), NOW)
    assert (done.ca.deployment_error, done.ca.certs_to_save) == ("why", False)
    ended = step_phase(done.ca, Phase.CERTS, replace(record, state=P.PRE_SAVE_DATA), HookOver(), NOW)
    saved = step_phase(ended.ca, Phase.CERTS, replace(ended.record, state=P.SAVED_DATA), GoOn(), NOW)
    assert saved.ca.deployment_error == ""


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (P.PRE_SAVE_DATA, HookFailed("why")),
        (P.SAVING_DATA, DataNotSaved("why")),
        (P.POST_SAVE_DATA, HookFailed("why")),
    ],
)
def test_a_command_that_fails_does_not_keep_newer_certificates_away(state: PhaseState, event: PhaseEvent) -> None:
    steps = resting(state, event, 2, timedelta(seconds=80))
    assert [(step.record.state is P.NEED_TO_REFRESH, step.delay) for step in steps] == [
        (False, timedelta(seconds=30)),
        (True, timedelta(seconds=50)),
    ]


@pytest.mark.parametrize(
    ("phase", "days", "delay"),
    [
        (Phase.CERTS, (10, 20, 3), 129_600),
        (Phase.CERTS, (365,), 15_768_000),
        (Phase.CERTS, (3650,), 31_536_000),
        (Phase.CERTS, (), None),
        (Phase.CERTS, (-1,), None),
        (Phase.ENCRYPTION_CERTS, (10, 20), 432_000),
        (Phase.ENCRYPTION_CERTS, (), 15_768_000),
        (Phase.ENCRYPTION_CERTS, (-1,), 15_768_000),
    ],
)
def test_certificates_are_fetched_again_at_half_of_their_life(
    phase: Phase, days: tuple[int, ...], delay: int | None
) -> None:
    ends = tuple(NOW + timedelta(days=d) for d in days)
    outcome = step_phase(FULL, phase, REFRESHING, Fetched(data=SAME[phase], not_afters=ends), NOW)
    if delay is None:
        assert (outcome.record.state, outcome.delay) == (P.IDLE, None)
    else:
        assert (outcome.record.state, outcome.delay) == (P.NEED_TO_REFRESH, timedelta(seconds=delay))


@pytest.mark.parametrize("phase", TEXT_PHASES)
def test_other_data_are_fetched_once(phase: Phase) -> None:
    outcome = fetched(phase, SAME[phase])
    assert (outcome.record.state, outcome.action, outcome.delay) == (P.IDLE, PhaseAction.REST, None)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize(
    ("wanted", "delay"),
    [(None, 21_600), (timedelta(seconds=90), 90), (timedelta(0), 1), (timedelta(seconds=-5), 1)],
)
def test_a_ca_says_when_it_wants_to_be_asked_again(phase: Phase, wanted: timedelta | None, delay: int) -> None:
    outcome = step_phase(FULL, phase, REFRESHING, FetchLater(wanted), NOW)
    assert (outcome.record.state, outcome.delay) == (P.NEED_TO_REFRESH, timedelta(seconds=delay))
    assert outcome.ca == FULL


@pytest.mark.parametrize("phase", Phase)
def test_an_unreachable_ca_keeps_its_data_and_is_asked_again_soon_then_every_six_hours(phase: Phase) -> None:
    record, delays = REFRESHING, []
    for _ in range(12):
        outcome = step_phase(FULL, phase, record, FetchFailed("no route"), NOW)
        assert outcome.ca == replace(FULL, error="no route")
        assert (outcome.record.state, outcome.action) == (P.UNREACHABLE, PhaseAction.REST)
        delays.append(outcome.delay)
        outcome = step_phase(outcome.ca, phase, outcome.record, Timer(), NOW)
        assert (outcome.record.state, outcome.action) == (P.NEED_TO_REFRESH, PhaseAction.GO_ON)
        record = step_phase(outcome.ca, phase, outcome.record, GoOn(), NOW).record
    assert delays[:3] == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
    assert delays[-2:] == [timedelta(hours=6)] * 2


@pytest.mark.parametrize("phase", Phase)
def test_a_refusal_clears_only_capabilities_and_is_not_for_ever(phase: Phase) -> None:
    outcome = step_phase(FULL, phase, REFRESHING, FetchRefused("no"), NOW)
    kept = replace(FULL, error="no")
    assert outcome.ca == (replace(kept, capabilities=()) if phase is Phase.CAPABILITIES else kept)
    # Requests may be waiting for a SCEP server's certificates; nobody waits for the rest.
    soon = timedelta(minutes=1) if phase is Phase.ENCRYPTION_CERTS else timedelta(hours=6)
    assert (outcome.record.state, outcome.delay) == (P.IDLE, soon)
    again = step_phase(outcome.ca, phase, outcome.record, Timer(), NOW)
    assert again.record.state is P.NEED_TO_REFRESH


@pytest.mark.parametrize("phase", Phase)
def test_an_operation_that_is_not_supported_ends_its_phase_and_erases_what_was_vouched_for(phase: Phase) -> None:
    outcome = step_phase(FULL, phase, REFRESHING, FetchUnsupported(), NOW)
    assert (outcome.record.state, outcome.action, outcome.delay) == (P.DISABLED, PhaseAction.REST, None)
    erased = {
        Phase.CERTS: replace(FULL, root_certs=(), other_root_certs=(), other_certs=()),
        Phase.CAPABILITIES: replace(FULL, capabilities=()),
        Phase.ENCRYPTION_CERTS: replace(FULL, encryption_cert="", encryption_issuer_cert="", encryption_cert_pool=""),
        Phase.RENEWAL_INFO: replace(FULL, offers_renewal_info=False),
    }
    assert outcome.ca == erased.get(phase, FULL)


def test_every_state_can_be_left() -> None:
    left = {state for state, _ in PHASE_TRANSITIONS}
    assert left == set(PhaseState) - {P.DISABLED}
