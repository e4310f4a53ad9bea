"""Names of states, and what is stuck."""

import pytest
from fakes.request_world import new_request

from certmongerd.core.states import OLD_STATE_NAMES, STUCK_STATES, State, parse_state


@pytest.mark.parametrize("state", State)
def test_a_state_is_read_from_its_name_in_any_case(state: State) -> None:
    assert state.value == state.name
    assert parse_state(state.value) is parse_state(f" {state.value.lower()}\n") is state


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("NEED_TO_NOTIFY", State.NEED_TO_NOTIFY_VALIDITY),
        ("notifying", State.NOTIFYING_VALIDITY),
        ("NEED_TO_NOTIFY_ISSUED_FAILED", State.NEED_TO_NOTIFY_ISSUED_SAVE_FAILED),
        ("NOTIFYING_ISSUED_FAILED", State.NOTIFYING_ISSUED_SAVE_FAILED),
        ("NEWLY_ADDED_START_READING_KEYI", State.NEWLY_ADDED_START_READING_KEYINFO),
        ("NEWLY_ADDED_READING_KEYI", State.NEWLY_ADDED_READING_KEYINFO),
        ("NEWLY_ADDED_NEED_KEYI_READ_PIN", State.NEWLY_ADDED_NEED_KEYINFO_READ_PIN),
    ],
)
def test_names_of_earlier_releases_are_understood(name: str, state: State) -> None:
    assert parse_state(name) is state


@pytest.mark.parametrize("name", ["", "INVALID", "MONITORING2", "NEED TO SUBMIT"])
def test_an_unknown_name_is_nobody_s(name: str) -> None:
    assert parse_state(name) is None


def test_no_old_name_is_a_present_one() -> None:
    assert not set(OLD_STATE_NAMES) & {state.value for state in State}


def test_every_state_that_is_named_after_a_need_of_somebody_is_stuck() -> None:
    needs = ("_PIN", "_TOKEN", "_PERMS", "_RSA_CLIENT_KEY")
    expected = {state for state in State if state.value.endswith(needs)}
    expected |= {State.NEED_CA, State.NEED_GUIDANCE, State.CA_REJECTED, State.CA_UNCONFIGURED}
    assert expected == STUCK_STATES
    assert not new_request().is_stuck
