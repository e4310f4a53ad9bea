"""Why a request stands where it stands, in words: its state, what was tried, what comes next and by which rule."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from certmongerd.core.advice import advice_for
from certmongerd.core.machine_save import enroll_thresholds, is_renewal_due, next_renewal
from certmongerd.core.model import Request
from certmongerd.core.renewal_info import advised_renewal
from certmongerd.core.schedule import renewal_thresholds
from certmongerd.core.states import State
from certmongerd.core.step import Context

Fact = tuple[str, str]
"""Label and text; labels are stable."""

_S = State

_MEANINGS: Final[Mapping[str, tuple[State, ...]]] = {
    "The entry was just added; its key and certificate are looked at.": (
        _S.NEWLY_ADDED,
        _S.NEWLY_ADDED_START_READING_KEYINFO,
        _S.NEWLY_ADDED_READING_KEYINFO,
        _S.NEWLY_ADDED_START_READING_CERT,
        _S.NEWLY_ADDED_READING_CERT,
        _S.NEWLY_ADDED_DECIDING,
    ),
    "A PIN is missing or wrong, so the private key cannot be used.": (
        _S.NEWLY_ADDED_NEED_KEYINFO_READ_PIN,
        _S.NEED_KEY_GEN_PIN,
        _S.NEED_KEYINFO_READ_PIN,
        _S.NEED_CSR_GEN_PIN,
        _S.NEED_SCEP_GEN_PIN,
        _S.NEED_CERTSAVE_PIN,
    ),
    "The database or token with the private key or certificate cannot be reached.": (
        _S.NEWLY_ADDED_NEED_KEYINFO_READ_TOKEN,
        _S.NEED_KEY_GEN_TOKEN,
        _S.NEED_KEYINFO_READ_TOKEN,
        _S.NEED_CSR_GEN_TOKEN,
        _S.NEED_SCEP_GEN_TOKEN,
        _S.NEED_CERTSAVE_TOKEN,
    ),
    "The daemon may not write where the key or the certificates belong.": (
        _S.NEED_KEY_GEN_PERMS,
        _S.NEED_CERTSAVE_PERMS,
        _S.NEED_CA_CERT_SAVE_PERMS,
        _S.NEED_ONLY_CA_CERT_SAVE_PERMS,
    ),
    "A key pair is made.": (_S.NEED_KEY_PAIR, _S.GENERATING_KEY_PAIR, _S.HAVE_KEY_PAIR),
    "The private key is read.": (_S.NEED_KEYINFO, _S.READING_KEYINFO, _S.HAVE_KEYINFO),
    "A signing request is made.": (_S.NEED_CSR, _S.GENERATING_CSR, _S.HAVE_CSR),
    "SCEP messages are made.": (_S.NEED_SCEP_DATA, _S.GENERATING_SCEP_DATA, _S.HAVE_SCEP_DATA),
    "The SCEP server's certificate, which messages are encrypted to, is not known yet.": (
        _S.NEED_SCEP_ENCRYPTION_CERT,
    ),
    "SCEP works with RSA keys only, and this request has another key.": (_S.NEED_SCEP_RSA_CLIENT_KEY,),
    "The request is handed to the CA.": (_S.NEED_TO_SUBMIT, _S.SUBMITTING),
    "No CA was chosen, or the one that was chosen is gone.": (_S.NEED_CA,),
    "The daemon cannot go on by itself.": (_S.NEED_GUIDANCE,),
    "The CA has the request and has not decided yet.": (_S.CA_WORKING,),
    "The CA could not be asked, or gave no answer that can be trusted.": (_S.CA_UNREACHABLE,),
    "The program that talks to the CA lacks a setting.": (_S.CA_UNCONFIGURED,),
    "The CA refused the request.": (
        _S.CA_REJECTED,
        _S.NEED_TO_NOTIFY_REJECTION,
        _S.NOTIFYING_REJECTION,
    ),
    "The certificate was issued and is being stored.": (
        _S.NEED_TO_SAVE_CERT,
        _S.PRE_SAVE_CERT,
        _S.START_SAVING_CERT,
        _S.SAVING_CERT,
        _S.SAVED_CERT,
        _S.NEED_TO_READ_CERT,
        _S.READING_CERT,
        _S.POST_SAVED_CERT,
    ),
    "The CA's certificates are being stored.": (
        _S.NEED_TO_SAVE_CA_CERTS,
        _S.START_SAVING_CA_CERTS,
        _S.SAVING_CA_CERTS,
        _S.NEED_TO_SAVE_ONLY_CA_CERTS,
        _S.START_SAVING_ONLY_CA_CERTS,
        _S.SAVING_ONLY_CA_CERTS,
    ),
    "The certificate was issued, but it or the CA's certificates could not be stored.": (
        _S.NEED_TO_NOTIFY_ISSUED_SAVE_FAILED,
        _S.NOTIFYING_ISSUED_SAVE_FAILED,
        _S.NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED,
        _S.NOTIFYING_ISSUED_CA_SAVE_FAILED,
        _S.NEED_TO_NOTIFY_ONLY_CA_SAVE_FAILED,
        _S.NOTIFYING_ONLY_CA_SAVE_FAILED,
    ),
    "People are told about the certificate.": (
        _S.NEED_TO_NOTIFY_ISSUED_SAVED,
        _S.NOTIFYING_ISSUED_SAVED,
        _S.NEED_TO_NOTIFY_VALIDITY,
        _S.NOTIFYING_VALIDITY,
    ),
    "The certificate is there and is being watched.": (_S.MONITORING,),
}
MEANING: Final[Mapping[State, str]] = {state: text for text, states in _MEANINGS.items() for state in states}
"""One sentence for every state."""

_BACK_OFF: Final = (
    "a minute after the first failure, twice as long after each further one, at most six hours; "
    "with a certificate, at most a day or half of its remaining life; up to a quarter less, so that not all ask at "
    "once, and within an hour after a start of the daemon"
)
_OVERDUE: Final = "renewal is due; what is found overdue may wait up to an hour, so that not all are renewed at once"
_LATER: Final = "or up to an eighth later, so that not all are renewed at once"
_LOCAL_BACK_OFF: Final = "half a minute after the first failure, then twice as long each time, at most six hours"
_WAITING_RULE: Final[Mapping[State, str]] = {
    _S.CA_UNREACHABLE: _BACK_OFF,
    _S.CA_UNCONFIGURED: _BACK_OFF,
    _S.CA_WORKING: (
        "when the CA said, else after a minute, then twice as long after each poll, at most a day or half of the "
        "certificate's remaining life, six hours while there is none; up to a quarter less, so that not all ask at once"
    ),
    _S.NEED_SCEP_ENCRYPTION_CERT: (
        "as soon as the server's certificates are there; they are asked for a minute after the first failure, "
        "then twice as long after each further one, at most every six hours"
    ),
    _S.NEED_KEY_PAIR: _LOCAL_BACK_OFF,
    _S.NEED_KEYINFO: _LOCAL_BACK_OFF,
    _S.NEED_CSR: _LOCAL_BACK_OFF,
    _S.NEED_SCEP_DATA: _LOCAL_BACK_OFF,
    _S.START_SAVING_CERT: "a minute after the first failure, then twice as long each time, at most six hours",
    _S.NEED_TO_SAVE_CA_CERTS: "a minute after the first failure, then twice as long each time, at most six hours",
}
"""When states that may wait go on."""
_WORKING_RULE: Final[Mapping[State, str]] = {
    _S.SUBMITTING: "the CA's helper may take as long as submit_timeout allows; then the CA counts as unreachable",
    _S.PRE_SAVE_CERT: "the command may take as long as hook_timeout allows; it is ended then",
    _S.POST_SAVED_CERT: "the command may take as long as hook_timeout allows; it is ended then",
    _S.GENERATING_KEY_PAIR: "one key is made per processor at a time; large RSA keys take long",
}
_AT_ONCE: Final = "it goes on as soon as this is done"
_WATCH: Final = "people are told at the thresholds of notify_ttls, at its end and daily from then on"


def explain(request: Request, context: Context) -> tuple[Fact, ...]:
    """Facts about *request*, most important first.

    Labels: state, stuck, meaning, reason, ca, submitted, attempts, certificate, notices, next attempt, rule, advice.
    """
    facts: list[Fact] = [
        ("state", request.state.value),
        ("stuck", "yes" if request.is_stuck else "no"),
        ("meaning", MEANING[request.state]),
    ]
    if request.ca_error:
        facts.append(("reason", request.ca_error))
    if request.ca_name:
        facts.append(("ca", request.ca_name if context.ca is not None else f"{request.ca_name} (not known)"))
    if request.submitted is not None:
        facts.append(("submitted", time_text(request.submitted)))
    if request.attempts:
        facts.append(("attempts", f"{request.attempts} in a row without a certificate"))
    if request.cert_facts.not_after is not None:
        facts.append(("certificate", _validity(request.cert_facts.not_after, context.now)))
        facts.append(("notices", _WATCH if request.monitor else "none: the certificate is not tracked"))
    facts += _deployment(request)
    facts += _next(request, context)
    advice = advice_for(request.state, request.id)
    if request.state is State.MONITORING and request.deployment.has_failed:
        advice = f"Mend what is told above; to try at once: getcert refresh -i {request.id}"
    if advice:
        facts.append(("advice", advice))
    return tuple(facts)


def _deployment(request: Request) -> list[Fact]:
    """Whether the service has the certificate, where that is known."""
    deployment = request.deployment
    if deployment.ca_certs_retry_at is not None:
        when = time_text(deployment.ca_certs_retry_at)
        times = deployment.ca_certs_failures
        return [("deployment", f"the CA's certificates could not be stored {times} times in a row; again at {when}")]
    if deployment.retry_at is not None:
        when = time_text(deployment.retry_at)
        return [("deployment", f"failed {deployment.failures} times in a row; tried again at {when}")]
    if deployment.pre_save_error:
        return [("deployment", "done, although the pre-save command failed")]
    return [("deployment", f"{deployment.probe} presents the certificate")] if deployment.probe and request.cert else []


def time_text(moment: datetime) -> str:
    """UTC, as `getcert list -u` shows it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _validity(not_after: datetime, now: datetime) -> str:
    return f"{'valid until' if now < not_after else 'expired at'} {time_text(not_after)}"


