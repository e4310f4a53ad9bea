"""Gathering a CA's data: nine independent phases, each a small pure state machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from certmongerd.core.ca_data import CaData, EncryptionCerts, Offer, Phase, Roots, Words, apply_data
from certmongerd.core.errors import CertmongerError
from certmongerd.core.model import Ca, CaType
from certmongerd.core.schedule import (
    CADATA_POLL,
    CADATA_POLL_DEFAULT,
    FIRST_RETRY,
    LONGEST_FIRST_RETRY,
    MOST_PRE_SAVE_RETRIES,
    SHORTEST_REFETCH,
    SOONISH,
    back_off,
    ca_data_delay,
)


class PhaseState(Enum):
    """Where one phase stands."""

    NEED_TO_REFRESH = "NEED_TO_REFRESH"
    REFRESHING = "REFRESHING"
    NEED_TO_SAVE_DATA = "NEED_TO_SAVE_DATA"
    PRE_SAVE_DATA = "PRE_SAVE_DATA"
    START_SAVING_DATA = "START_SAVING_DATA"
    SAVING_DATA = "SAVING_DATA"
    NEED_POST_SAVE_DATA = "NEED_POST_SAVE_DATA"
    POST_SAVE_DATA = "POST_SAVE_DATA"
    SAVED_DATA = "SAVED_DATA"
    IDLE = "IDLE"
    UNREACHABLE = "UNREACHABLE"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class Refetch:
    """The daemon started, the CA was changed, or an operator asked."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """The state was entered and asked to go on at once."""


@dataclass(frozen=True, slots=True)
class Timer:
    """The delay that the last step asked for is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The helper delivered data."""

    data: CaData
    not_afters: tuple[datetime, ...] = ()
    """Ends of validity of the certificates that decide when to fetch again."""


@dataclass(frozen=True, slots=True)
class FetchLater:
    """The helper wants to be asked again; None leaves the delay to the schedule."""

    delay: timedelta | None


@dataclass(frozen=True, slots=True)
class FetchRefused:
    """The CA refused."""

    reason: str


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """The CA could not be asked now: unreachable, not configured, helper missing or out of order."""

    reason: str


@dataclass(frozen=True, slots=True)
class FetchUnsupported:
    """The helper does not know the operation."""


@dataclass(frozen=True, slots=True)
class DataSaved:
    """The CA's certificates are at all the locations that want them."""


@dataclass(frozen=True, slots=True)
class DataNotSaved:
    """Some location could not be written."""

    reason: str


@dataclass(frozen=True, slots=True)
class HookOver:
    """The CA's pre- or post-save command succeeded."""


@dataclass(frozen=True, slots=True)
class HookFailed:
    """It failed."""

    reason: str


PhaseEvent = (
    Refetch
    | GoOn
    | Timer
    | Fetched
    | FetchLater
    | FetchRefused
    | FetchFailed
    | FetchUnsupported
    | DataSaved
    | DataNotSaved
    | HookOver
    | HookFailed
)


class PhaseAction(Enum):
    """What the engine is to do for a phase."""

    REST = "rest"
    GO_ON = "go on"
    FETCH = "fetch"
    RUN_PRE_SAVE = "run pre-save command"
    SAVE = "save certificates"
    RUN_POST_SAVE = "run post-save command"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRecord:
    """A phase and what it remembers while it runs."""

    state: PhaseState = PhaseState.NEED_TO_REFRESH
    refetch_after: timedelta | None = None
    """Delay of the fetch after the present one; None means on request only."""
    failures: int = 0
    """Fetches in a row that brought nothing."""
    refetch_at: datetime | None = None
    """When what was fetched last is to be fetched again."""
    save_failures: int = 0
    """Failures in a row of the present one of the three: the command before saving, saving, the command after it."""
    pre_save_error: str = ""
    """Why the command before saving was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStep:
    """The outcome of one step of one phase."""

    ca: Ca
    record: PhaseRecord
    action: PhaseAction
    delay: timedelta | None = None
    """With action REST: step again with `Timer` after it; None means never by itself."""
    wakes_requests: bool = False
    """Whether the CA's requests are to be told (`CaChanged`)."""


