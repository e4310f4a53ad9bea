"""Renewal at the time that the CA suggests (RFC 9773)."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from fakes.request_world import NOW, PLAIN_CA, World, monitored_world
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.effects import AskRenewalInfo, Submit
from certmongerd.core.errors import FailureKind, InvalidValue
from certmongerd.core.events import CaChanged, Event, Failed, Rejected, RenewalInfo, Resubmit, Unreachable
from certmongerd.core.explain import explain
from certmongerd.core.renewal_info import read_renewal_info
from certmongerd.core.states import State
from certmongerd.core.step import Policy

ADVISING: Final = replace(PLAIN_CA, offers_renewal_info=True)
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
LIFE: Final = 90 * DAY


def window(start: timedelta, *, retry_after: timedelta | None = None) -> RenewalInfo:
    return RenewalInfo(start=NOW + start, end=NOW + start + 2 * DAY, retry_after=retry_after)


def advised(answer: Event, policy: Policy | None = None, life: timedelta = LIFE) -> World:
    """A request that the CA was asked about."""
    world = monitored_world(life, policy=policy)
    world.ca = ADVISING
    world.overrides = {AskRenewalInfo: answer}
    world.happen(CaChanged())
    assert isinstance(world.effects[-1][1], AskRenewalInfo)
    return world


def first_submission(world: World) -> timedelta:
    world.live(2 * LIFE, most_waits=3000)
    return world.times_of(Submit)[0] - NOW


@pytest.mark.parametrize("start", [10 * DAY, 70 * DAY, 85 * DAY])
def test_the_renewal_is_within_the_window_be_it_before_or_after_the_thresholds(start: timedelta) -> None:
    world = advised(window(start))
    assert start <= first_submission(world) <= start + 2 * DAY


def test_requests_have_places_of_their_own_in_the_window() -> None:
    times = {first_submission(advised(window(10 * DAY), Policy(spread_seed=str(host)))) for host in range(4)}
    assert len(times) == 4
    assert 10 * DAY <= min(times) < max(times) <= 12 * DAY


def test_the_ca_is_asked_as_often_as_it_says_and_follows_its_changes() -> None:
    world = advised(window(60 * DAY, retry_after=6 * HOUR))
    world.live(5 * DAY)
    asked = world.times_of(AskRenewalInfo)
    assert len(asked) == 21
    world.overrides = {AskRenewalInfo: window(-DAY)}  # revocation is near
    world.live(7 * HOUR)
    assert len(world.times_of(Submit)) == 1
    assert world.request.state is State.MONITORING


@pytest.mark.parametrize(("retry_after", "expected"), [(timedelta(seconds=1), timedelta(minutes=1)), (30 * DAY, DAY)])
def test_how_often_it_is_asked_has_limits(retry_after: timedelta, expected: timedelta) -> None:
    world = advised(window(60 * DAY, retry_after=retry_after))
    first = world.now
    world.wait()
    assert world.now - first == expected


def test_a_window_in_the_past_means_at_once() -> None:
    world = monitored_world(LIFE)
    world.live(30 * DAY)
    world.ca = ADVISING
    world.overrides = {AskRenewalInfo: window(20 * DAY)}
    world.happen(CaChanged())
    assert world.times_of(Submit) == [world.now]


def test_a_ca_that_always_says_at_once_gets_a_request_a_day() -> None:
    world = advised(window(-10 * DAY))
    world.live(10 * DAY)
    assert len(world.times_of(Submit)) in (9, 10, 11)


def test_after_a_failure_the_thresholds_are_valid_again() -> None:
    world = advised(window(10 * DAY))
    world.answer = lambda _, __: Rejected("no")
    world.live(50 * DAY)
    assert len(world.times_of(Submit)) == 1
    world.live(35 * DAY)
    assert len(world.times_of(Submit)) > 1


def test_a_ca_that_cannot_be_reached_in_the_window_is_asked_as_always() -> None:
    world = advised(window(10 * DAY))
    world.answer = lambda _, __: Unreachable("gone")
    world.live(11 * DAY)
    assert world.request.state is State.CA_UNREACHABLE


@pytest.mark.parametrize("answer", [window(95 * DAY), Failed(FailureKind.OTHER, "no")])
def test_advice_that_does_not_help_changes_nothing(answer: Event) -> None:
    plain = monitored_world(LIFE)
    world = advised(answer)
    assert first_submission(world) == first_submission(plain)
    assert len(world.times_of(AskRenewalInfo)) > 10


def test_what_was_told_outlives_a_question_without_answer() -> None:
    world = advised(window(10 * DAY))
    world.overrides = {AskRenewalInfo: Failed(FailureKind.OTHER, "gone")}
    assert 10 * DAY <= first_submission(world) <= 12 * DAY


def test_a_new_certificate_has_advice_of_its_own() -> None:
    world = advised(window(60 * DAY))
    world.happen(Resubmit())
    assert world.issued == 1
    assert len(world.times_of(AskRenewalInfo)) == 2


def test_nobody_is_asked_about_what_is_not_renewed() -> None:
    world = monitored_world(LIFE)
    world.ca = ADVISING
    world.request = replace(world.request, autorenew=False)
    world.deliver(CaChanged())
    world.live(10 * DAY)
    assert world.times_of(AskRenewalInfo) == []


def test_the_window_is_explained() -> None:
    info = replace(window(60 * DAY), explanation="https://ca.example.org/incident")
    world = advised(info)
    facts = dict(explain(world.request, world.context()))
    assert facts["rule"].startswith("the CA wants it renewed between 2030-03-02 12:00:00 UTC and 2030-03-04")
    assert "https://ca.example.org/incident" in facts["rule"]
    assert facts["next attempt"].startswith("2030-03-0")


# --- Reading a helper's answer


def test_an_answer_is_read() -> None:
    output = b"start=2025-01-02T04:00:00Z\r\nend=2025-01-03T06:00:00+02:00\nretry-after=60\nexplanation-url=https://x/\nnew=1\n"
    info = read_renewal_info(output)
    assert (info.start.isoformat(), info.end.isoformat()) == ("2025-01-02T04:00:00+00:00", "2025-01-03T04:00:00+00:00")
    assert (info.retry_after, info.explanation) == (timedelta(minutes=1), "https://x/")


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"start=2025-01-02T04:00:00Z\n",
        b"start=2025-01-02T04:00:00Z\nend=2025-01-02T04:00:00Z\n",
        b"start=2025-01-02T04:00:00\nend=2025-01-03T04:00:00\n",
        b"start=now\nend=then\n",
    ],
)
def test_an_answer_without_a_window_is_refused(output: bytes) -> None:
    with pytest.raises(InvalidValue):
        read_renewal_info(output)


@given(st.binary() | st.text().map(lambda text: f"start={text}\nend={text}".encode()))
def test_whatever_a_helper_prints_is_read_or_refused(output: bytes) -> None:
    try:
        info = read_renewal_info(output)
    except InvalidValue:
        return
    assert info.start < info.end
