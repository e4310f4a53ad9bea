"""A request driven by its pure machine alone: effects are answered from a script, time only passes where it waits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

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
    CaCertsSaved,
    CertAbsent,
    CertRead,
    CertSaved,
    Continue,
    CsrBuilt,
    Event,
    HookEnded,
    Issued,
    KeyAbsent,
    KeyGenerated,
    KeyRead,
    Notified,
    ScepBuilt,
    TimerFired,
)
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.machine import step
from certmongerd.core.model import (
    Ca,
    CertificateFacts,
    KeyAlgorithm,
    KeyRecord,
    KeyStorage,
    Request,
    ScepMessages,
    StorageType,
)
from certmongerd.core.states import State
from certmongerd.core.step import Context, Policy, Step

NOW: Final = datetime(2030, 1, 1, 12, tzinfo=UTC)
OLD_SPKI: Final = b"public key number 1"
NEW_MARKER: Final = "AbCdEfGh"
"""What the next candidate is called."""
MOST_STEPS: Final = 64
"""As many states as the engine goes through without doing anything."""

PLAIN_CA: Final = Ca(id=CaName("plain"), external_helper="/bin/true")
SCEP_CA: Final = Ca(id=CaName("scep"), external_helper="/bin/true", capabilities=("Renewal",), encryption_cert="RA")
KEY_FILE: Final = KeyStorage(type=StorageType.FILE, location="/etc/pki/a.key")


def facts(
    not_before: datetime = NOW, life: timedelta = timedelta(days=365), spki: bytes = OLD_SPKI
) -> CertificateFacts:
    """Facts of a certificate that is valid for *life* from *not_before*."""
    return CertificateFacts(
        subject="CN=a", issuer="CN=ca", serial="01", spki=spki, not_before=not_before, not_after=not_before + life
    )


def new_request(ca: Ca = PLAIN_CA) -> Request:
    """A request as `getcert request` makes it."""
    return Request(id=Nickname("r"), key_storage=KEY_FILE, ca_name=ca.id)


def with_known_key(request: Request) -> Request:
    """*request* with a key that was read."""
    return replace(request, key=replace(request.key, type=KeyAlgorithm.RSA, size=2048, pubkey_info=OLD_SPKI))


def monitored(ca: Ca = PLAIN_CA, certificate: CertificateFacts | None = None) -> Request:
    """A request with key and certificate, in MONITORING."""
    known = certificate or facts()
    return replace(with_known_key(new_request(ca)), state=State.MONITORING, cert="PEM 1", cert_facts=known)


def submitting(request: Request, cookie: str = "") -> Request:
    """*request* while its helper runs."""
    return replace(with_known_key(request), state=State.SUBMITTING, csr="CSR", ca_cookie=cookie)


def with_candidate(request: Request, spki: bytes = b"candidate") -> Request:
    """*request* in the middle of a rekey."""
    candidate = KeyRecord(type=KeyAlgorithm.RSA, size=2048, pubkey_info=spki, requested_count=1)
    return replace(request, key_next=candidate, key_next_marker=NEW_MARKER)


@dataclass(slots=True, kw_only=True)
class Disk:
    """What the request's locations hold, and the answers of effects that only touch them."""

    spki: bytes | None = None
    candidate: bytes | None = None
    certificate: tuple[str, CertificateFacts] | None = None
    keys_made: int = 1
    messages_made: int = 0

    def perform(self, request: Request, effect: Effect) -> Event:
        """The result of a successful *effect*."""
        match effect:
            case ReadKey():
                return self._read_key(request)
            case ReadCert():
                if self.certificate is None:
                    return CertAbsent()
                return CertRead(cert=self.certificate[0], facts=self.certificate[1])
            case GenerateKey():
                return self._generate()
            case BuildCsr():
                return CsrBuilt(csr="CSR", spkac="SPKAC")
            case BuildScep():
                self.messages_made += 1
                nonce = b"nonce %d" % self.messages_made
                return ScepBuilt(messages=replace(request.scep, tx="tx", nonce=nonce, req="PKCSReq", gic="CertPoll"))
            case RunPreSave() | RunPostSave():
                return HookEnded()
            case SaveCert():
                return self._save(request)
            case SaveCaCerts():
                return CaCertsSaved()
            case Notify():
                return Notified()
            case Submit() | AskRenewalInfo():
                raise AssertionError("questions are answered by a CA")

    def _read_key(self, request: Request) -> Event:
        spki = self.candidate if request.key_next_marker else self.spki
        if spki is None:
            return KeyAbsent()
        return KeyRead(type=KeyAlgorithm.RSA, size=2048, pubkey_info=spki)

    def _generate(self) -> Event:
        self.keys_made += 1
        spki = b"public key number %d" % self.keys_made
        marker = "" if self.spki is None else NEW_MARKER
        if marker:
            self.candidate = spki
        else:
            self.spki = spki
        return KeyGenerated(type=KeyAlgorithm.RSA, size=2048, pubkey_info=spki, marker=marker)

    def _save(self, request: Request) -> Event:
        _, issued_for = issued_parts(request.cert)
        swapped = bool(request.key_next_marker) and issued_for == self.candidate
        if swapped:
            self.spki = self.candidate
        self.candidate = None
        self.certificate = (request.cert, self.pending or facts(spki=issued_for))
        return CertSaved(key_swapped=swapped)

    pending: CertificateFacts | None = None
    """Facts of the certificate that was issued last."""


