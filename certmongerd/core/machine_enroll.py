"""From a signing request to the CA's answer."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from certmongerd.core.effects import BuildScep, Notice, Notify, Operation, Submit
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    Continue,
    Event,
    Failed,
    Impossible,
    Issued,
    NeedKeyPair,
    NeedScepMessages,
    Notified,
    Rejected,
    ScepBuilt,
    ScepImpossible,
    ScepObstacle,
    TimerFired,
    Unconfigured,
    Unreachable,
    Unusable,
    Working,
)
from certmongerd.core.evolve import replace
from certmongerd.core.model import Ca, CaType, RenewalAdvice, Request
from certmongerd.core.schedule import (
    CADATA_POLL,
    LONGEST_FIRST_RETRY,
    SHORTEST_POLL,
    SOONISH,
    back_off,
    ca_retry_delay,
)
from certmongerd.core.states import State
from certmongerd.core.step import Context, Handler, Step, go, need_guidance, pause, perform, rest

_MOST_KEY_DEMANDS: Final = 3
_MOST_SCEP_DEMANDS: Final = 5
_QUICK_POLL: Final = timedelta(seconds=1)
_MOST_QUICK_POLLS: Final = 20


def is_scep_ca(ca: Ca) -> bool:
    """Whether *ca* is known to want SCEP messages."""
    return ca.type is CaType.EXTERNAL and bool(ca.capabilities or ca.encryption_cert)


def has_fresh_messages(request: Request) -> bool:
    """Whether there are SCEP messages that were never handed to a helper."""
    return bool(request.scep.nonce) and request.scep.nonce != request.scep.last_nonce


def _submit(request: Request, _event: Continue, context: Context) -> Step:
    ca = context.ca
    if ca is None:
        return rest(request, State.NEED_CA)
    fresh = has_fresh_messages(request)
    if is_scep_ca(ca) and not fresh:
        return go(request, State.NEED_SCEP_DATA)
    operation = Operation.POLL if request.ca_cookie else Operation.SUBMIT
    request = replace(request, ca_error="")
    if operation is Operation.SUBMIT:
        request = _count_submission(request)
    if fresh:
        # Messages carry a nonce and are sent once; this is on disk before the helper starts.
        request = replace(request, scep=replace(request.scep, last_nonce=request.scep.nonce))
    is_internal = ca.type is CaType.INTERNAL_SELF
    return perform(request, State.SUBMITTING, Submit(operation, with_scep=fresh, is_internal=is_internal))


def _count_submission(request: Request) -> Request:
    if request.key_next_marker:
        return replace(
            request, key_next=replace(request.key_next, requested_count=request.key_next.requested_count + 1)
        )
    return replace(request, key=replace(request.key, requested_count=request.key.requested_count + 1))


def _issued(request: Request, event: Issued, context: Context) -> Step:
    request = replace(request, submitted=context.now, ca_cookie="")
    known = {request.signing_key.pubkey_info, request.key.pubkey_info} - {b""}
    if known and event.spki not in known:
        return _give_up(
            request, context, "The CA issued a certificate for another key than the one requested; it was not stored."
        )
    if event.cert == request.cert and context.ca is not None and is_scep_ca(context.ca):
        return _give_up(request, context, "The CA sent the certificate again that is held already.")
    request = replace(
        _finish_transaction(request),
        attempts=0,
        demands=0,
        ca_error="",
        cert=event.cert,
        cert_chain=event.chain,
        cert_roots=event.roots,
        renewal_advice=RenewalAdvice(),
    )
    return go(request, State.NEED_TO_SAVE_CERT)


def _finish_transaction(request: Request) -> Request:
    """Drop the messages of a SCEP transaction that is over; its ID stays, so that the next one gets another."""
    scep = replace(request.scep, nonce=b"", req="", gic="", req_next="", gic_next="", minicert=b"")
    return replace(request, scep=replace(scep, has_renewal_req=False))


def _was_sent_renewal_req(request: Request) -> bool:
    """Whether the submission that just ended carried a RenewalReq: a poll, which has a cookie, does not."""
    return request.scep.has_renewal_req and not request.ca_cookie


def _without_renewal_req(request: Request) -> Request:
    return replace(request, scep=replace(request.scep, avoids_renewal_req=True))


def _working(request: Request, event: Working, context: Context) -> Step:
    delay = event.delay
    if delay is None:
        delay = _retry_delay(request, context)
    request = replace(
        request,
        submitted=context.now,
        ca_error="",
        ca_cookie=event.cookie,
        attempts=request.attempts + 1,
    )
    return pause(request, State.CA_WORKING, max(delay, _shortest_delay(request.attempts)))


def _retry_delay(request: Request, context: Context) -> timedelta:
    early = context.policy.share(request.id, request.attempts)
    return ca_retry_delay(request.cert_facts.not_after, context.now, request.attempts, early)


def _shortest_delay(polls: int) -> timedelta:
    """What a CA's own delay is raised to: it may want to be polled at once, but not for ever."""
    if polls <= 1:
        return timedelta(0)
    return SHORTEST_POLL if polls > _MOST_QUICK_POLLS else _QUICK_POLL


