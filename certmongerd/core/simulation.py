"""What will become of the tracked certificates: the request machine on assumptions, with all the time in the world.

The same machine that serves requests is given the results of its effects at
once, and the time jumps from one thing it waits for to the next. Whatever the
machine decides – when a renewal begins, when it is tried again, whether the key
is changed – is therefore what the daemon would do.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from certmongerd.core.choice import find_ca
from certmongerd.core.effects import (
    Action,
    Again,
    AskRenewalInfo,
    BuildCsr,
    BuildScep,
    Effect,
    GenerateKey,
    Idle,
    Notify,
    Operation,
    ReadCert,
    ReadKey,
    RunPostSave,
    RunPreSave,
    SaveCaCerts,
    SaveCert,
    Submit,
    Wait,
)
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    Begin,
    CaCertsSaved,
    CertRead,
    CertSaved,
    Continue,
    CsrBuilt,
    Event,
    Failed,
    HookEnded,
    Issued,
    KeyGenerated,
    KeyRead,
    Notified,
    ScepBuilt,
    TimerFired,
    Unreachable,
    Working,
)
from certmongerd.core.evolve import replace
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.machine import step
from certmongerd.core.model import Ca, CertificateFacts, KeyAlgorithm, Request
from certmongerd.core.states import State
from certmongerd.core.step import Context, Policy

DEFAULT_LIFE: Final = timedelta(days=365)
"""Life of certificates for requests that have none yet, unless one is assumed."""
MOST_STEPS: Final = 1_000_000
"""Steps of machines after which a simulation ends early."""

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_SHORTEST_WAIT: Final = timedelta(seconds=1)
_MARKER: Final = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time during which a CA cannot be reached."""

    begin: datetime
    end: datetime
    ca: CaName | None = None
    """None means all CAs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """How the world behaves."""

    until: datetime
    """End of the simulation."""
    outages: tuple[Outage, ...] = ()
    delay: timedelta = timedelta(0)
    """How long CAs take to decide; none at all means that they answer at once."""
    life: timedelta | None = None
    """Life of new certificates; None means that of the certificate held."""

    def __post_init__(self) -> None:
        for length in (self.delay, *(() if self.life is None else (self.life - _SHORTEST_WAIT,))):
            if length < timedelta(0):
                raise ValueError(f"a time of {length} makes no sense")


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """One certificate that is issued."""

    at: datetime
    request: Nickname
    ca: CaName
    has_new_key: bool
    submissions: int
    """How often the CA was asked for it, polls included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapse:
    """A time during which the certificate held is not valid any more."""

    request: Nickname
    begin: datetime
    end: datetime | None
    """When a new one is there; None while there is none at the end of the simulation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much one CA is asked."""

    ca: CaName
    submissions: int
    hour: datetime
    """Begin of the busiest hour."""
    in_hour: int
    day: datetime
    """Begin of the busiest day, UTC."""
    in_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a simulation shows; everything in the order of time."""

    begin: datetime
    end: datetime
    """As assumed, or where the simulation was given up for its size."""
    is_complete: bool
    requests: int
    renewals: tuple[Renewal, ...]
    lapses: tuple[Lapse, ...]
    resting: tuple[tuple[Nickname, State], ...]
    """Requests that do nothing by themselves at the end, with their states."""
    loads: tuple[Load, ...]
    """By name of the CA."""


def simulate(
    requests: Iterable[Request],
    cas: Sequence[Ca],
    policy: Policy,
    now: datetime,
    assumptions: Assumptions,
    *,
    is_wanted: Callable[[], bool] = lambda: True,
    most_steps: int = MOST_STEPS,
) -> Forecast:
    """Let *requests* live from *now*; *is_wanted* is asked now and then whether to go on.

    What a request waits for a person for, it waits for to the end.
    """
    # What a CA told about renewals so far counts; it is not asked again.
    silent = tuple(replace(ca, offers_renewal_info=False) for ca in cas)
    surroundings = _Surroundings(silent, policy, assumptions)
    lives = [_Life(request, surroundings, now) for request in requests]
    coming = [(life.due, number) for number, life in enumerate(lives) if life.begin(now)]
    heapq.heapify(coming)
    end, is_complete = max(assumptions.until, now), True
    while coming and coming[0][0] <= end:
        due, number = heapq.heappop(coming)
        if surroundings.steps > most_steps or not is_wanted():
            end, is_complete = due, False
            break
        if lives[number].go_on(due):
            heapq.heappush(coming, (lives[number].due, number))
    for life in lives:
        life.look_at_certificate(end)
    return Forecast(
        begin=now,
        end=end,
        is_complete=is_complete,
        requests=len(lives),
        renewals=tuple(surroundings.renewals),
        lapses=tuple(sorted((lapse for life in lives for lapse in life.lapses), key=lambda lapse: lapse.begin)),
        resting=tuple((life.request.id, life.request.state) for life in lives if not life.goes_on),
        loads=tuple(surroundings.load(ca) for ca in sorted(surroundings.submissions)),
    )


class _Surroundings:
    """What lives have in common."""

    def __init__(self, cas: tuple[Ca, ...], policy: Policy, assumptions: Assumptions) -> None:
        self.cas = cas
        self.policy = policy
        self.assumptions = assumptions
        self.renewals: list[Renewal] = []
        self.submissions: dict[CaName, Counter[datetime]] = {}
        """By CA, and by the hour that begins then."""
        self.steps = 0

    def is_down(self, ca: CaName, now: datetime) -> bool:
        return any(outage.begin <= now < outage.end and outage.ca in (None, ca) for outage in self.assumptions.outages)

    def count_submission(self, ca: CaName, now: datetime) -> None:
        self.submissions.setdefault(ca, Counter())[now.replace(minute=0, second=0)] += 1

    def load(self, ca: CaName) -> Load:
        hours = self.submissions[ca]
        days: Counter[datetime] = Counter()
        for hour, count in hours.items():
            days[hour.replace(hour=0)] += count
        busiest_hour, busiest_day = (min(each, key=lambda when: (-each[when], when)) for each in (hours, days))
        return Load(
            ca=ca,
            submissions=hours.total(),
            hour=busiest_hour,
            in_hour=hours[busiest_hour],
            day=busiest_day,
            in_day=days[busiest_day],
        )


@dataclass(slots=True)
class _Life:
    """One request on its way."""

    request: Request
    surroundings: _Surroundings
    due: datetime
    goes_on: bool = False
    lapses: list[Lapse] = field(default_factory=list)
    _made: int = 0
    """Keys, certificates and messages made so far; gives each new one a name of its own."""
    _submissions: int = 0
    """For the certificate that is wanted at present."""
    _facts: CertificateFacts = field(default_factory=CertificateFacts)
    """Of the certificate that is stored."""

    def begin(self, now: datetime) -> bool:
        """Whether the request goes on by itself."""
        # Notices have no influence on what is simulated.
        self._facts = self.request.cert_facts
        self.request = replace(self.request, monitor=False, is_watching=False)
        if self.request.state is State.MONITORING:
            return self._settle(TimerFired(), now)
        if self.request.next_attempt is not None:
            self.due, self.goes_on = max(self.request.next_attempt, now), True
        elif not self.request.is_stuck:
            self._settle(Begin(), now)
        return self.goes_on

    def go_on(self, now: datetime) -> bool:
        """What was waited for is there."""
        self.look_at_certificate(now)
        return self._settle(TimerFired(), now)

    def look_at_certificate(self, now: datetime) -> None:
        """Note when the certificate held came to its end."""
        not_after = self._facts.not_after
        if not_after is not None and not_after < now and (not self.lapses or self.lapses[-1].begin != not_after):
            self.lapses.append(Lapse(request=self.request.id, begin=not_after, end=None))

    def _settle(self, event: Event, now: datetime) -> bool:
        """Follow the machine until it waits; whether it does so for a time."""
        while True:
            action = self._step(event, now)
            if isinstance(action, Again):
                event = Continue()
            elif isinstance(action, Wait):
                # A watched certificate is looked at daily; nothing comes of it before the next renewal.
                is_watched = self.request.state is State.MONITORING
                self.due = self.request.next_attempt or now if is_watched else now + action.delay
                self.due = max(self.due, now + _SHORTEST_WAIT)
                self.goes_on = self.request.next_attempt is not None
                return self.goes_on
            elif isinstance(action, Idle):
                self.goes_on = False
                return False
            else:
                event = self._perform(action, now)

    def _step(self, event: Event, now: datetime) -> Action:
        self.surroundings.steps += 1
        cas = self.surroundings.cas
        ca = find_ca(cas, self.request.ca_name) if self.request.ca_name else None
        outcome = step(self.request, event, Context(now=now, policy=self.surroundings.policy, ca=ca, cas=cas))
        self.request = outcome.request
        return outcome.action

    def _perform(self, effect: Effect, now: datetime) -> Event:
        """The result of *effect*, which succeeds."""
        match effect:
            case ReadKey():
                key = self.request.signing_key
                return KeyRead(
                    type=key.type or key.gen_type, size=key.size or key.gen_size, pubkey_info=key.pubkey_info
                )
            case GenerateKey():
                return self._generate()
            case BuildCsr():
                return CsrBuilt(csr=_MARKER, spkac="")
            case BuildScep():
                messages = replace(self.request.scep, nonce=self._new_name().encode(), req=_MARKER, gic=_MARKER)
                return ScepBuilt(messages=messages)
            case Submit(operation):
                return self._submit(operation, now)
            case RunPreSave() | RunPostSave():
                return HookEnded()
            case SaveCert():
                return CertSaved(key_swapped=bool(self.request.key_next_marker))
            case SaveCaCerts():
                return CaCertsSaved()
            case ReadCert():
                return CertRead(cert=self.request.cert, facts=self._facts)
            case Notify():
                return Notified()
            case AskRenewalInfo():
                return Failed(FailureKind.OTHER, "nobody is asked")

    def _new_name(self) -> str:
        self._made += 1
        return f"{_MARKER} {self._made}"

    def _generate(self) -> KeyGenerated:
        key = self.request.key
        return KeyGenerated(
            type=KeyAlgorithm(key.gen_type),
            size=key.gen_size,
            pubkey_info=self._new_name().encode(),
            marker=_MARKER if key.size else "",
        )

    def _submit(self, operation: Operation, now: datetime) -> Event:
        ca, assumptions = self.request.ca_name, self.surroundings.assumptions
        self.surroundings.count_submission(ca, now)
        self._submissions += 1
        if self.surroundings.is_down(ca, now):
            return Unreachable("The CA is assumed to be down.")
        if assumptions.delay and operation is Operation.SUBMIT:
            return Working(cookie=_MARKER, delay=assumptions.delay)
        return self._issue(now)

    def _issue(self, now: datetime) -> Issued:
        held, key = self._facts, self.request.signing_key.pubkey_info
        life = self.surroundings.assumptions.life
        if life is None:
            has_life = held.not_before is not None and held.not_after is not None and held.not_before < held.not_after
            life = held.not_after - held.not_before if has_life else DEFAULT_LIFE  # type: ignore[operator]
        self._facts = replace(held, spki=key, not_before=now, not_after=now + life)
        if self.lapses and self.lapses[-1].end is None:
            self.lapses[-1] = replace(self.lapses[-1], end=now)
        self.surroundings.renewals.append(
            Renewal(
                at=now,
                request=self.request.id,
                ca=self.request.ca_name,
                has_new_key=bool(self.request.key_next_marker),
                submissions=self._submissions,
            )
        )
        self._submissions = 0
        return Issued(cert=self._new_name(), spki=key)
