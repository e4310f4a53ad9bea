"""The states as a graph: nothing is unreachable, nothing is a dead end."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Final

import pytest
from fakes.request_events import CAS, RESULTS
from fakes.request_world import NOW, PLAIN_CA, new_request, with_known_key

from certmongerd.core.effects import Action, Again, Idle, Wait
from certmongerd.core.events import (
    Begin,
    Continue,
    Event,
    Rekey,
    Resubmit,
    TimerFired,
)
from certmongerd.core.machine import step
from certmongerd.core.model import CaCertLocations, Hook, KeyStorage, Request
from certmongerd.core.states import STUCK_STATES, State
from certmongerd.core.step import Context

S = State


GIVEN_UP: Final = {S.NEED_TO_NOTIFY_REJECTION, S.NOTIFYING_REJECTION, S.CA_REJECTED, S.NEED_GUIDANCE}


def possible_events(action: Action) -> tuple[Event, ...]:
    """What can happen next, besides commands, when *action* is under way."""
    match action:
        case Idle():
            return ()
        case Again():
            return (Continue(),)
        case Wait():
            return (TimerFired(),)
        case _:
            return RESULTS[type(action)]


def starting_points() -> Iterator[tuple[Request, Context]]:
    """New entries with different settings."""
    hooks = Hook(command="/bin/true", uid="0")
    places = CaCertLocations(root_files=("/etc/ca.pem",))
    yield replace(new_request(), key_storage=KeyStorage()), Context(now=NOW, ca=PLAIN_CA, cas=CAS)
    yield new_request(), Context(now=NOW)
    for ca in CAS:
        request = replace(new_request(ca), pre_save=hooks, post_save=hooks, ca_certs=places)
        yield request, Context(now=NOW, ca=ca, cas=CAS)


def essence(request: Request) -> Request:
    """*request* without what only counts, dates or describes: two with equal essence go on alike."""
    return replace(
        request,
        key=replace(request.key, requested_count=0, generated_at=None),
        key_next=replace(request.key_next, requested_count=0, generated_at=None),
        key_issued_count=0,
        ca_error="",
        submitted=None,
        last_need_notify_check=None,
        last_need_enroll_check=None,
        next_attempt=None,
        attempts=0,
        demands=0,
    )


@cache
def reachable() -> dict[State, set[State]]:
    """The states that follow each state, found by letting everything happen to new entries."""
    followers: dict[State, set[State]] = {}
    for start, context in starting_points():
        seen: set[tuple[Request, bool, type[Action]]] = set()
        todo: list[tuple[Request, Action]] = [(start, Again())]
        while todo:
            request, action = todo.pop()
            known = (essence(request), request.is_watching, type(action))
            if known in seen:
                continue
            seen.add(known)
            for event in possible_events(action):
                outcome = step(request, event, context)
                followers.setdefault(request.state, set()).add(outcome.request.state)
                if outcome.accepted:
                    todo.append((outcome.request, outcome.action))
    return followers


def closure(followers: dict[State, set[State]], start: State) -> set[State]:
    found: set[State] = {start}
    todo: list[State] = [start]
    while todo:
        new = followers.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found


def test_every_state_can_be_reached_by_a_new_entry_without_any_command() -> None:
    assert closure(reachable(), S.NEWLY_ADDED) == set(State)


@pytest.mark.parametrize("command", [Begin(), Resubmit(), Rekey()])
def test_every_state_has_a_way_to_monitoring(command: Event) -> None:
    # A command may be needed, but any of the three will do where nothing else helps.
    for state in State:
        start = step(replace(with_known_key(new_request()), state=state), command, Context(now=NOW)).request.state
        stays = isinstance(command, Begin) and state in GIVEN_UP
        assert (S.MONITORING in closure(reachable(), start)) is not stays


def test_only_stuck_states_have_no_way_on_of_their_own() -> None:
    for state in State:
        # Notices about a certificate leave the state as it is.
        others = reachable().get(state, set()) - {state}
        tries_by_itself = state is S.CA_UNCONFIGURED or "SAVE" in state.value
        assert bool(others) is (state not in STUCK_STATES or tries_by_itself)