class IllegalPhaseEvent(CertmongerError):
    """An event arrived that cannot happen in the phase's state."""


PhaseHandler = Callable[[Ca, Phase, PhaseRecord, Any, datetime], PhaseStep]


def step_phase(ca: Ca, phase: Phase, record: PhaseRecord, event: PhaseEvent, now: datetime) -> PhaseStep:
    """Advance one phase of *ca* by one event. Pure. Raises IllegalPhaseEvent."""
    if isinstance(event, Refetch):
        if ca.type is CaType.INTERNAL_SELF:
            return _to(ca, record, PhaseState.DISABLED, PhaseAction.REST)
        return _to(ca, record, PhaseState.NEED_TO_REFRESH, PhaseAction.GO_ON)
    handler = PHASE_TRANSITIONS.get((record.state, type(event)))
    if handler is None:
        raise IllegalPhaseEvent(f"{type(event).__name__} cannot happen in state {record.state.value}")
    return handler(ca, phase, record, event, now)


def _to(ca: Ca, record: PhaseRecord, state: PhaseState, action: PhaseAction, **more: Any) -> PhaseStep:
    return PhaseStep(ca=ca, record=replace(record, state=state), action=action, **more)


def _fetch(ca: Ca, _phase: Phase, record: PhaseRecord, _event: GoOn | Timer, _now: datetime) -> PhaseStep:
    return _to(ca, replace(record, refetch_after=None), PhaseState.REFRESHING, PhaseAction.FETCH)


def _fetched(ca: Ca, phase: Phase, record: PhaseRecord, event: Fetched, now: datetime) -> PhaseStep:
    refetch_after = _refetch_after(phase, event, now)
    refetch_at = now + refetch_after if refetch_after is not None else None
    record = replace(record, refetch_after=refetch_after, refetch_at=refetch_at, failures=0, save_failures=0)
    changed = apply_data(replace(ca, error=""), phase, event.data)
    is_new = changed != replace(ca, error="")
    if phase is Phase.CERTS and (is_new or ca.certs_to_save):
        # Remembered until the files are written: the next fetch would not find them worth writing.
        changed = replace(changed, certs_to_save=True)
        return _to(changed, record, PhaseState.NEED_TO_SAVE_DATA, PhaseAction.GO_ON)
    if not is_new:
        return _settle(changed, record)
    return replace(_settle(changed, record), wakes_requests=True)


def _refetch_after(phase: Phase, event: Fetched, now: datetime) -> timedelta | None:
    match phase:
        case Phase.CERTS:
            return ca_data_delay(event.not_afters, now)
        case Phase.ENCRYPTION_CERTS:
            return ca_data_delay(event.not_afters, now) or CADATA_POLL_DEFAULT
        case _:
            return None


def _settle(ca: Ca, record: PhaseRecord) -> PhaseStep:
    if record.refetch_after is None:
        return _to(ca, record, PhaseState.IDLE, PhaseAction.REST)
    return _to(ca, record, PhaseState.NEED_TO_REFRESH, PhaseAction.REST, delay=record.refetch_after)


def _later(ca: Ca, _phase: Phase, record: PhaseRecord, event: FetchLater, _now: datetime) -> PhaseStep:
    delay = max(event.delay, SHORTEST_REFETCH) if event.delay is not None else CADATA_POLL
    return _to(ca, record, PhaseState.NEED_TO_REFRESH, PhaseAction.REST, delay=delay)


def _fail(ca: Ca, record: PhaseRecord, state: PhaseState) -> PhaseStep:
    """Rest in *state* until the next attempt: soon while the trouble is young, then at certmonger's interval."""
    delay = back_off(record.failures, FIRST_RETRY, CADATA_POLL)
    return _to(ca, replace(record, failures=record.failures + 1), state, PhaseAction.REST, delay=delay)


