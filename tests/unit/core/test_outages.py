"""Years of life with CAs that come and go: whole fleets of requests, their attempts counted."""

import math
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from fakes.request_world import NOW, Answer, World, monitored_world
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from certmongerd.core.effects import GenerateKey, Submit, Wait
from certmongerd.core.events import Begin, Event, NeedKeyPair, Rekey, Resubmit, Unreachable
from certmongerd.core.ids import Nickname
from certmongerd.core.states import State
from certmongerd.core.step import Policy

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
YEAR: Final = timedelta(days=365)
MOST_ATTEMPTS_A_DAY: Final = 48

lives = st.floats(math.log(3600), math.log(3 * 365 * 86400)).map(lambda x: timedelta(seconds=round(math.exp(x))))
parts = st.floats(0, 1)
seeds = st.one_of(st.none(), st.text(max_size=5))


def most_in(window: timedelta, moments: list[datetime]) -> int:
    """The most of *moments*, ascending, that lie within *window*."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def reachable_except(begin: datetime, end: datetime, life: timedelta) -> Answer:
    """A CA that issues for *life*, but is down from *begin* to *end*."""
    return lambda world, _: Unreachable("no route") if begin <= world.now < end else world.issue(life)


@settings(max_examples=80, deadline=None)
@given(life=lives, begin=parts, length=parts, seed=seeds)
def test_no_certificate_expires_if_its_ca_is_back_ten_minutes_before(
    life: timedelta, begin: float, length: float, seed: str | None
) -> None:
    down_from = NOW + life * begin
    down_to = down_from + (NOW + life - 10 * MINUTE - down_from) * length
    assume(down_from < down_to)
    world = monitored_world(life, answer=reachable_except(down_from, down_to, life), policy=Policy(spread_seed=seed))
    while world.issued == 0:
        assert isinstance(world.action, Wait)
        not_after = world.request.cert_facts.not_after
        assert not_after is not None
        assert world.due < not_after
        world.wait()


@settings(max_examples=20, deadline=None)
@given(life=lives, seed=seeds, months=st.integers(1, 6))
def test_a_ca_that_is_unreachable_for_months_is_not_pestered(life: timedelta, seed: str | None, months: int) -> None:
    policy = Policy(spread_seed=seed)
    world = monitored_world(life, answer=lambda *_: Unreachable("no route"), policy=policy)
    world.live(life + months * 30 * DAY)
    attempts = world.times_of(Submit)
    assert world.request.state is State.CA_UNREACHABLE
    assert most_in(DAY, attempts) <= MOST_ATTEMPTS_A_DAY
    # In the end a few times a day, but never given up.
    last_days = [at for at in attempts if at > world.now - 10 * DAY]
    assert 4 * 9 <= len(last_days) <= 6 * 10


@settings(max_examples=40, deadline=None)
@given(life=lives, seed=seeds)
def test_what_is_announced_as_the_next_attempt_is_when_it_happens(life: timedelta, seed: str | None) -> None:
    policy = Policy(spread_seed=seed)
    answer = reachable_except(NOW + life * 0.7, NOW + life * 0.95, life)
    world = monitored_world(life, answer=answer, policy=policy)
    for _ in range(200):
        announced = world.request.next_attempt
        submissions = len(world.times_of(Submit))
        world.wait()
        if len(world.times_of(Submit)) > submissions:
            assert announced is not None
            # A renewal begins with the look at the clock that follows the threshold.
            assert timedelta(0) <= world.times_of(Submit)[submissions] - announced <= timedelta(seconds=1)
        if world.issued == 2:
            return
    assert world.issued or life > 200 * DAY


def fleet(size: int, answer: Answer, policy: Policy, life: timedelta = YEAR) -> list[World]:
    """*size* requests whose certificates were issued at the same moment."""
    worlds = []
    for number in range(size):
        world = monitored_world(life, answer=answer, policy=policy)
        world.request = replace(world.request, id=Nickname(f"web{number}"))
        world.restart()
        worlds.append(world)
    return worlds


def submissions(worlds: list[World]) -> list[datetime]:
    return sorted(at for world in worlds for at in world.times_of(Submit))


def test_certificates_that_were_issued_together_are_renewed_over_days() -> None:
    spread = fleet(80, reachable_except(NOW, NOW, YEAR), Policy(spread_seed="host"))
    at_once = fleet(20, reachable_except(NOW, NOW, YEAR), Policy())
    for world in (*spread, *at_once):
        world.live(YEAR - 24 * DAY)
        assert world.issued == 1
    # An eighth of 28 days are 84 hours, so that about one comes in an hour.
    assert most_in(HOUR, submissions(spread)) <= 8
    assert min(submissions(spread)) >= NOW + YEAR - 28 * DAY
    assert max(submissions(spread)) <= NOW + YEAR - 24.5 * DAY + MINUTE
    assert most_in(HOUR, submissions(at_once)) == 20


def test_requests_that_wait_for_one_ca_do_not_all_ask_at_once() -> None:
    def down(_world: World, _effect: Submit) -> Event:
        return Unreachable("no route")

    spread = fleet(100, down, Policy(spread_seed="host"))
    at_once = fleet(5, down, Policy())
    for world in (*spread, *at_once):
        world.happen(Resubmit())
        world.live(10 * DAY)
    for worlds in (spread, at_once):
        later = [at for at in submissions(worlds) if at > NOW + DAY]
        simultaneous = max(Counter(later).values())
        assert simultaneous <= 3 if worlds is spread else simultaneous == 5


def test_renewals_that_came_due_while_the_daemon_did_not_run_are_spread_over_an_hour() -> None:
    spread = fleet(60, reachable_except(NOW, NOW, YEAR), Policy(spread_seed="host"))
    at_once = fleet(3, reachable_except(NOW, NOW, YEAR), Policy())
    start = NOW + YEAR - 10 * DAY
    for world in (*spread, *at_once):
        world.now = start
        world.restart()
        assert world.request.next_attempt is not None or world.issued
        # Neither notices nor further starts put it off any more.
        world.live(10 * MINUTE)
        planned = world.request.next_attempt
        world.happen(Begin())
        assert world.issued or world.request.next_attempt == planned
        world.live(HOUR)
        assert world.issued == 1
    assert start <= min(submissions(spread)) < max(submissions(spread)) <= start + 2 * HOUR
    assert most_in(10 * MINUTE, submissions(spread)) <= 30
    assert set(submissions(at_once)) == {start}


def test_an_expired_certificate_and_one_that_is_new_here_do_not_wait_for_others() -> None:
    (expired,) = fleet(1, reachable_except(NOW, NOW, YEAR), Policy(spread_seed="host"))
    expired.now += 2 * YEAR
    expired.restart()
    assert expired.times_of(Submit) == [expired.now]
    (found,) = fleet(1, reachable_except(NOW, NOW, YEAR), Policy(spread_seed="host"))
    found.request = replace(found.request, last_need_enroll_check=None)
    found.now += YEAR - 10 * DAY
    found.restart()
    assert found.times_of(Submit) == [found.now]


def test_hosts_with_requests_of_the_same_name_act_at_different_times() -> None:
    times = set()
    for host in ("a.example.org", "b.example.org", "c.example.org"):
        (world,) = fleet(1, reachable_except(NOW, NOW, YEAR), Policy(spread_seed=host))
        times.add(world.request.next_attempt)
    assert len(times) == 3


def test_what_is_spread_comes_at_the_same_times_after_a_restart() -> None:
    (world,) = fleet(1, reachable_except(NOW, NOW, YEAR), Policy(spread_seed="host"))
    announced = world.request.next_attempt
    world.live(30 * DAY)
    world.restart()
    assert world.request.next_attempt == announced


@settings(max_examples=25, deadline=None)
@given(uses=st.integers(1, 5), days=st.integers(1, 1500), seed=seeds)
def test_keys_are_changed_by_count_and_age_and_otherwise_kept(uses: int, days: int, seed: str | None) -> None:
    policy = Policy(max_key_use_count=uses, key_expires_at=lambda made: made + timedelta(days=days), spread_seed=seed)
    world = monitored_world(90 * DAY, answer=reachable_except(NOW, NOW, 90 * DAY), policy=policy)
    world.happen(Rekey())
    made = 1
    for _ in range(12):
        generated_at, issued_before = world.request.key.generated_at, world.request.key_issued_count
        assert generated_at is not None
        renewed = len(world.times_of(Submit))
        while len(world.times_of(Submit)) == renewed:
            world.wait()
        is_old = world.times_of(Submit)[-1] >= generated_at + timedelta(days=days)
        made += is_old or issued_before >= uses
        assert len(world.times_of(GenerateKey)) == made
        assert 1 <= world.request.key_issued_count <= uses


def test_a_helper_that_always_wants_another_key_gets_a_few_at_each_threshold() -> None:
    world = monitored_world(YEAR, answer=lambda *_: NeedKeyPair(), policy=Policy(spread_seed="host"))
    world.live(YEAR)
    assert most_in(DAY, world.times_of(GenerateKey)) <= MOST_ATTEMPTS_A_DAY
    world.effects.clear()
    world.live(30 * DAY)
    assert most_in(DAY, world.times_of(GenerateKey)) <= 6
    assert world.request.state is State.MONITORING


def test_a_year_of_restarts_and_outages_loses_no_certificate() -> None:
    def every_other_hour(world: World, _: Submit) -> Event:
        return world.issue(20 * DAY) if world.now.hour % 2 else Unreachable("no route")

    world = monitored_world(20 * DAY, answer=every_other_hour, policy=Policy(spread_seed="host"))
    for _ in range(2 * 365):
        world.live(12 * HOUR)
        world.restart()
        not_after = world.request.cert_facts.not_after
        assert not_after is not None
        assert world.now < not_after
    assert world.issued >= 365 // 20
