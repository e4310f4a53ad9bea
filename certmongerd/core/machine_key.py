"""From a new entry to a key pair and a signing request."""

from collections.abc import Mapping
from typing import Final

from certmongerd.core.adoption import fill_template
from certmongerd.core.choice import choose_ca, wants_ca_certs
from certmongerd.core.effects import BuildCsr, GenerateKey, ReadCert, ReadKey
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    CertAbsent,
    CertRead,
    Continue,
    CsrBuilt,
    Event,
    Failed,
    Impossible,
    KeyAbsent,
    KeyGenerated,
    KeyRead,
    TimerFired,
)
from certmongerd.core.evolve import replace
from certmongerd.core.model import KeyRecord, Request, StorageType
from certmongerd.core.schedule import LONGEST_FIRST_RETRY, SOONISH, back_off
from certmongerd.core.states import State
from certmongerd.core.step import Context, Handler, Step, go, need_guidance, pause, perform, rest


def with_key(record: KeyRecord, event: KeyRead | KeyGenerated) -> KeyRecord:
    """*record* with the facts of the key that was read or made."""
    return replace(record, type=event.type, size=event.size, pubkey_info=event.pubkey_info)


def _in_token(request: Request, token: str) -> Request:
    """*request* with the token that its key turned out to be in, unless one was named."""
    storage = request.key_storage
    return request if storage.token or not token else replace(request, key_storage=replace(storage, token=token))


def _newly_added(request: Request, _event: Continue, _context: Context) -> Step:
    if request.key_storage.type is StorageType.NONE:
        return go(request, State.NEWLY_ADDED_START_READING_CERT)
    return go(request, State.NEWLY_ADDED_START_READING_KEYINFO)


def _start_reading_new_key(request: Request, _event: Continue, _context: Context) -> Step:
    return perform(request, State.NEWLY_ADDED_READING_KEYINFO, ReadKey(cert_is_next=True))


def _new_key_read(request: Request, event: KeyRead, _context: Context) -> Step:
    request = _in_token(request, event.token)
    return go(replace(request, key=with_key(request.key, event)), State.NEWLY_ADDED_START_READING_CERT)


def _new_key_absent(request: Request, _event: KeyAbsent, _context: Context) -> Step:
    return go(request, State.NEWLY_ADDED_START_READING_CERT)


def _new_key_unreadable(request: Request, event: Failed, _context: Context) -> Step:
    request = replace(request, ca_error=event.reason)
    match event.kind:
        case FailureKind.PIN:
            return rest(request, State.NEWLY_ADDED_NEED_KEYINFO_READ_PIN)
        case FailureKind.TOKEN:
            return rest(request, State.NEWLY_ADDED_NEED_KEYINFO_READ_TOKEN)
        case FailureKind.PERMS | FailureKind.OTHER:
            # Somebody's key that cannot be used must not be mistaken for no key at all.
            return need_guidance(request, event.reason)


def _start_reading_new_cert(request: Request, _event: Continue, _context: Context) -> Step:
    return perform(request, State.NEWLY_ADDED_READING_CERT, ReadCert())


def _new_cert_read(request: Request, event: CertRead, _context: Context) -> Step:
    return go(replace(request, cert=event.cert, cert_facts=event.facts), State.NEWLY_ADDED_DECIDING)


def _no_new_cert(request: Request, _event: CertAbsent | Failed, _context: Context) -> Step:
    return go(request, State.NEWLY_ADDED_DECIDING)


def _decide(request: Request, _event: Continue, context: Context) -> Step:
    if not request.ca_name:
        request = replace(request, ca_name=choose_ca(request, context.cas, context.policy.default_ca))
    if request.cert:
        request = replace(request, template=fill_template(request.template, request.cert_facts))
        if wants_ca_certs(request, context.cas):
            return go(request, State.NEED_TO_SAVE_ONLY_CA_CERTS)
        return go(request, State.MONITORING)
    if request.key_storage.type is StorageType.NONE:
        return need_guidance(request, "There is neither a certificate at its location nor a key to request one with.")
    if request.key.size > 0:
        return go(request, State.NEED_CSR)
    return go(request, State.NEED_KEY_PAIR)


def _need_key_pair(request: Request, event: Continue | TimerFired, context: Context) -> Step:
    if request.key_storage.type is StorageType.NONE:
        return need_guidance(request, "No key can be made: the request has no key location.")
    is_first = isinstance(event, Continue) and not (request.key.size > 0 or request.cert_facts.spki)
    if not is_first or request.key_next_marker:
        request = naming_candidate(request, context)
    return perform(request, State.GENERATING_KEY_PAIR, GenerateKey())


