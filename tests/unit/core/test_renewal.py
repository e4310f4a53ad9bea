"""Months and years in the life of watched certificates, with CAs good and bad."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

import pytest
from fakes.request_world import NOW, Answer, World, issue_again, monitored_world
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from certmongerd.core.effects import Notice, Notify, Submit, Wait
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    CaChanged,
    Event,
    Failed,
    NeedKeyPair,
    Rejected,
    Unconfigured,
    Unreachable,
    Unusable,
    Working,
)
from certmongerd.core.model import StorageType
from certmongerd.core.states import State
from certmongerd.core.step import DEFAULT_THRESHOLDS, Policy

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
BUSIEST_DAY: Final = 16
"""Most attempts on a certificate's last day: the thresholds of that day, then at thirds of what remains."""

BUSIEST_DAY_OF_AN_OUTAGE: Final = 48
"""Most attempts in a day at a CA that cannot be reached: doubled delays, then halves of what remains or has passed."""

lives = st.floats(math.log(60), math.log(10 * 365 * 86400)).map(lambda x: timedelta(seconds=round(math.exp(x))))
shares = st.floats(0, 3)
policies = st.lists(st.integers(1, 400 * 86400).map(lambda s: timedelta(seconds=s)), min_size=1, max_size=6).map(
    lambda thresholds: Policy(enroll_ttls=tuple(thresholds))
)