def _next(request: Request, context: Context) -> list[Fact]:
    """When something happens by itself, and why then."""
    if request.state is State.MONITORING:
        return _next_renewal(request, context)
    if request.next_attempt is None:
        if request.is_stuck:
            return [("next attempt", "none by itself: somebody has to act")]
        return [("next attempt", "under way"), ("rule", _WORKING_RULE.get(request.state, _AT_ONCE))]
    rule = _WAITING_RULE.get(request.state, _BACK_OFF)
    return [("next attempt", time_text(request.next_attempt)), ("rule", rule)]


def _next_renewal(request: Request, context: Context) -> list[Fact]:
    not_after = request.cert_facts.not_after
    if not request.autorenew:
        return [("next attempt", "none: renewal is switched off (getcert start-tracking -r switches it on)")]
    if not_after is None:
        return []
    coming = request.next_attempt or next_renewal(request, context)
    if coming is None:
        return [("next attempt", "none: there is no key location, or no threshold is configured (enroll_ttls)")]
    advised = advised_renewal(request)
    if advised is not None:
        advice = request.renewal_advice
        window = " and ".join(time_text(moment) for moment in (advice.start, advice.end) if moment is not None)
        rule = f"the CA wants it renewed between {window}"
        page = f" ({advice.explanation})" if advice.explanation else ""
        return [("next attempt", time_text(coming)), ("rule", rule + page)]
    if not_after <= context.now:
        return [("next attempt", time_text(coming)), ("rule", "an expired certificate is tried once a day")]
    if is_renewal_due(request, context):
        return [("next attempt", time_text(coming)), ("rule", _OVERDUE)]
    rule = f"renewal is due when {_remaining_at_renewal(request, context)} of the certificate's life remain, {_LATER}"
    return [("next attempt", time_text(coming)), ("rule", rule)]


def _remaining_at_renewal(request: Request, context: Context) -> str:
    """The next threshold as configured, or as follows from what is configured."""
    facts = request.cert_facts
    if facts.not_after is None:
        return "nothing"
    remaining = facts.not_after - context.now
    spread = enroll_thresholds(request, context)
    configured = renewal_thresholds(
        context.policy.enroll_ttls, facts.not_before, facts.not_after, request.submitted, late=0
    )
    ahead = [threshold for threshold, own in zip(configured, spread, strict=True) if own <= remaining]
    return _duration(ahead[-1]) if ahead else "nothing"


def _duration(length: timedelta) -> str:
    """Days and hours, below an hour minutes and seconds; what is 0 is left out."""
    minutes, seconds = divmod(length.seconds % 3600, 60)
    parts = [(length.days, "days"), (length.seconds // 3600, "hours")]
    if length < timedelta(hours=1):
        parts = [(minutes, "minutes"), (seconds, "seconds")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)