def _refused(ca: Ca, phase: Phase, record: PhaseRecord, event: FetchRefused, _now: datetime) -> PhaseStep:
    # A server that no longer offers a capability list must not be held to its old one.
    kept = apply_data(ca, phase, Words(())) if phase is Phase.CAPABILITIES else ca
    ca = replace(kept, error=event.reason)
    if phase is Phase.ENCRYPTION_CERTS:  # requests may be waiting for them
        return _fail(ca, record, PhaseState.IDLE)
    return _to(ca, record, PhaseState.IDLE, PhaseAction.REST, delay=CADATA_POLL)


def _failed(ca: Ca, _phase: Phase, record: PhaseRecord, event: FetchFailed, _now: datetime) -> PhaseStep:
    return _fail(replace(ca, error=event.reason), record, PhaseState.UNREACHABLE)


_ERASED: Final[Mapping[Phase, CaData]] = {
    Phase.CERTS: Roots(),
    Phase.CAPABILITIES: Words(()),
    Phase.ENCRYPTION_CERTS: EncryptionCerts(),
    Phase.RENEWAL_INFO: Offer(),
}


def _unsupported(ca: Ca, phase: Phase, record: PhaseRecord, _event: FetchUnsupported, _now: datetime) -> PhaseStep:
    data = _ERASED.get(phase)
    if data is not None:
        ca = apply_data(ca, phase, data)
    return _to(ca, record, PhaseState.DISABLED, PhaseAction.REST)


def _need_to_save(ca: Ca, _phase: Phase, record: PhaseRecord, _event: GoOn | Timer, _now: datetime) -> PhaseStep:
    if ca.pre_save.command:
        return _to(ca, record, PhaseState.PRE_SAVE_DATA, PhaseAction.RUN_PRE_SAVE)
    record = replace(record, save_failures=0, pre_save_error="")
    return _to(ca, record, PhaseState.START_SAVING_DATA, PhaseAction.GO_ON)


def _pre_save_over(ca: Ca, _phase: Phase, record: PhaseRecord, _event: HookOver, _now: datetime) -> PhaseStep:
    record = replace(record, save_failures=0, pre_save_error="")
    return _to(ca, record, PhaseState.START_SAVING_DATA, PhaseAction.GO_ON)


def _pre_save_failed(ca: Ca, _phase: Phase, record: PhaseRecord, event: HookFailed, now: datetime) -> PhaseStep:
    """Try again for a few minutes; but services must not lack the CA's new certificates because of its command."""
    if record.save_failures < MOST_PRE_SAVE_RETRIES:
        return _try_again(ca, record, PhaseState.NEED_TO_SAVE_DATA, event.reason, now)
    record = replace(record, save_failures=0, pre_save_error=event.reason)
    return _to(ca, record, PhaseState.START_SAVING_DATA, PhaseAction.GO_ON)


def _try_again(ca: Ca, record: PhaseRecord, state: PhaseState, reason: str, now: datetime) -> PhaseStep:
    """Rest in *state* until the next attempt; newer certificates are fetched, and all is done with them, when it is
    time for that.
    """
    ca = replace(ca, deployment_error=reason)
    delay = back_off(record.save_failures, SOONISH, LONGEST_FIRST_RETRY)
    if record.refetch_at is not None and record.refetch_at <= now + delay:
        state, delay = PhaseState.NEED_TO_REFRESH, max(record.refetch_at - now, SHORTEST_REFETCH)
    record = replace(record, save_failures=record.save_failures + 1)
    return _to(ca, record, state, PhaseAction.REST, delay=delay)


def _start_saving(ca: Ca, _phase: Phase, record: PhaseRecord, _event: GoOn | Timer, _now: datetime) -> PhaseStep:
    return _to(ca, record, PhaseState.SAVING_DATA, PhaseAction.SAVE)


