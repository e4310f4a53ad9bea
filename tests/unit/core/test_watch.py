"""A certificate is watched while its request waits for something else: for a CA, for a person."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import pytest
from fakes.request_world import NOW, World, issue_again, monitored_world, new_request
from hypothesis import given, settings
from hypothesis import strategies as st

from certmongerd.core.effects import BuildCsr, Effect, Idle, Notice, Notify, Submit, Wait
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    Begin,
    Event,
    Failed,
    Impossible,
    Refresh,
    Rejected,
    Unconfigured,
    Unreachable,
    Unusable,
    Working,
)
from certmongerd.core.states import State
from certmongerd.core.step import DEFAULT_THRESHOLDS, Policy

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
YEAR: Final = timedelta(days=365)


def notices(world: World) -> list[datetime]:
    return [at for at, effect in world.effects if effect == Notify(Notice.VALIDITY)]


def stuck_at_renewal(effect: type[Effect], result: Event) -> World:
    """A request whose renewal, four weeks before expiry, ends with *result*."""
    world = monitored_world(YEAR)
    world.overrides = {effect: result}
    world.live(YEAR - 27 * DAY)
    return world


STUCK: Final = (
    (BuildCsr, Failed(FailureKind.PIN, "no PIN"), State.NEED_CSR_GEN_PIN),
    (BuildCsr, Failed(FailureKind.TOKEN, "no token"), State.NEED_CSR_GEN_TOKEN),
    (BuildCsr, Impossible("bad subject"), State.NEED_GUIDANCE),
)


@pytest.mark.parametrize(("effect", "result", "state"), STUCK)
def test_a_request_that_waits_for_a_person_still_tells_that_its_certificate_ends(
    effect: type[Effect], result: Event, state: State
) -> None:
    world = stuck_at_renewal(effect, result)
    assert (world.request.state, world.request.next_attempt) == (state, None)
    before = len(world.effects)
    world.live(28 * DAY)
    assert {type(done) for _, done in world.effects[before:]} == {Notify}
    assert world.request.state is state
    # One at each threshold, the first of them before the renewal, and one at the end.
    assert len(notices(world)) == len(DEFAULT_THRESHOLDS) + 1
    world.live(30 * DAY)
    assert 29 <= len(notices(world)) - len(DEFAULT_THRESHOLDS) - 1 <= 31


@pytest.mark.parametrize("answer", [Unreachable("no route"), Working(cookie="c"), Working(cookie="c", delay=300 * DAY)])
def test_a_ca_that_does_not_answer_suppresses_no_notice(answer: Event) -> None:
    world = monitored_world(YEAR, answer=lambda *_: answer)
    world.live(YEAR + HOUR)
    told = notices(world)
    ends = NOW + YEAR
    for threshold in (*DEFAULT_THRESHOLDS, timedelta(0)):
        assert any(ends - threshold <= at <= ends - threshold + 2 * timedelta(seconds=1) for at in told), threshold
    world.live(30 * DAY)
    assert 28 <= len(notices(world)) - len(told) <= 31


def test_notices_neither_hasten_nor_delay_what_the_request_waits_for() -> None:
    world = monitored_world(YEAR, answer=lambda *_: Working(cookie="c", delay=25 * DAY))
    world.live(YEAR - 27 * DAY)
    submissions = world.times_of(Submit)
    due = world.request.next_attempt
    assert due == submissions[-1] + 25 * DAY
    world.live(22 * DAY)
    assert notices(world)[-1] > submissions[-1]
    assert (world.times_of(Submit), world.request.next_attempt) == (submissions, due)
    world.live(3 * DAY)
    assert world.times_of(Submit)[-1] == due


def test_a_failed_notice_is_no_failure_of_what_the_request_waits_for() -> None:
    world = monitored_world(YEAR, answer=lambda *_: Unreachable("no route"))
    world.overrides = {Notify: Failed(FailureKind.OTHER, "no mailer")}
    world.live(YEAR)
    assert (world.request.state, world.request.ca_error) == (State.CA_UNREACHABLE, "no route")


def test_a_waiting_request_goes_on_at_a_command() -> None:
    world = monitored_world(YEAR, answer=lambda *_: Unreachable("no route"))
    world.live(YEAR - 3 * DAY)
    before = world.request.state
    world.answer = issue_again
    world.happen(Refresh())
    assert (before, world.request.state) == (State.CA_UNREACHABLE, State.MONITORING)
    assert not world.request.is_watching


def test_a_clock_that_is_set_back_does_not_put_the_next_attempt_off_by_years() -> None:
    world = monitored_world(10 * YEAR, answer=lambda *_: Unreachable("no route"))
    world.live(10 * YEAR - 5 * DAY)
    assert world.request.state is State.CA_UNREACHABLE
    asked = len(world.times_of(Submit))
    world.now -= 8 * YEAR
    world.due = world.now  # the monotonic clock ends the wait
    world.wait()
    assert len(world.times_of(Submit)) == asked + 1
    assert world.request.next_attempt is not None
    assert world.request.next_attempt - world.now <= DAY


@pytest.mark.parametrize(("effect", "result", "state"), STUCK)
def test_without_a_certificate_there_is_nothing_to_announce(effect: type[Effect], result: Event, state: State) -> None:
    world = World(request=new_request(), overrides={effect: result})
    world.happen(Begin())
    assert (world.request.state, world.action) == (state, Idle())


def test_a_certificate_that_is_not_to_be_watched_is_not() -> None:
    world = stuck_at_renewal(BuildCsr, Failed(FailureKind.PIN, "no PIN"))
    told = len(notices(world))
    world.request = replace(world.request, monitor=False)
    world.restart()
    assert world.action == Idle()
    assert len(notices(world)) == told


def test_without_thresholds_for_notices_there_are_none() -> None:
    world = monitored_world(YEAR, answer=lambda *_: Unreachable("no route"), policy=Policy(notify_ttls=()))
    world.live(YEAR + 30 * DAY)
    assert notices(world) == []
    assert isinstance(world.action, Wait)


@settings(max_examples=25, deadline=None)
@given(
    life=st.floats(math.log(3600), math.log(3 * 365 * 86400)).map(lambda x: timedelta(seconds=round(math.exp(x)))),
    answer=st.sampled_from([Unreachable("no"), Rejected("no"), Unconfigured("no"), Unusable("?"), Working(cookie="c")]),
    seed=st.none() | st.text(max_size=3),
)
def test_whatever_the_ca_says_people_are_told_before_the_end_at_it_and_daily_but_no_more(
    life: timedelta, answer: Event, seed: str | None
) -> None:
    world = monitored_world(life, answer=lambda *_: answer, policy=Policy(spread_seed=seed))
    world.live(life + 30 * DAY)
    told, ends = notices(world), NOW + life
    before = [at for at in told if at < ends]
    assert 1 <= len(before) <= len(DEFAULT_THRESHOLDS)
    assert any(ends <= at <= ends + timedelta(seconds=2) for at in told)
    after = [at for at in told if at > ends + HOUR]
    assert 28 <= len(after) <= 31
    assert all(later - earlier >= 23 * HOUR for earlier, later in pairwise(after))
