"""What of a request's life is remembered."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.request_events import COMMANDS, RESULTS
from fakes.request_world import NOW, monitored

from certmongerd.core.events import Begin, CaChanged, Event, Resubmit, TimerFired, Unreachable
from certmongerd.core.history import LONGEST_ERROR, event_name, history_entry
from certmongerd.core.states import State

MINUTE = timedelta(minutes=1)


def test_a_failure_is_remembered_with_its_reason_and_the_next_attempt() -> None:
    before = replace(monitored(), state=State.SUBMITTING)
    after = replace(before, state=State.CA_UNREACHABLE, attempts=3, ca_error="no route", next_attempt=NOW + MINUTE)
    entry = history_entry(before, Unreachable("no route"), after, NOW)
    assert entry is not None
    assert (entry.at, entry.event, entry.state) == (NOW, "unreachable", "CA_UNREACHABLE")
    assert (entry.attempts, entry.error, entry.due) == (3, "no route", NOW + MINUTE)


@pytest.mark.parametrize("event", [Begin(), TimerFired(), CaChanged()])
def test_a_look_that_changes_nothing_is_not_remembered(event: Event) -> None:
    request = monitored()
    checked = replace(request, last_need_enroll_check=NOW)
    assert history_entry(request, event, checked, NOW) is None
    told = replace(request, ca_error="refused")
    assert history_entry(request, event, told, NOW) is not None


def test_a_command_is_remembered_even_if_the_state_stays() -> None:
    request = replace(monitored(), state=State.NEED_GUIDANCE)
    assert history_entry(request, Resubmit(), request, NOW) is not None


def test_a_long_error_is_cut() -> None:
    talkative = replace(monitored(), ca_error="x" * 100_000)
    entry = history_entry(monitored(), Unreachable(""), talkative, NOW)
    assert entry is not None
    assert len(entry.error) == LONGEST_ERROR


def test_events_have_names_of_their_own() -> None:
    events = {type(event) for results in RESULTS.values() for event in results} | {type(event) for event in COMMANDS}
    samples = {type(event): event for results in RESULTS.values() for event in results}
    assert len({event_name(event) for event in samples.values()}) == len(events - {type(e) for e in COMMANDS})
    assert event_name(TimerFired()) == "timer-fired"