def _saved(ca: Ca, _phase: Phase, record: PhaseRecord, _event: DataSaved, _now: datetime) -> PhaseStep:
    return _to(ca, replace(record, save_failures=0), PhaseState.NEED_POST_SAVE_DATA, PhaseAction.GO_ON)


def _not_saved(ca: Ca, _phase: Phase, record: PhaseRecord, event: DataNotSaved, now: datetime) -> PhaseStep:
    return _try_again(ca, record, PhaseState.START_SAVING_DATA, event.reason, now)


def _need_post_save(ca: Ca, _phase: Phase, record: PhaseRecord, _event: GoOn | Timer, _now: datetime) -> PhaseStep:
    if ca.post_save.command:
        return _to(ca, record, PhaseState.POST_SAVE_DATA, PhaseAction.RUN_POST_SAVE)
    return _to(ca, record, PhaseState.SAVED_DATA, PhaseAction.GO_ON)


def _post_save_over(ca: Ca, _phase: Phase, record: PhaseRecord, _event: HookOver, _now: datetime) -> PhaseStep:
    return _to(ca, record, PhaseState.SAVED_DATA, PhaseAction.GO_ON)


def _post_save_failed(ca: Ca, _phase: Phase, record: PhaseRecord, event: HookFailed, now: datetime) -> PhaseStep:
    return _try_again(ca, record, PhaseState.NEED_POST_SAVE_DATA, event.reason, now)


def _saved_data(ca: Ca, _phase: Phase, record: PhaseRecord, _event: GoOn, _now: datetime) -> PhaseStep:
    return _settle(replace(ca, certs_to_save=False, deployment_error=record.pre_save_error), record)


def _refetch_idle(ca: Ca, _phase: Phase, record: PhaseRecord, _event: Timer, _now: datetime) -> PhaseStep:
    return _to(ca, record, PhaseState.NEED_TO_REFRESH, PhaseAction.GO_ON)


PHASE_TRANSITIONS: Final[Mapping[tuple[PhaseState, type[PhaseEvent]], PhaseHandler]] = {
    (PhaseState.NEED_TO_REFRESH, GoOn): _fetch,
    (PhaseState.NEED_TO_REFRESH, Timer): _fetch,
    (PhaseState.REFRESHING, Fetched): _fetched,
    (PhaseState.REFRESHING, FetchLater): _later,
    (PhaseState.REFRESHING, FetchRefused): _refused,
    (PhaseState.REFRESHING, FetchFailed): _failed,
    (PhaseState.REFRESHING, FetchUnsupported): _unsupported,
    (PhaseState.NEED_TO_SAVE_DATA, GoOn): _need_to_save,
    (PhaseState.NEED_TO_SAVE_DATA, Timer): _need_to_save,
    (PhaseState.PRE_SAVE_DATA, HookOver): _pre_save_over,
    (PhaseState.PRE_SAVE_DATA, HookFailed): _pre_save_failed,
    (PhaseState.START_SAVING_DATA, GoOn): _start_saving,
    (PhaseState.START_SAVING_DATA, Timer): _start_saving,
    (PhaseState.SAVING_DATA, DataSaved): _saved,
    (PhaseState.SAVING_DATA, DataNotSaved): _not_saved,
    (PhaseState.NEED_POST_SAVE_DATA, GoOn): _need_post_save,
    (PhaseState.NEED_POST_SAVE_DATA, Timer): _need_post_save,
    (PhaseState.POST_SAVE_DATA, HookOver): _post_save_over,
    (PhaseState.POST_SAVE_DATA, HookFailed): _post_save_failed,
    (PhaseState.SAVED_DATA, GoOn): _saved_data,
    (PhaseState.IDLE, Timer): _refetch_idle,
    (PhaseState.UNREACHABLE, Timer): _refetch_idle,
}
"""Handlers by state and event type; `Refetch` is legal in every state."""
