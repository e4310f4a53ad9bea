"""The request state machine: one pure function over a table.

`step` takes a request, an event and the surroundings and returns the next
request and the one thing to do next. Handlers for operators' commands, which
are legal in every state, are here; the rest is in `machine_key`,
`machine_enroll` and `machine_save`, grouped by phase.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from certmongerd.core import machine_enroll, machine_key, machine_save, watch
from certmongerd.core.choice import choose_ca
from certmongerd.core.effects import Again, Idle
from certmongerd.core.events import (
    Begin,
    CaChanged,
    CertRead,
    Event,
    KeyRead,
    Refresh,
    Rekey,
    Resubmit,
)
from certmongerd.core.evolve import replace
from certmongerd.core.model import Request, StorageType
from certmongerd.core.renewal_info import is_question_due
from certmongerd.core.schedule import LONGEST_CATCH_UP
from certmongerd.core.states import State
from certmongerd.core.step import Context, Handler, IllegalTransition, Step, go, need_guidance, pause, stay

TRANSITIONS: Final[Mapping[tuple[State, type[Event]], Handler]] = {
    **machine_key.TRANSITIONS,
    **machine_enroll.TRANSITIONS,
    **machine_save.TRANSITIONS,
}
"""Handlers by state and event type. Events missing here and below are illegal in that state."""

_RESTARTS: Final[Mapping[State, tuple[State, ...]]] = {
    State.NEWLY_ADDED: (
        State.NEWLY_ADDED_START_READING_KEYINFO,
        State.NEWLY_ADDED_READING_KEYINFO,
        State.NEWLY_ADDED_NEED_KEYINFO_READ_PIN,
        State.NEWLY_ADDED_NEED_KEYINFO_READ_TOKEN,
        State.NEWLY_ADDED_START_READING_CERT,
        State.NEWLY_ADDED_READING_CERT,
        State.NEWLY_ADDED_DECIDING,
    ),
    State.NEED_KEY_PAIR: (
        State.GENERATING_KEY_PAIR,
        State.NEED_KEY_GEN_PERMS,
        State.NEED_KEY_GEN_PIN,
        State.NEED_KEY_GEN_TOKEN,
    ),
    State.HAVE_KEY_PAIR: (),
    State.NEED_KEYINFO: (
        State.READING_KEYINFO,
        State.NEED_KEYINFO_READ_PIN,
        State.NEED_KEYINFO_READ_TOKEN,
    ),
    State.HAVE_KEYINFO: (
        State.NEED_CSR,
        State.GENERATING_CSR,
        State.NEED_CSR_GEN_PIN,
        State.NEED_CSR_GEN_TOKEN,
    ),
    State.HAVE_CSR: (
        State.NEED_TO_SUBMIT,
        State.SUBMITTING,
        State.CA_WORKING,
        State.CA_UNREACHABLE,
        State.CA_UNCONFIGURED,
        State.NEED_CA,
    ),
    State.NEED_SCEP_DATA: (
        State.GENERATING_SCEP_DATA,
        State.NEED_SCEP_GEN_PIN,
        State.NEED_SCEP_GEN_TOKEN,
        State.NEED_SCEP_ENCRYPTION_CERT,
        State.NEED_SCEP_RSA_CLIENT_KEY,
    ),
    State.HAVE_SCEP_DATA: (),
    State.CA_REJECTED: (),
    State.NEED_GUIDANCE: (),
    State.MONITORING: (),
    State.NEED_TO_SAVE_CERT: (
        State.PRE_SAVE_CERT,
        State.START_SAVING_CERT,
        State.SAVING_CERT,
        State.NEED_CERTSAVE_PERMS,
        State.NEED_CERTSAVE_PIN,
        State.NEED_CERTSAVE_TOKEN,
    ),
    State.SAVED_CERT: (),
    State.NEED_TO_SAVE_CA_CERTS: (
        State.START_SAVING_CA_CERTS,
        State.SAVING_CA_CERTS,
        State.NEED_CA_CERT_SAVE_PERMS,
    ),
    # A post-save command that was cut off is run again: the service it restarts must not miss the certificate.
    State.NEED_TO_READ_CERT: (State.READING_CERT, State.POST_SAVED_CERT),
    State.NEED_TO_NOTIFY_ISSUED_SAVED: (State.NOTIFYING_ISSUED_SAVED,),
    State.NEED_TO_NOTIFY_VALIDITY: (State.NOTIFYING_VALIDITY,),
    State.NEED_TO_NOTIFY_REJECTION: (State.NOTIFYING_REJECTION,),
    State.NEED_TO_NOTIFY_ISSUED_SAVE_FAILED: (State.NOTIFYING_ISSUED_SAVE_FAILED,),
    State.NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED: (State.NOTIFYING_ISSUED_CA_SAVE_FAILED,),
    State.NEED_TO_NOTIFY_ONLY_CA_SAVE_FAILED: (State.NOTIFYING_ONLY_CA_SAVE_FAILED,),
    State.NEED_TO_SAVE_ONLY_CA_CERTS: (
        State.START_SAVING_ONLY_CA_CERTS,
        State.SAVING_ONLY_CA_CERTS,
        State.NEED_ONLY_CA_CERT_SAVE_PERMS,
    ),
}

RESTART_STATE: Final[Mapping[State, State]] = {
    **{start: start for start in _RESTARTS},
    **{state: start for start, states in _RESTARTS.items() for state in states},
}
"""Where each state goes on after a restart or a modification."""

WAITING_FOR_CA: Final = frozenset({State.CA_UNREACHABLE, State.CA_WORKING, State.CA_UNCONFIGURED})
"""States in which the CA is asked again some time."""
_REFRESHABLE: Final = frozenset({State.CA_UNREACHABLE, State.CA_WORKING})


def step(request: Request, event: Event, context: Context) -> Step:
    """Advance one request by one event. Pure: the same arguments give the same answer.

    Raises IllegalTransition when the event cannot happen in the request's state.
    """
    attended = watch.attend(request, event, context)
    return attended if attended is not None else watch.watch_over(_step(request, event, context), context)


def _step(request: Request, event: Event, context: Context) -> Step:
    match event:
        case Begin(with_daemon):
            if with_daemon and request.state in WAITING_FOR_CA and request.next_attempt is not None:
                return _wait_for_ca(request, request.next_attempt, context)
            begun = replace(request, state=RESTART_STATE[request.state])
            if begun.state is State.NEED_KEY_PAIR:
                # What was cut short may have put a key into its place, and then the next one is a candidate.
                begun = machine_key.naming_candidate(begun, context)
            return Step(request=_deploying_now(begun, context), action=Again())
        case Resubmit():
            return _resubmit(_with_ca(request, context))
        case Rekey():
            return _rekey(_with_ca(request, context), context)
        case Refresh():
            return _refresh(request, context)
        case CaChanged():
            return _ca_changed(request, context)
        case _:
            handler = TRANSITIONS.get((request.state, type(event)))
            if handler is None:
                raise IllegalTransition(request.state, event)
            return handler(request, event, context)


def durable_image(request: Request) -> Request:
    """What of *request* has to be on disk: two requests with equal images go on alike after a restart."""
    if request.state in WAITING_FOR_CA:
        return request  # it goes on waiting
    return replace(request, state=RESTART_STATE[request.state], next_attempt=None)


def _wait_for_ca(request: Request, due: datetime, context: Context) -> Step:
    """Go on waiting as before the restart; but not long, because much may have been mended meanwhile."""
    late = LONGEST_CATCH_UP * context.policy.share(request.id, "restart")
    return pause(request, request.state, max(min(due - context.now, late), timedelta(0)))


def with_ca_certs_to_save(before: Request, after: Request) -> Request:
    """*after*, about to save CA certificates when a change of what was *before* named new places for them.

    Only while the certificate is just being watched: everything else comes to saving them by itself.
    """
    if after.ca_certs == before.ca_certs or after.state is not State.MONITORING:
        return after
    return replace(after, state=State.NEED_TO_SAVE_ONLY_CA_CERTS)


def adopt_key(request: Request, event: KeyRead) -> Request:
    """The request with what the key's location holds now; used at daemon start."""
    if request.key_next_marker:
        return request
    key = machine_key.with_key(request.key, event)
    return request if key == request.key else replace(request, key=key)