def issued_parts(cert: str) -> tuple[str, bytes]:
    """Number and public key of a certificate made by `World.issue`."""
    name, _, spki = cert.partition("|")
    return name, bytes.fromhex(spki)


Answer = Callable[["World", Submit], Event]
"""How the CA answers one submission."""


@dataclass(slots=True, kw_only=True)
class World:
    """A request, its surroundings, and what was seen of it so far."""

    request: Request
    answer: Answer = field(default=lambda world, _: world.issue())
    overrides: Mapping[type[Effect], Event] = field(default_factory=dict)
    """Results that replace those of the disk."""
    disk: Disk = field(default_factory=Disk)
    ca: Ca | None = PLAIN_CA
    policy: Policy = field(default_factory=Policy)
    now: datetime = NOW
    action: Action = field(default_factory=Idle)
    states: list[State] = field(default_factory=list)
    """Every state entered, repetitions left out."""
    effects: list[tuple[datetime, Effect]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    issued: int = 0
    due: datetime = NOW
    """When the present delay is over."""

    def context(self) -> Context:
        """The surroundings of a step now."""
        cas = (self.ca,) if self.ca else ()
        return Context(now=self.now, policy=self.policy, ca=self.ca, cas=cas, new_marker=NEW_MARKER)

    def deliver(self, event: Event) -> Step:
        """Let *event* happen and follow the machine until there is something to do or to wait for."""
        for _ in range(MOST_STEPS):
            outcome = step(self.request, event, self.context())
            self.steps.append(outcome)
            if not outcome.accepted:
                return outcome
            self.request, self.action = outcome.request, outcome.action
            if not self.states or self.states[-1] is not self.request.state:
                self.states.append(self.request.state)
            if isinstance(outcome.action, Wait):
                self.due = self.now + outcome.action.delay
            if not isinstance(outcome.action, Again):
                return outcome
            event = Continue()
        raise AssertionError(f"the states go round in a circle: {[s.value for s in self.states[-10:]]}")

    def perform(self) -> None:
        """Carry out the present effect and deliver its result."""
        effect = self.action
        assert not isinstance(effect, Idle | Wait | Again)
        self.effects.append((self.now, effect))
        override = self.overrides.get(type(effect))
        if override is not None:
            self.deliver(override)
        elif isinstance(effect, Submit):
            self.deliver(self.answer(self, effect))
        else:
            self.deliver(self.disk.perform(self.request, effect))

    def settle(self) -> None:
        """Carry effects out until the request waits or rests."""
        for _ in range(MOST_STEPS):
            if isinstance(self.action, Idle | Wait):
                return
            self.perform()
        raise AssertionError(f"the request never rests: {[s.value for s in self.states[-10:]]}")

    def happen(self, event: Event) -> None:
        """Deliver *event* and settle."""
        self.deliver(event)
        self.settle()

    def wait(self) -> timedelta:
        """Let the present delay pass and settle; returns the delay."""
        assert isinstance(self.action, Wait)
        delay = self.action.delay
        self.now = max(self.now, self.due).replace(microsecond=0)  # as the engine's clock tells it
        self.happen(TimerFired())
        return delay

    def live(self, span: timedelta, most_waits: int = 20000) -> None:
        """Let *span* pass, the delays in it one by one."""
        end = self.now + span
        for _ in range(most_waits):
            if not isinstance(self.action, Wait) or self.due > end:
                self.now = end
                return
            self.wait()
        raise AssertionError(f"more than {most_waits} wake-ups in {span}")

    def restart(self) -> None:
        """As after a restart of the daemon: only what is stored is left."""
        self.request = replace(self.request, attempts=0, demands=0, next_attempt=None, is_watching=False)
        self.happen(Begin())

    def issue(
        self, life: timedelta = timedelta(days=365), backdated: timedelta = timedelta(0), spki: bytes | None = None
    ) -> Issued:
        """A new certificate for the key that signed the request."""
        self.issued += 1
        key = self.request.signing_key.pubkey_info if spki is None else spki
        self.disk.pending = facts(self.now - backdated, life, key)
        return Issued(cert=f"PEM {self.issued}|{key.hex()}", spki=key)

    def times_of(self, kind: type[Effect]) -> list[datetime]:
        """When effects of *kind* were carried out."""
        return [at for at, effect in self.effects if isinstance(effect, kind)]


def fresh_messages() -> ScepMessages:
    """SCEP messages that were never handed out."""
    return ScepMessages(tx="tx", nonce=b"new", last_nonce=b"old", req="PKCSReq", gic="CertPoll")


def issue_again(world: World, _: Submit) -> Event:
    """A CA that issues for a year."""
    return world.issue()


def monitored_world(
    life: timedelta = timedelta(days=365),
    *,
    answer: Answer = issue_again,
    ca: Ca = PLAIN_CA,
    policy: Policy | None = None,
) -> World:
    """A world whose request has just been watched for the first time."""
    certificate = facts(NOW, life)
    world = World(
        request=monitored(ca, certificate),
        disk=Disk(spki=OLD_SPKI, certificate=("PEM 0|" + OLD_SPKI.hex(), certificate)),
        answer=answer,
        ca=ca,
        policy=policy or Policy(),
    )
    world.happen(Begin())
    return world