def naming_candidate(request: Request, context: Context) -> Request:
    """*request* about to make a candidate key, of which it knows the name, and nothing else.

    Each key but the first attempt at the first one may turn out to be a candidate.

    The name is on disk before the candidate is, and stays its name until it is used: so whatever interrupts the
    generation, the next one finds what this one left and takes its place. What was known of an earlier candidate is
    forgotten: if the generation is cut short, it is the file that says which key is there.
    """
    if request.key_storage.type is StorageType.NONE:
        return request
    blank = KeyRecord(gen_type=request.key.gen_type, gen_size=request.key.gen_size)
    return replace(request, key_next_marker=request.key_next_marker or context.new_marker, key_next=blank)


def _key_generated(request: Request, event: KeyGenerated, context: Context) -> Step:
    made = KeyRecord(
        type=event.type,
        size=event.size,
        gen_type=request.key.gen_type,
        gen_size=request.key.gen_size,
        pubkey_info=event.pubkey_info,
        generated_at=context.now,
    )
    request = replace(_in_token(request, event.token), attempts=0, ca_error="", ca_cookie="")
    request = replace(request, key_next_marker=event.marker)
    if event.marker:
        return go(replace(request, key_next=made), State.HAVE_KEY_PAIR)
    return go(replace(request, key=made, key_issued_count=0), State.HAVE_KEY_PAIR)


def _key_not_generated(request: Request, event: Failed, _context: Context) -> Step:
    request = replace(request, ca_error=event.reason)
    if event.kind is not FailureKind.PERMS:
        # There is no candidate now, so what comes next is signed with the old key. Where nothing may be written,
        # nothing could be removed either: the name of what is there is kept.
        gone = KeyRecord(gen_type=request.key_next.gen_type, gen_size=request.key_next.gen_size)
        request = replace(request, key_next_marker="", key_next=gone)
    match event.kind:
        case FailureKind.PERMS:
            return rest(request, State.NEED_KEY_GEN_PERMS)
        case FailureKind.PIN:
            return rest(request, State.NEED_KEY_GEN_PIN)
        case FailureKind.TOKEN:
            return rest(request, State.NEED_KEY_GEN_TOKEN)
        case FailureKind.OTHER:
            delay = back_off(request.attempts, SOONISH, LONGEST_FIRST_RETRY)
            return pause(replace(request, attempts=request.attempts + 1), State.NEED_KEY_PAIR, delay)


def _have_key_pair(request: Request, _event: Continue, _context: Context) -> Step:
    return go(request, State.NEED_KEYINFO)