def adopt_certificate(request: Request, event: CertRead) -> Request:
    """The request with the certificate that its location holds now; used at daemon start.

    A certificate that was issued but is not yet stored must win over the old
    one on disk, so nothing is adopted outside the states before enrolment and MONITORING.
    """
    if RESTART_STATE[request.state] not in {State.MONITORING, State.CA_REJECTED, State.NEED_GUIDANCE}:
        return request
    if event.cert == request.cert and event.facts == request.cert_facts:
        return request  # the values that are there already: thousands of requests need not be held twice
    return replace(request, cert=event.cert, cert_facts=event.facts)


def _with_ca(request: Request, context: Context) -> Request:
    """The request with a CA, when the command comes before one was chosen or could be."""
    if request.ca_name or (
        request.state is not State.NEED_CA and RESTART_STATE[request.state] is not State.NEWLY_ADDED
    ):
        return request
    return replace(request, ca_name=choose_ca(request, context.cas, context.policy.default_ca))


def _resubmit(request: Request) -> Step:
    request = replace(request, ca_cookie="", ca_error="", attempts=0, demands=0)
    if request.key_storage.type is StorageType.NONE:
        return need_guidance(request, "There is no key to sign a request with: the request has no key location.")
    if request.key_next_marker and RESTART_STATE[request.state] is State.NEED_KEY_PAIR:
        # The candidate is being made: looked for now, it would be missed, and waited for before another is made.
        return go(request, State.NEED_KEY_PAIR)
    if request.signing_key.size == 0:
        # A key that was not read yet (for want of its PIN, say) must not be taken for none, and replaced.
        return go(request, State.NEED_KEYINFO)
    return go(request, State.NEED_CSR)