def _rejected(request: Request, event: Rejected, context: Context) -> Step:
    if _was_sent_renewal_req(request):
        # Servers older than RFC 8894 may not know the type; what they really refuse they refuse again.
        request = _without_renewal_req(_finish_transaction(request))
        return go(replace(request, submitted=context.now, ca_error=event.text), State.NEED_SCEP_DATA)
    request = _finish_transaction(request)
    request = replace(request, submitted=context.now, ca_cookie="", ca_error=event.text, attempts=0, demands=0)
    if request.cert_facts.spki:
        return go(request, State.MONITORING)
    return go(request, State.NEED_TO_NOTIFY_REJECTION)


def _unreachable(request: Request, event: Unreachable, context: Context) -> Step:
    if _was_sent_renewal_req(request):
        request = _without_renewal_req(request)
    return _try_later(request, State.CA_UNREACHABLE, event.text, context)


def _unconfigured(request: Request, event: Unconfigured, context: Context) -> Step:
    if request.cert_facts.spki:
        return _give_up(request, context, event.text)
    return _try_later(request, State.CA_UNCONFIGURED, event.text, context)


def _try_later(request: Request, state: State, text: str, context: Context) -> Step:
    delay = _retry_delay(request, context)
    request = replace(request, submitted=context.now, ca_error=text, attempts=request.attempts + 1)
    return pause(request, state, delay)


def _unusable(request: Request, event: Unusable, context: Context) -> Step:
    return _give_up(replace(request, submitted=context.now), context, event.text)


def _give_up(request: Request, context: Context, text: str) -> Step:
    """Wait for an operator – except that a certificate already held goes on being watched."""
    request = replace(request, submitted=context.now, ca_error=text, attempts=0, demands=0)
    if request.cert_facts.spki:
        return go(request, State.MONITORING)
    return need_guidance(request, text)


def _scep_messages_wanted(request: Request, event: NeedScepMessages, context: Context) -> Step:
    request = replace(request, submitted=context.now)
    if not event.were_given:
        return go(request, State.NEED_SCEP_DATA)
    text = "The CA's helper keeps asking for SCEP messages although it was given fresh ones."
    if request.demands >= _MOST_SCEP_DEMANDS:
        return _give_up(request, context, text)
    request = replace(request, demands=request.demands + 1)
    return _try_later(request, State.CA_UNREACHABLE, text, context)


def _new_key_wanted(request: Request, _event: NeedKeyPair, context: Context) -> Step:
    request = replace(request, submitted=context.now)
    if request.demands >= _MOST_KEY_DEMANDS:
        return _give_up(request, context, "The CA keeps asking for a new key pair.")
    delay = back_off(request.demands, SOONISH, LONGEST_FIRST_RETRY)
    return pause(replace(request, demands=request.demands + 1), State.NEED_KEY_PAIR, delay)


def _submission_failed(request: Request, event: Failed, context: Context) -> Step:
    """The internal CA could not use the key."""
    match event.kind:
        case FailureKind.PIN:
            return rest(replace(request, ca_error=event.reason), State.NEED_CSR_GEN_PIN)
        case FailureKind.TOKEN:
            return rest(replace(request, ca_error=event.reason), State.NEED_CSR_GEN_TOKEN)
        case FailureKind.PERMS | FailureKind.OTHER:
            return _try_later(request, State.CA_UNREACHABLE, event.reason, context)