def _need_keyinfo(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    return perform(request, State.READING_KEYINFO, ReadKey())


def _keyinfo_read(request: Request, event: KeyRead, _context: Context) -> Step:
    request = _in_token(request, event.token)
    if request.key_next_marker:
        return go(replace(request, key_next=with_key(request.key_next, event)), State.HAVE_KEYINFO)
    return go(replace(request, key=with_key(request.key, event)), State.HAVE_KEYINFO)


def _keyinfo_absent(request: Request, _event: KeyAbsent, context: Context) -> Step:
    """The key that is to sign is gone, whatever it was that noticed."""
    if request.key_next_marker:
        # The candidate vanished, or is the key by now, and a crash came before that was written down. Which it is shows
        # when the key is read before it is used; a new candidate is made anyway.
        unread = replace(request.key, type=None, size=0, pubkey_info=b"")
        request = replace(request, key_next_marker="", key_next=KeyRecord(), key=unread)
        return pause(request, State.NEED_KEY_PAIR, SOONISH)
    if request.key.size == 0:
        return go(naming_candidate(request, context), State.NEED_KEY_PAIR)
    # A key that was there before vanished. Not at once: keys that keep vanishing must not be made in a loop.
    return pause(request, State.NEED_KEY_PAIR, SOONISH)


def _key_missed_at_submission(request: Request, event: KeyAbsent, context: Context) -> Step:
    return _keyinfo_absent(replace(request, submitted=context.now), event, context)


def _keyinfo_unreadable(request: Request, event: Failed, _context: Context) -> Step:
    request = replace(request, ca_error=event.reason)
    match event.kind:
        case FailureKind.PIN:
            return rest(request, State.NEED_KEYINFO_READ_PIN)
        case FailureKind.TOKEN:
            return rest(request, State.NEED_KEYINFO_READ_TOKEN)
        case FailureKind.PERMS | FailureKind.OTHER:
            delay = back_off(request.attempts, SOONISH, LONGEST_FIRST_RETRY)
            return pause(replace(request, attempts=request.attempts + 1), State.NEED_KEYINFO, delay)


def _have_keyinfo(request: Request, _event: Continue, _context: Context) -> Step:
    return go(request, State.NEED_CSR)


def _need_csr(request: Request, _event: Continue | TimerFired, _context: Context) -> Step:
    return perform(request, State.GENERATING_CSR, BuildCsr())


def _csr_built(request: Request, event: CsrBuilt, _context: Context) -> Step:
    # Answers to an earlier signing request are no answers to this one, and messages that hold it are of no use.
    scep = replace(request.scep, nonce=b"", req="", gic="", req_next="", gic_next="")
    request = replace(request, csr=event.csr, spkac=event.spkac, scep=scep, ca_cookie="", attempts=0)
    return go(request, State.HAVE_CSR)


def _csr_failed(request: Request, event: Failed, _context: Context) -> Step:
    request = replace(request, ca_error=event.reason)
    match event.kind:
        case FailureKind.PIN:
            return rest(request, State.NEED_CSR_GEN_PIN)
        case FailureKind.TOKEN:
            return rest(request, State.NEED_CSR_GEN_TOKEN)
        case FailureKind.PERMS | FailureKind.OTHER:
            delay = back_off(request.attempts, SOONISH, LONGEST_FIRST_RETRY)
            return pause(replace(request, attempts=request.attempts + 1), State.NEED_CSR, delay)


def _csr_impossible(request: Request, event: Impossible, _context: Context) -> Step:
    return need_guidance(request, event.reason)


def _have_csr(request: Request, _event: Continue, _context: Context) -> Step:
    return go(request, State.NEED_TO_SUBMIT)


TRANSITIONS: Final[Mapping[tuple[State, type[Event]], Handler]] = {
    (State.NEWLY_ADDED, Continue): _newly_added,
    (State.NEWLY_ADDED_START_READING_KEYINFO, Continue): _start_reading_new_key,
    (State.NEWLY_ADDED_READING_KEYINFO, KeyRead): _new_key_read,
    (State.NEWLY_ADDED_READING_KEYINFO, KeyAbsent): _new_key_absent,
    (State.NEWLY_ADDED_READING_KEYINFO, Failed): _new_key_unreadable,
    (State.NEWLY_ADDED_START_READING_CERT, Continue): _start_reading_new_cert,
    (State.NEWLY_ADDED_READING_CERT, CertRead): _new_cert_read,
    (State.NEWLY_ADDED_READING_CERT, CertAbsent): _no_new_cert,
    (State.NEWLY_ADDED_READING_CERT, Failed): _no_new_cert,
    (State.NEWLY_ADDED_DECIDING, Continue): _decide,
    (State.NEED_KEY_PAIR, Continue): _need_key_pair,
    (State.NEED_KEY_PAIR, TimerFired): _need_key_pair,
    (State.GENERATING_KEY_PAIR, KeyGenerated): _key_generated,
    (State.GENERATING_KEY_PAIR, Failed): _key_not_generated,
    (State.HAVE_KEY_PAIR, Continue): _have_key_pair,
    (State.NEED_KEYINFO, Continue): _need_keyinfo,
    (State.NEED_KEYINFO, TimerFired): _need_keyinfo,
    (State.READING_KEYINFO, KeyRead): _keyinfo_read,
    (State.READING_KEYINFO, KeyAbsent): _keyinfo_absent,
    (State.READING_KEYINFO, Failed): _keyinfo_unreadable,
    (State.HAVE_KEYINFO, Continue): _have_keyinfo,
    (State.NEED_CSR, Continue): _need_csr,
    (State.NEED_CSR, TimerFired): _need_csr,
    (State.GENERATING_CSR, CsrBuilt): _csr_built,
    (State.GENERATING_CSR, KeyAbsent): _keyinfo_absent,
    (State.GENERATING_CSR, Failed): _csr_failed,
    (State.GENERATING_CSR, Impossible): _csr_impossible,
    (State.HAVE_CSR, Continue): _have_csr,
    (State.GENERATING_SCEP_DATA, KeyAbsent): _keyinfo_absent,
    (State.SUBMITTING, KeyAbsent): _key_missed_at_submission,
    (State.SAVING_CERT, KeyAbsent): _keyinfo_absent,
}