def _rekey(request: Request, context: Context) -> Step:
    request = replace(request, ca_cookie="", ca_error="", attempts=0, demands=0)
    if request.key_storage.type is StorageType.NONE:
        return need_guidance(request, "No key can be made: the request has no key location.")
    # Also while the first key is being made: it may be in its place by now, and then another one is a candidate.
    return go(machine_key.naming_candidate(request, context), State.NEED_KEY_PAIR)


def _deploying_now(request: Request, context: Context) -> Request:
    """*request* with its next attempt to deploy the certificate, if there is to be one, at once."""
    deployment, now = request.deployment, context.now
    if deployment.retry_at is not None:
        deployment = replace(deployment, retry_at=now)
    if deployment.ca_certs_retry_at is not None:
        deployment = replace(deployment, ca_certs_retry_at=now)
    return request if deployment is request.deployment else replace(request, deployment=deployment)


def _refresh(request: Request, context: Context) -> Step:
    if request.state is State.MONITORING and request.deployment.next_try is not None:
        return go(_deploying_now(request, context), State.MONITORING)
    if request.state is State.NEED_SCEP_ENCRYPTION_CERT:
        return go(request, State.NEED_SCEP_DATA)
    if request.state not in _REFRESHABLE:
        return stay(request, Idle(), accepted=False)
    return go(replace(request, attempts=0), State.HAVE_CSR)


def _ca_changed(request: Request, context: Context) -> Step:
    if request.state in WAITING_FOR_CA:
        return go(request, State.HAVE_CSR)
    if request.state is State.NEED_SCEP_ENCRYPTION_CERT:
        return go(request, State.NEED_SCEP_DATA)
    if request.state is State.MONITORING and is_question_due(request, context):
        return go(request, State.MONITORING)
    if request.state is State.NEED_CA and context.ca is not None:
        return go(request, State.NEED_TO_SUBMIT)
    return stay(request, Idle(), accepted=False)
