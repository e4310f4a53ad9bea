"""Where requests go on after a restart of the daemon, and what they take over from the disk."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from fakes.request_events import CONTEXTS, KEY_READ, requests
from fakes.request_world import NOW, facts, monitored, with_candidate

from certmongerd.core.effects import Wait
from certmongerd.core.events import Begin, CertRead, KeyRead, Resubmit
from certmongerd.core.ids import Nickname
from certmongerd.core.machine import (
    RESTART_STATE,
    WAITING_FOR_CA,
    adopt_certificate,
    adopt_key,
    durable_image,
    step,
)
from certmongerd.core.machine_key import naming_candidate
from certmongerd.core.model import KeyAlgorithm
from certmongerd.core.states import State
from certmongerd.core.step import Policy
from certmongerd.store.requests import read_request, write_request

S = State

RESTARTS: Final = {
    "NEWLY_ADDED": """NEWLY_ADDED NEWLY_ADDED_START_READING_KEYINFO NEWLY_ADDED_READING_KEYINFO
        NEWLY_ADDED_NEED_KEYINFO_READ_PIN NEWLY_ADDED_NEED_KEYINFO_READ_TOKEN NEWLY_ADDED_START_READING_CERT
        NEWLY_ADDED_READING_CERT NEWLY_ADDED_DECIDING""",
    "NEED_KEY_PAIR": "NEED_KEY_PAIR GENERATING_KEY_PAIR NEED_KEY_GEN_PERMS NEED_KEY_GEN_TOKEN NEED_KEY_GEN_PIN",
    "HAVE_KEY_PAIR": "HAVE_KEY_PAIR",
    "NEED_KEYINFO": "NEED_KEYINFO READING_KEYINFO NEED_KEYINFO_READ_TOKEN NEED_KEYINFO_READ_PIN",
    "HAVE_KEYINFO": "HAVE_KEYINFO NEED_CSR GENERATING_CSR NEED_CSR_GEN_TOKEN NEED_CSR_GEN_PIN",
    "HAVE_CSR": "HAVE_CSR NEED_TO_SUBMIT SUBMITTING CA_WORKING CA_UNREACHABLE CA_UNCONFIGURED NEED_CA",
    "NEED_SCEP_DATA": """NEED_SCEP_DATA GENERATING_SCEP_DATA NEED_SCEP_GEN_PIN NEED_SCEP_GEN_TOKEN
        NEED_SCEP_ENCRYPTION_CERT NEED_SCEP_RSA_CLIENT_KEY""",
    "HAVE_SCEP_DATA": "HAVE_SCEP_DATA",
    "CA_REJECTED": "CA_REJECTED",
    "NEED_GUIDANCE": "NEED_GUIDANCE",
    "MONITORING": "MONITORING",
    "NEED_TO_SAVE_CERT": """NEED_TO_SAVE_CERT PRE_SAVE_CERT START_SAVING_CERT SAVING_CERT
        NEED_CERTSAVE_PERMS NEED_CERTSAVE_TOKEN NEED_CERTSAVE_PIN""",
    "SAVED_CERT": "SAVED_CERT",
    "NEED_TO_SAVE_CA_CERTS": """NEED_TO_SAVE_CA_CERTS START_SAVING_CA_CERTS SAVING_CA_CERTS
        NEED_CA_CERT_SAVE_PERMS""",
    # certmonger goes on behind the post-save command; a cut-off one is run again here.
    "NEED_TO_READ_CERT": "NEED_TO_READ_CERT READING_CERT POST_SAVED_CERT",
    "NEED_TO_NOTIFY_ISSUED_SAVED": "NEED_TO_NOTIFY_ISSUED_SAVED NOTIFYING_ISSUED_SAVED",
    # certmonger goes back to MONITORING, which has counted the notice as given: it would be lost.
    "NEED_TO_NOTIFY_VALIDITY": "NEED_TO_NOTIFY_VALIDITY NOTIFYING_VALIDITY",
    "NEED_TO_NOTIFY_REJECTION": "NEED_TO_NOTIFY_REJECTION NOTIFYING_REJECTION",
    "NEED_TO_NOTIFY_ISSUED_SAVE_FAILED": "NEED_TO_NOTIFY_ISSUED_SAVE_FAILED NOTIFYING_ISSUED_SAVE_FAILED",
    "NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED": "NEED_TO_NOTIFY_ISSUED_CA_SAVE_FAILED NOTIFYING_ISSUED_CA_SAVE_FAILED",
    "NEED_TO_NOTIFY_ONLY_CA_SAVE_FAILED": "NEED_TO_NOTIFY_ONLY_CA_SAVE_FAILED NOTIFYING_ONLY_CA_SAVE_FAILED",
    "NEED_TO_SAVE_ONLY_CA_CERTS": """NEED_TO_SAVE_ONLY_CA_CERTS START_SAVING_ONLY_CA_CERTS SAVING_ONLY_CA_CERTS
        NEED_ONLY_CA_CERT_SAVE_PERMS""",
}


def test_every_state_restarts_where_the_work_of_its_phase_begins() -> None:
    expected = {name: start for start, names in RESTARTS.items() for name in names.split()}
    assert {state.value: start.value for state, start in RESTART_STATE.items()} == expected
    assert set(expected) == {state.value for state in State}


@pytest.mark.parametrize("state", State)
def test_a_restart_changes_nothing_but_the_state_and_a_second_one_nothing_at_all(state: State) -> None:
    for kind in requests():
        request = replace(kind, state=state)
        image = durable_image(request)
        assert image == (request if state in WAITING_FOR_CA else replace(request, state=RESTART_STATE[state]))
        assert durable_image(image) == image
        begun = step(request, Begin(), CONTEXTS[0]).request
        named = request
        if RESTART_STATE[state] is State.NEED_KEY_PAIR:  # what is made next may be a candidate, and has its name
            named = naming_candidate(request, CONTEXTS[0])
        assert begun == replace(named, state=RESTART_STATE[state])
        assert step(begun, Begin(), CONTEXTS[0]).request == begun
        assert step(image, Begin(with_daemon=True), CONTEXTS[0]).request == begun


SPREAD: Final = replace(CONTEXTS[0], policy=Policy(spread_seed="host"))


@pytest.mark.parametrize("state", [State.CA_UNREACHABLE, State.CA_WORKING, State.CA_UNCONFIGURED])
def test_who_waits_for_its_ca_goes_on_waiting_after_a_restart_and_failures_are_not_forgotten(state: State) -> None:
    now = SPREAD.now
    waiting = replace(monitored(), state=state, attempts=7, demands=2, next_attempt=now + timedelta(minutes=1))
    stored, complaints = read_request(write_request(durable_image(waiting)))
    assert not complaints
    assert (stored.state, stored.attempts, stored.demands) == (state, 7, 2)
    begun = step(stored, Begin(with_daemon=True), SPREAD)
    assert (begun.request.state, begun.request.attempts) == (state, 7)
    assert begun.request.next_attempt is not None
    assert now < begun.request.next_attempt <= now + timedelta(minutes=1)
    # What somebody changes, or asks for, is tried at once.
    assert step(begun.request, Begin(), SPREAD).request.state is State.HAVE_CSR
    assert step(begun.request, Resubmit(), SPREAD).request.attempts == 0


def test_a_start_of_the_daemon_spreads_what_waits_for_a_ca_over_an_hour_at_most() -> None:
    now = SPREAD.now
    far = now + timedelta(days=4000)  # the clock was set back
    kinds = [replace(monitored(), id=Nickname(f"r{number}"), state=State.CA_UNREACHABLE) for number in range(600)]
    delays = []
    for kind in kinds:
        begun = step(replace(kind, next_attempt=far), Begin(with_daemon=True), SPREAD).request
        assert begun.next_attempt is not None
        delays.append(begun.next_attempt - now)
    assert max(delays) <= timedelta(hours=1)
    minutes = Counter(delay // timedelta(minutes=1) for delay in delays)
    assert max(minutes.values()) < 30
    assert len(minutes) == 60


def test_what_was_due_while_the_daemon_did_not_run_is_tried_at_its_start() -> None:
    past = replace(monitored(), state=State.CA_UNREACHABLE, next_attempt=SPREAD.now - timedelta(days=1))
    assert step(past, Begin(with_daemon=True), SPREAD).action == Wait(timedelta(0))


def test_a_key_found_at_start_up_replaces_what_was_recorded() -> None:
    found = KeyRead(type=KeyAlgorithm.EC, size=256, pubkey_info=b"replaced by hand")
    adopted = adopt_key(monitored(), found)
    assert (adopted.key.type, adopted.key.size, adopted.key.pubkey_info) == (KeyAlgorithm.EC, 256, b"replaced by hand")
    assert adopted.key.gen_type is KeyAlgorithm.RSA


def test_a_running_rekey_keeps_its_keys_at_start_up() -> None:
    request = with_candidate(monitored())
    assert adopt_key(request, KEY_READ) == request


@pytest.mark.parametrize("state", State)
def test_an_issued_certificate_is_not_replaced_by_an_older_one_at_start_up(state: State) -> None:
    request = replace(monitored(), state=state, cert="PEM issued, not stored yet")
    adopted = adopt_certificate(request, CertRead(cert="PEM on disk", facts=facts(NOW)))
    settled = {S.MONITORING, S.CA_REJECTED, S.NEED_GUIDANCE}
    assert adopted.cert == ("PEM on disk" if state in settled else request.cert)
