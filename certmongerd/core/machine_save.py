"""From an issued certificate to a stored and watched one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from certmongerd.core.effects import (
    AskRenewalInfo,
    Notice,
    Notify,
    ReadCert,
    RunPostSave,
    RunPreSave,
    SaveCaCerts,
    SaveCert,
    Wait,
)
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    CaCertsSaved,
    CertAbsent,
    CertRead,
    CertSaved,
    Continue,
    Event,
    Failed,
    HookEnded,
    HookFailed,
    Notified,
    RenewalInfo,
    TimerFired,
)
from certmongerd.core.evolve import replace
from certmongerd.core.machine_enroll import is_scep_ca
from certmongerd.core.model import KeyRecord, Request, StorageType
from certmongerd.core.renewal_info import (
    advised_renewal,
    is_question_due,
    may_ask,
    with_answer,
    without_answer,
)
from certmongerd.core.schedule import (
    LONGEST_FIRST_RETRY,
    MOST_PRE_SAVE_RETRIES,
    SOONISH,
    back_off,
    catch_up_delay,
    effective_thresholds,
    is_crossed,
    last_check_to_keep,
    monitoring_delay,
    next_crossing,
    renewal_thresholds,
)
from certmongerd.core.states import State
from certmongerd.core.step import Context, Handler, Step, go, pause, perform


def _need_to_save(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    if request.pre_save.command:
        return perform(request, State.PRE_SAVE_CERT, RunPreSave())
    return go(request, State.START_SAVING_CERT)


def _pre_save_ended(request: Request, _event: HookEnded, _context: Context) -> Step:
    deployment = replace(request.deployment, pre_save_error="")
    return go(replace(request, attempts=0, ca_error="", deployment=deployment), State.START_SAVING_CERT)


def _pre_save_failed(request: Request, event: HookFailed | Failed, _context: Context) -> Step:
    """Try again for a few minutes; but a certificate must not expire because of its command."""
    request = replace(request, ca_error=event.reason)
    if request.attempts < MOST_PRE_SAVE_RETRIES:
        delay = back_off(request.attempts, SOONISH, LONGEST_FIRST_RETRY)
        return pause(replace(request, attempts=request.attempts + 1), State.NEED_TO_SAVE_CERT, delay)
    deployment = replace(request.deployment, pre_save_error=event.reason)
    return go(replace(request, attempts=0, deployment=deployment), State.START_SAVING_CERT)


def _start_saving(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    return perform(request, State.SAVING_CERT, SaveCert())


def _saved(request: Request, event: CertSaved, context: Context) -> Step:
    request = replace(request, attempts=0, ca_error="", key_issued_count=request.key_issued_count + 1)
    if request.key_next_marker:
        key = request.key_next if event.key_swapped else request.key
        request = replace(request, key=key, key_next_marker="", key_issued_count=1)
        request = replace(request, key_next=KeyRecord())
    if event.token and not request.cert_storage.token:
        request = replace(request, cert_storage=replace(request.cert_storage, token=event.token))
    deployment = replace(request.deployment, error="", failures=0, retry_at=None)
    request = replace(request, deployment=deployment)
    used_scep = bool(request.scep.last_nonce) and context.ca is not None and is_scep_ca(context.ca)
    if context.policy.challenge_password_otp and used_scep:
        template = replace(request.template, challenge_password=None, challenge_password_file="")
        request = replace(request, template=template)
    return go(request, State.SAVED_CERT)


def _not_saved(request: Request, event: Failed, _context: Context) -> Step:
    request = replace(request, ca_error=event.reason)
    match event.kind:
        case FailureKind.PERMS:
            return _save_later(request, State.NEED_CERTSAVE_PERMS)
        case FailureKind.PIN:
            return _save_later(request, State.NEED_CERTSAVE_PIN)
        case FailureKind.TOKEN:
            return _save_later(request, State.NEED_CERTSAVE_TOKEN)
        case FailureKind.OTHER:
            return go(request, State.NEED_TO_NOTIFY_ISSUED_SAVE_FAILED)


def _save_later(request: Request, state: State) -> Step:
    """Wait for somebody, who may have acted without telling: so it is tried again, less and less often."""
    delay = back_off(request.attempts, 2 * SOONISH, LONGEST_FIRST_RETRY)
    return pause(replace(request, attempts=request.attempts + 1), state, delay)


def _notify_not_saved(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    return perform(request, State.NOTIFYING_ISSUED_SAVE_FAILED, Notify(Notice.ISSUED_SAVE_FAILED))


def _retry_saving(request: Request, _event: Notified | Failed, _context: Context) -> Step:
    delay = back_off(request.attempts, 2 * SOONISH, LONGEST_FIRST_RETRY)
    return pause(replace(request, attempts=request.attempts + 1), State.START_SAVING_CERT, delay)


def _saved_cert(request: Request, _event: Continue, _context: Context) -> Step:
    return go(request, State.NEED_TO_SAVE_CA_CERTS)


def _need_to_save_ca_certs(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    return go(request, State.START_SAVING_CA_CERTS)


def _start_saving_ca_certs(request: Request, _event: Continue, _context: Context) -> Step:
    return perform(request, State.SAVING_CA_CERTS, SaveCaCerts())


def _ca_certs_saved(request: Request, _event: CaCertsSaved, _context: Context) -> Step:
    return go(_with_ca_certs(replace(request, attempts=0, ca_error="")), State.NEED_TO_READ_CERT)


def _ca_certs_not_saved(request: Request, event: Failed, _context: Context) -> Step:
    request = replace(request, ca_error=event.reason)
    if event.kind is FailureKind.PERMS:
        return _save_later(request, State.NEED_CA_CERT_SAVE_PERMS)
    return go(request, State.NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED)


def _notify_ca_certs_not_saved(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    return perform(request, State.NOTIFYING_ISSUED_CA_SAVE_FAILED, Notify(Notice.ISSUED_CA_SAVE_FAILED))


def _retry_saving_ca_certs(request: Request, _event: Notified | Failed, _context: Context) -> Step:
    delay = back_off(request.attempts, 2 * SOONISH, LONGEST_FIRST_RETRY)
    return pause(replace(request, attempts=request.attempts + 1), State.NEED_TO_SAVE_CA_CERTS, delay)


def _need_to_read(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    return perform(request, State.READING_CERT, ReadCert())


def _read_back(request: Request, event: CertRead, context: Context) -> Step:
    # Counted as checked: a CA that hands out certificates that are due already (back-dated, or always
    # the same one) is asked again at the next threshold, not at once and for ever.
    request = replace(
        request,
        cert=event.cert,
        cert_facts=event.facts,
        attempts=0,
        last_need_notify_check=context.now,
        last_need_enroll_check=context.now,
    )
    if request.post_save.command or request.deployment.probe:
        step = perform(request, State.POST_SAVED_CERT, RunPostSave())
    else:
        step = _deployed(request, HookEnded(), context)
    return replace(step, certificate_saved=True)


def _not_read_back(request: Request, event: CertAbsent | Failed, _context: Context) -> Step:
    reason = event.reason if isinstance(event, Failed) else "The certificate vanished right after it was stored."
    delay = back_off(request.attempts, SOONISH, LONGEST_FIRST_RETRY)
    # Storing is idempotent, so it is simply done again, and counted again.
    count = max(request.key_issued_count - 1, 0)
    request = replace(request, ca_error=reason, attempts=request.attempts + 1, key_issued_count=count)
    return pause(request, State.START_SAVING_CERT, delay)


def _deployed(request: Request, _event: HookEnded, _context: Context) -> Step:
    deployment = replace(request.deployment, error="", failures=0, retry_at=None)
    after = replace(request, ca_error=deployment.trouble, deployment=deployment)
    return go(after, _state_after_deploying(request))


def _not_deployed(request: Request, event: HookFailed | Failed, context: Context) -> Step:
    """The certificate is stored and watched, but the service does not have it: that is told, and tried again."""
    delay = back_off(request.deployment.failures, SOONISH, LONGEST_FIRST_RETRY)
    deployment = replace(
        request.deployment,
        error=event.reason,
        failures=request.deployment.failures + 1,
        retry_at=context.now + delay,
    )
    after = replace(request, ca_error=event.reason, deployment=deployment)
    return go(after, _state_after_deploying(request))


def _state_after_deploying(request: Request) -> State:
    """People were told of the certificate when deploying it was tried for the first time."""
    return State.MONITORING if request.deployment.failures else State.NEED_TO_NOTIFY_ISSUED_SAVED


def _notify_saved(request: Request, _event: Continue, _context: Context) -> Step:
    return perform(request, State.NOTIFYING_ISSUED_SAVED, Notify(Notice.ISSUED_SAVED))


def _watch(request: Request, _event: Notified | Failed, _context: Context) -> Step:
    return go(request, State.MONITORING)


def _only_ca_certs_saved(request: Request, _event: CaCertsSaved, _context: Context) -> Step:
    request = _with_ca_certs(request)
    return go(replace(request, attempts=0, ca_error=request.deployment.trouble), State.MONITORING)


def _with_ca_certs(request: Request) -> Request:
    """*request* whose CA certificates are where they belong."""
    deployment = replace(request.deployment, ca_certs_error="", ca_certs_failures=0, ca_certs_retry_at=None)
    return replace(request, deployment=deployment)


def _need_to_save_only_ca_certs(request: Request, _event: Continue, _context: Context) -> Step:
    return go(request, State.START_SAVING_ONLY_CA_CERTS)


def _start_saving_only_ca_certs_again(request: Request, _event: TimerFired, _context: Context) -> Step:
    return go(request, State.START_SAVING_ONLY_CA_CERTS)


def _start_saving_only_ca_certs(request: Request, _event: Continue, _context: Context) -> Step:
    return perform(request, State.SAVING_ONLY_CA_CERTS, SaveCaCerts())


def _only_ca_certs_not_saved(request: Request, event: Failed, context: Context) -> Step:
    request = replace(request, ca_error=event.reason)
    if event.kind is FailureKind.PERMS and not is_renewal_due(request, context):
        return _save_later(request, State.NEED_ONLY_CA_CERT_SAVE_PERMS)
    failures = request.deployment.ca_certs_failures
    delay = back_off(failures, 2 * SOONISH, LONGEST_FIRST_RETRY)
    deployment = replace(
        request.deployment,
        ca_certs_error=event.reason,
        ca_certs_failures=failures + 1,
        ca_certs_retry_at=context.now + delay,
    )
    request = replace(request, deployment=deployment)
    # People are told once; the certificate is watched meanwhile.
    return go(request, State.MONITORING if failures else State.NEED_TO_NOTIFY_ONLY_CA_SAVE_FAILED)


def _notify_only_ca_certs_not_saved(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    return perform(request, State.NOTIFYING_ONLY_CA_SAVE_FAILED, Notify(Notice.ONLY_CA_SAVE_FAILED))


def _monitor(request: Request, event: Continue | TimerFired, context: Context) -> Step:
    retry_at = request.deployment.retry_at
    if retry_at is not None and retry_at <= context.now:
        return perform(request, State.POST_SAVED_CERT, RunPostSave())
    ca_certs_retry_at = request.deployment.ca_certs_retry_at
    if ca_certs_retry_at is not None and ca_certs_retry_at <= context.now:
        return go(request, State.NEED_TO_SAVE_ONLY_CA_CERTS)
    step = _watch_over(request, event, context)
    next_try = request.deployment.next_try
    if next_try is not None and isinstance(step.action, Wait):
        return replace(step, action=Wait(min(step.action.delay, next_try - context.now)))
    return step


def _watch_over(request: Request, _event: Continue | TimerFired, context: Context) -> Step:
    facts, now = request.cert_facts, context.now
    if is_question_due(request, context):
        return perform(request, State.MONITORING, AskRenewalInfo())
    if facts.not_after is None:
        request = replace(request, next_attempt=None)
        return pause(request, State.MONITORING, monitoring_delay((), None, now))
    notify = effective_thresholds(context.policy.notify_ttls, facts.not_before, facts.not_after)
    if request.monitor:
        last = request.last_need_notify_check
        notice_due = is_crossed(notify, facts.not_after, last, now)
        last = last_check_to_keep(facts.not_after, last, now, crossed=notice_due)
        request = replace(request, last_need_notify_check=last)
        if notice_due:
            return go(request, State.NEED_TO_NOTIFY_VALIDITY)
    return _renew_or_sleep(request, facts.not_after, notify, context)


def _validity_notified(request: Request, _event: Notified | Failed, context: Context) -> Step:
    facts = request.cert_facts
    if facts.not_after is None:
        return go(request, State.MONITORING)
    notify = effective_thresholds(context.policy.notify_ttls, facts.not_before, facts.not_after)
    return _renew_or_sleep(request, facts.not_after, notify, context)


def _renew_or_sleep(request: Request, not_after: datetime, notify: tuple[timedelta, ...], context: Context) -> Step:
    now, enroll = context.now, enroll_thresholds(request, context)
    if request.autorenew and request.key_storage.type is not StorageType.NONE:
        last = request.last_need_enroll_check
        advised = advised_renewal(request)
        renewal_due = is_crossed(enroll, not_after, last, now) if advised is None else now >= advised
        catch_up = _catch_up_at(request, not_after, context) if renewal_due and advised is None else now
        if catch_up > now:
            delay = min(catch_up - now, monitoring_delay(notify, not_after, now))
            return pause(replace(request, next_attempt=catch_up), State.MONITORING, delay)
        last = last_check_to_keep(not_after, last, now, crossed=renewal_due)
        request = replace(request, last_need_enroll_check=last)
        if renewal_due:
            request = replace(request, ca_cookie="", attempts=0, demands=0, next_attempt=None)
            return go(request, State.NEED_KEY_PAIR if _rekey_due(request, context) else State.NEED_CSR)
    request = replace(request, next_attempt=next_renewal(request, context))
    delay = monitoring_delay((*enroll, *notify), not_after, now)
    ask_at = request.renewal_advice.ask_at if may_ask(request, context.ca) else None
    for moment in (ask_at, request.next_attempt):
        if moment is not None and moment > now:
            delay = min(delay, moment - now)
    return pause(request, State.MONITORING, delay)


def _renewal_info_read(request: Request, event: RenewalInfo, context: Context) -> Step:
    return go(with_answer(request, event, context), State.MONITORING)


def _no_renewal_info(request: Request, _event: Failed, context: Context) -> Step:
    return go(without_answer(request, context), State.MONITORING)


def _catch_up_at(request: Request, not_after: datetime, context: Context) -> datetime:
    """When a renewal that is due begins: at once if its time had been planned or the certificate is new here.

    One that is found to be overdue – the daemon did not run, or its settings were changed – is put off a
    little, as many others may be found with it.
    """
    planned, now = request.next_attempt, context.now
    if request.last_need_enroll_check is None or (planned is not None and planned <= now):
        return now
    found = now + catch_up_delay(not_after, now, context.policy.share(request.id, "overdue"))
    return found if planned is None else min(found, planned)


def enroll_thresholds(request: Request, context: Context) -> tuple[timedelta, ...]:
    """The remaining lives of the certificate held at which its renewal is attempted, ascending."""
    facts = request.cert_facts
    if facts.not_after is None:
        return ()
    late = context.policy.share(request.id)
    return renewal_thresholds(context.policy.enroll_ttls, facts.not_before, facts.not_after, request.submitted, late)


def is_renewal_due(request: Request, context: Context) -> bool:
    """Whether the certificate held has fallen below a threshold since it was checked last."""
    not_after, last = request.cert_facts.not_after, request.last_need_enroll_check
    return not_after is not None and is_crossed(enroll_thresholds(request, context), not_after, last, context.now)


def next_renewal(request: Request, context: Context) -> datetime | None:
    """When a certificate that is watched is renewed by itself; None for never."""
    not_after = request.cert_facts.not_after
    if not_after is None or not request.autorenew or request.key_storage.type is StorageType.NONE:
        return None
    advised = advised_renewal(request)
    if advised is not None:
        return max(advised, context.now)
    return next_crossing(enroll_thresholds(request, context), not_after, request.last_need_enroll_check, context.now)


def _rekey_due(request: Request, context: Context) -> bool:
    """Whether automatic renewal should change the key: used often enough, old enough, or unknown."""
    policy = context.policy
    if request.key.size == 0:
        return True
    if policy.max_key_use_count > 0 and request.key_issued_count >= policy.max_key_use_count:
        return True
    if policy.key_expires_at is not None and request.key.generated_at is not None:
        return context.now >= policy.key_expires_at(request.key.generated_at)
    return False


def _notify_validity(request: Request, _event: Continue, _context: Context) -> Step:
    return perform(request, State.NOTIFYING_VALIDITY, Notify(Notice.VALIDITY))


TRANSITIONS: Final[Mapping[tuple[State, type[Event]], Handler]] = {
    (State.NEED_TO_SAVE_CERT, Continue): _need_to_save,
    (State.NEED_TO_SAVE_CERT, TimerFired): _need_to_save,
    (State.PRE_SAVE_CERT, HookEnded): _pre_save_ended,
    (State.PRE_SAVE_CERT, HookFailed): _pre_save_failed,
    (State.PRE_SAVE_CERT, Failed): _pre_save_failed,
    (State.START_SAVING_CERT, Continue): _start_saving,
    (State.START_SAVING_CERT, TimerFired): _start_saving,
    (State.SAVING_CERT, CertSaved): _saved,
    (State.SAVING_CERT, Failed): _not_saved,
    (State.NEED_TO_NOTIFY_ISSUED_SAVE_FAILED, Continue): _notify_not_saved,
    (State.NOTIFYING_ISSUED_SAVE_FAILED, Notified): _retry_saving,
    (State.NOTIFYING_ISSUED_SAVE_FAILED, Failed): _retry_saving,
    (State.SAVED_CERT, Continue): _saved_cert,
    (State.NEED_TO_SAVE_CA_CERTS, Continue): _need_to_save_ca_certs,
    (State.NEED_TO_SAVE_CA_CERTS, TimerFired): _need_to_save_ca_certs,
    (State.START_SAVING_CA_CERTS, Continue): _start_saving_ca_certs,
    (State.SAVING_CA_CERTS, CaCertsSaved): _ca_certs_saved,
    (State.SAVING_CA_CERTS, Failed): _ca_certs_not_saved,
    (State.NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED, Continue): _notify_ca_certs_not_saved,
    (State.NOTIFYING_ISSUED_CA_SAVE_FAILED, Notified): _retry_saving_ca_certs,
    (State.NOTIFYING_ISSUED_CA_SAVE_FAILED, Failed): _retry_saving_ca_certs,
    (State.NEED_TO_READ_CERT, Continue): _need_to_read,
    (State.READING_CERT, CertRead): _read_back,
    (State.READING_CERT, CertAbsent): _not_read_back,
    (State.READING_CERT, Failed): _not_read_back,
    (State.POST_SAVED_CERT, HookEnded): _deployed,
    (State.POST_SAVED_CERT, HookFailed): _not_deployed,
    (State.POST_SAVED_CERT, Failed): _not_deployed,
    (State.NEED_CERTSAVE_PERMS, TimerFired): _start_saving,
    (State.NEED_CERTSAVE_PIN, TimerFired): _start_saving,
    (State.NEED_CERTSAVE_TOKEN, TimerFired): _start_saving,
    (State.NEED_CA_CERT_SAVE_PERMS, TimerFired): _need_to_save_ca_certs,
    (State.NEED_ONLY_CA_CERT_SAVE_PERMS, TimerFired): _start_saving_only_ca_certs_again,
    (State.NEED_TO_NOTIFY_ISSUED_SAVED, Continue): _notify_saved,
    (State.NOTIFYING_ISSUED_SAVED, Notified): _watch,
    (State.NOTIFYING_ISSUED_SAVED, Failed): _watch,
    (State.NEED_TO_SAVE_ONLY_CA_CERTS, Continue): _need_to_save_only_ca_certs,
    (State.START_SAVING_ONLY_CA_CERTS, Continue): _start_saving_only_ca_certs,
    (State.SAVING_ONLY_CA_CERTS, CaCertsSaved): _only_ca_certs_saved,
    (State.SAVING_ONLY_CA_CERTS, Failed): _only_ca_certs_not_saved,
    (State.NEED_TO_NOTIFY_ONLY_CA_SAVE_FAILED, Continue): _notify_only_ca_certs_not_saved,
    (State.NOTIFYING_ONLY_CA_SAVE_FAILED, Notified): _watch,
    (State.NOTIFYING_ONLY_CA_SAVE_FAILED, Failed): _watch,
    (State.MONITORING, Continue): _monitor,
    (State.MONITORING, TimerFired): _monitor,
    (State.MONITORING, RenewalInfo): _renewal_info_read,
    (State.MONITORING, Failed): _no_renewal_info,
    (State.NEED_TO_NOTIFY_VALIDITY, Continue): _notify_validity,
    (State.NOTIFYING_VALIDITY, Notified): _validity_notified,
    (State.NOTIFYING_VALIDITY, Failed): _validity_notified,
}