def most_in_a_day(moments: list[datetime]) -> int:
    """The most of *moments* that lie within 24 hours."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] > DAY:
            first += 1
        most = max(most, last - first + 1)
    return most


def issuing(life: timedelta, backdated: timedelta = timedelta(0)) -> Answer:
    return lambda world, _: world.issue(life + backdated, backdated)


def notices(world: World) -> list[datetime]:
    return [at for at, effect in world.effects if effect == Notify(Notice.VALIDITY)]


@settings(max_examples=60, deadline=None)
@given(life=lives, share=shares, policy=st.one_of(st.just(Policy()), policies))
def test_with_a_working_ca_no_certificate_ever_expires(life: timedelta, share: float, policy: Policy) -> None:
    answer = issuing(life, timedelta(seconds=round(life.total_seconds() * share)))
    world = monitored_world(life, answer=answer, policy=policy)
    for _ in range(120):
        if world.issued == 5:
            break
        assert isinstance(world.action, Wait)
        not_after = world.request.cert_facts.not_after
        assert not_after is not None
        assert world.now < not_after
        world.wait()
    # One wake-up a day, and up to two at each of the thresholds.
    assert world.issued > 0 or life > 90 * DAY
    assert len(set(world.times_of(Submit))) == world.issued


@pytest.mark.parametrize(
    ("life", "expected"),
    [
        (timedelta(days=365), 28 * DAY),
        (timedelta(days=90), 28 * DAY),
        (timedelta(days=30), 7 * DAY),
        (timedelta(days=7), 3 * DAY),
        (timedelta(days=1), 12 * HOUR),
        (timedelta(hours=1), 20 * MINUTE),
        (timedelta(minutes=5), timedelta(seconds=100)),
    ],
)
def test_a_certificate_is_renewed_just_below_its_largest_threshold(life: timedelta, expected: timedelta) -> None:
    world = monitored_world(life)
    world.live(life)
    (renewed,) = world.times_of(Submit)
    assert timedelta(0) < expected - (NOW + life - renewed) <= timedelta(seconds=1)


def test_a_certificate_found_below_a_threshold_is_renewed_at_once() -> None:
    world = monitored_world(10 * DAY)
    world.request = replace(
        world.request,
        cert_facts=replace(world.request.cert_facts, not_before=NOW - 355 * DAY),
        last_need_enroll_check=None,
    )
    world.restart()
    assert world.times_of(Submit) == [NOW]


@settings(max_examples=30, deadline=None)
@given(life=lives, backdated=lives)
def test_a_ca_that_issues_certificates_that_are_due_already_is_not_pestered(
    life: timedelta, backdated: timedelta
) -> None:
    assume(life >= DAY)
    world = monitored_world(life, answer=issuing(life, backdated))
    world.live(min(4 * life, 365 * DAY))
    assert most_in_a_day(world.times_of(Submit)) <= BUSIEST_DAY


def test_a_ca_that_always_issues_the_same_certificate_is_not_pestered() -> None:
    world = monitored_world(60 * DAY)

    def same(world: World, _: Submit) -> Event:
        issued = world.issue()
        world.disk.pending = replace(world.request.cert_facts)
        return replace(issued, cert="PEM 0|" + issued.spki.hex())

    world.answer = same
    world.live(120 * DAY)
    assert most_in_a_day(world.times_of(Submit)) <= BUSIEST_DAY


def test_a_ca_that_issues_expired_certificates_is_asked_once_a_day() -> None:
    world = monitored_world(answer=lambda world, _: world.issue(DAY, backdated=2 * DAY))
    world.live(365 * DAY)
    submissions = world.times_of(Submit)
    assert 10 < len(submissions) < 40
    assert most_in_a_day(submissions) <= 2


@pytest.mark.parametrize("answer", [Rejected("no"), Unconfigured("no settings"), Unusable("gibberish")])
def test_renewals_that_are_refused_are_tried_at_each_threshold_and_daily_after_expiry(answer: Event) -> None:
    world = monitored_world(answer=lambda *_: answer)
    world.live(365 * DAY)
    before = len(world.times_of(Submit))
    assert before >= len(DEFAULT_THRESHOLDS)
    world.live(30 * DAY)
    assert 29 <= len(world.times_of(Submit)) - before <= 31
    assert world.request.state is State.MONITORING
    assert most_in_a_day(world.times_of(Submit)) <= BUSIEST_DAY


@pytest.mark.parametrize("answer", [Rejected("no"), Unconfigured("no settings"), Unusable("gibberish")])
def test_an_expired_certificate_whose_renewal_is_refused_does_not_storm(answer: Event) -> None:
    world = monitored_world(DAY, answer=lambda *_: answer)
    world.live(10 * DAY)
    world.effects.clear()
    world.live(100 * DAY)
    assert most_in_a_day(world.times_of(Submit)) <= 2
    assert most_in_a_day(notices(world)) <= 2
    assert 99 <= len(world.times_of(Submit)) <= 101


def test_restarts_every_few_minutes_do_not_make_an_expired_certificate_storm() -> None:
    world = monitored_world(DAY, answer=lambda *_: Rejected("no"))
    world.live(2 * DAY)
    world.effects.clear()
    for _ in range(10 * 24 * 6):
        world.live(10 * MINUTE)
        world.restart()
    assert most_in_a_day(world.times_of(Submit)) <= 2
    assert 9 <= len(world.times_of(Submit)) <= 11


def test_an_unreachable_ca_is_asked_throughout_and_the_certificate_renewed_when_it_is_back() -> None:
    world = monitored_world(answer=lambda *_: Unreachable("no route"))
    world.live(368 * DAY)
    assert world.states[-1] is State.CA_UNREACHABLE
    assert most_in_a_day(world.times_of(Submit)) <= BUSIEST_DAY_OF_AN_OUTAGE
    world.answer = issue_again
    world.live(6 * HOUR)
    assert world.request.state is State.MONITORING


def test_an_outage_of_an_hour_at_renewal_costs_little_more_than_that_hour() -> None:
    world = monitored_world(answer=lambda *_: Unreachable("no route"))
    world.live(timedelta(days=365 - 28))
    world.live(HOUR)
    assert world.states[-1] is State.CA_UNREACHABLE
    world.answer = issue_again
    world.live(65 * MINUTE)
    assert [step.certificate_saved for step in world.steps].count(True) == 1


def test_news_of_the_ca_end_the_wait_for_it() -> None:
    world = monitored_world(answer=lambda *_: Unreachable("no route"))
    world.live(340 * DAY)
    world.answer = issue_again
    world.happen(CaChanged())
    assert world.request.cert.startswith("PEM 1|")


def flaky(seed: int) -> Callable[[World, Submit], Event]:
    random = Random(seed)
    troubles: list[Event] = [
        Unreachable("no route"),
        Rejected("no"),
        Unconfigured("no settings"),
        Unusable("gibberish"),
        Working(cookie="c"),
        Working(cookie="c", delay=timedelta(seconds=20)),
        NeedKeyPair(),
        Failed(FailureKind.OTHER, "no luck"),
    ]

    def answer(world: World, effect: Submit) -> Event:
        if random.random() < 0.4:
            return issue_again(world, effect)
        return random.choice(troubles)

    return answer


@settings(max_examples=25, deadline=None)
@given(life=lives, seed=st.integers())
def test_no_ca_is_asked_more_often_than_it_asks_for_and_no_request_gets_lost(life: timedelta, seed: int) -> None:
    assume(life >= 7 * DAY)
    world = monitored_world(life, answer=flaky(seed))
    world.live(min(3 * life, 500 * DAY))
    assert most_in_a_day(world.times_of(Submit)) <= 300
    assert isinstance(world.action, Wait)


def test_a_clock_that_is_corrected_by_years_renews_once() -> None:
    world = monitored_world()
    world.now += 3650 * DAY
    world.restart()
    assert len(world.times_of(Submit)) == 1
    world.now = NOW + HOUR
    world.restart()
    world.live(DAY)
    assert len(world.times_of(Submit)) <= 2


def test_a_clock_that_starts_in_1970_does_not_renew_and_catches_up() -> None:
    world = monitored_world(60 * DAY)
    world.now = NOW.replace(year=1970)
    world.restart()
    world.live(DAY)
    assert world.times_of(Submit) == []
    world.now = NOW + 40 * DAY
    world.restart()
    assert len(world.times_of(Submit)) == 1


def test_what_is_not_to_be_watched_is_not_announced_and_what_is_not_to_be_renewed_is_not_submitted() -> None:
    for monitor, autorenew in ((False, False), (True, False), (False, True), (True, True)):
        world = monitored_world()
        world.request = replace(world.request, monitor=monitor, autorenew=autorenew)
        world.restart()
        world.live(366 * DAY)
        assert bool(notices(world)) is monitor
        assert bool(world.times_of(Submit)) is autorenew


def test_a_certificate_without_a_key_is_announced_but_not_renewed() -> None:
    world = monitored_world()
    world.request = replace(world.request, key_storage=replace(world.request.key_storage, type=StorageType.NONE))
    world.restart()
    world.live(366 * DAY)
    assert len(notices(world)) == len(DEFAULT_THRESHOLDS) + 1
    assert world.times_of(Submit) == []
