"""What handlers of the request machine take and return."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from certmongerd.core.effects import Action, Again, Effect, Idle, Wait
from certmongerd.core.errors import CertmongerError
from certmongerd.core.events import Event
from certmongerd.core.evolve import replace
from certmongerd.core.ids import NO_CA, CaName
from certmongerd.core.model import Ca, Request
from certmongerd.core.spread import share
from certmongerd.core.states import State

DEFAULT_THRESHOLDS: Final = tuple(
    timedelta(seconds=s) for s in (3600, 7200, 21600, 43200, 86400, 172800, 259200, 604800, 2419200)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that decisions depend on."""

    notify_ttls: tuple[timedelta, ...] = DEFAULT_THRESHOLDS
    """Remaining lives at which people are told."""
    enroll_ttls: tuple[timedelta, ...] = DEFAULT_THRESHOLDS
    """Remaining lives at which a renewal is attempted."""
    max_key_use_count: int = 0
    """Certificates per key before automatic renewal makes a new key; 0 means no limit."""
    key_expires_at: Callable[[datetime], datetime] | None = None
    """Generation time to the time from which automatic renewal makes a new key; None means never."""
    challenge_password_otp: bool = False
    """Whether the challenge password is forgotten after the first issuance over SCEP."""
    default_ca: CaName = NO_CA
    spread_seed: str | None = None
    """Distinguishes this host from others, so that not even requests of one name act at the same moment; None lets
    requests act as soon as they may, and all at once."""

    def share(self, *names: object) -> float:
        """How much of its leeway something named so takes, from 0 up to 1."""
        return 0.0 if self.spread_seed is None else share(self.spread_seed, *names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The surroundings of one step."""

    now: datetime
    """Aware UTC, whole seconds."""
    policy: Policy = Policy()
    ca: Ca | None = None
    """The CA that the request names; None when it names none or an unknown one."""
    cas: Sequence[Ca] = field(default=())
    """All CAs, in load order, to choose one from."""
    new_marker: str = ""
    """A name for a candidate key that was never used; empty leaves the choice to whoever makes the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The outcome of one step."""

    request: Request
    action: Action
    """The one thing to do next. Ignored when `accepted` is false: whatever was under way goes on."""
    certificate_saved: bool = False
    """Whether a certificate has just been stored and read back."""
    accepted: bool = True
    """False when the event does not concern the request in its state."""


Handler = Callable[[Request, Any, Context], Step]
"""Handles one event type in one state; the table guarantees the event's type."""


class IllegalTransition(CertmongerError):
    """An event arrived that cannot happen in the request's state."""

    def __init__(self, state: State, event: Event) -> None:
        self.state = state
        self.event = event
        super().__init__(f"{type(event).__name__} cannot happen in state {state.value}")


def go(request: Request, state: State) -> Step:
    """Enter *state* and step again at once."""
    return Step(request=replace(request, state=state), action=Again())


def perform(request: Request, state: State, effect: Effect) -> Step:
    """Enter *state*, whose work is *effect*."""
    return Step(request=replace(request, state=state), action=effect)


def rest(request: Request, state: State) -> Step:
    """Enter *state* and wait for somebody."""
    return Step(request=replace(request, state=state), action=Idle())


def pause(request: Request, state: State, delay: timedelta) -> Step:
    """Enter *state* and go on after *delay*."""
    return Step(request=replace(request, state=state), action=Wait(delay))


def stay(request: Request, action: Action, *, accepted: bool = True) -> Step:
    """Stay in the present state."""
    return Step(request=request, action=action, accepted=accepted)


def need_guidance(request: Request, reason: str) -> Step:
    """Give up until an operator changes something, saying why."""
    return rest(replace(request, ca_error=reason), State.NEED_GUIDANCE)