def _submission_impossible(request: Request, event: Impossible, context: Context) -> Step:
    return _give_up(request, context, event.reason)


def _notify_rejection(request: Request, _event: Continue, _context: Context) -> Step:
    return perform(request, State.NOTIFYING_REJECTION, Notify(Notice.REJECTION))


def _rejection_notified(request: Request, _event: Notified | Failed, _context: Context) -> Step:
    return rest(request, State.CA_REJECTED)


def _remain(request: Request, _event: Continue, _context: Context) -> Step:
    return rest(request, request.state)


def _ask_again(request: Request, _event: TimerFired, _context: Context) -> Step:
    return go(request, State.NEED_TO_SUBMIT)


def _need_scep_data(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    return perform(request, State.GENERATING_SCEP_DATA, BuildScep())


def _scep_built(request: Request, event: ScepBuilt, _context: Context) -> Step:
    return go(replace(request, scep=event.messages), State.HAVE_SCEP_DATA)


def _scep_impossible(request: Request, event: ScepImpossible, context: Context) -> Step:
    request = replace(request, ca_error=event.reason)
    match event.obstacle:
        case ScepObstacle.NO_ENCRYPTION_CERTIFICATE:
            # The CA's worker asks the server again and tells; the timer is for certificates that stay unusable.
            return pause(request, State.NEED_SCEP_ENCRYPTION_CERT, CADATA_POLL)
        case ScepObstacle.NOT_RSA:
            return rest(request, State.NEED_SCEP_RSA_CLIENT_KEY)
        case ScepObstacle.BAD_SETTING:
            return _give_up(request, context, event.reason)


def _scep_failed(request: Request, event: Failed, _context: Context) -> Step:
    request = replace(request, ca_error=event.reason)
    match event.kind:
        case FailureKind.PIN:
            return rest(request, State.NEED_SCEP_GEN_PIN)
        case FailureKind.TOKEN:
            return rest(request, State.NEED_SCEP_GEN_TOKEN)
        case FailureKind.PERMS | FailureKind.OTHER:
            delay = back_off(request.attempts, SOONISH, LONGEST_FIRST_RETRY)
            return pause(replace(request, attempts=request.attempts + 1), State.NEED_SCEP_DATA, delay)


def _have_scep_data(request: Request, _event: Continue, _context: Context) -> Step:
    return go(request, State.NEED_TO_SUBMIT)


TRANSITIONS: Final[Mapping[tuple[State, type[Event]], Handler]] = {
    (State.NEED_TO_SUBMIT, Continue): _submit,
    (State.SUBMITTING, Issued): _issued,
    (State.SUBMITTING, Working): _working,
    (State.SUBMITTING, Rejected): _rejected,
    (State.SUBMITTING, Unreachable): _unreachable,
    (State.SUBMITTING, Unconfigured): _unconfigured,
    (State.SUBMITTING, Unusable): _unusable,
    (State.SUBMITTING, NeedScepMessages): _scep_messages_wanted,
    (State.SUBMITTING, NeedKeyPair): _new_key_wanted,
    (State.SUBMITTING, Failed): _submission_failed,
    (State.SUBMITTING, Impossible): _submission_impossible,
    (State.NEED_TO_NOTIFY_REJECTION, Continue): _notify_rejection,
    (State.NOTIFYING_REJECTION, Notified): _rejection_notified,
    (State.NOTIFYING_REJECTION, Failed): _rejection_notified,
    (State.CA_REJECTED, Continue): _remain,
    (State.NEED_GUIDANCE, Continue): _remain,
    (State.CA_WORKING, TimerFired): _ask_again,
    (State.CA_UNREACHABLE, TimerFired): _ask_again,
    (State.CA_UNCONFIGURED, TimerFired): _ask_again,
    (State.NEED_SCEP_DATA, Continue): _need_scep_data,
    (State.NEED_SCEP_DATA, TimerFired): _need_scep_data,
    (State.NEED_SCEP_ENCRYPTION_CERT, TimerFired): _need_scep_data,
    (State.GENERATING_SCEP_DATA, ScepBuilt): _scep_built,
    (State.GENERATING_SCEP_DATA, ScepImpossible): _scep_impossible,
    (State.GENERATING_SCEP_DATA, Failed): _scep_failed,
    (State.HAVE_SCEP_DATA, Continue): _have_scep_data,
}
