"""When to look again."""

from datetime import datetime, timedelta

import pytest
from fakes.request_world import NOW
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.schedule import (
    CA_POLL_MAX,
    CA_POLL_MIN,
    FIRST_RETRY,
    LONGEST_FIRST_RETRY,
    LONGEST_RETRY,
    MONITOR_POLL,
    SHORTEST_LAST_RETRY,
    SOONISH,
    back_off,
    ca_data_delay,
    ca_retry_delay,
    effective_thresholds,
    is_crossed,
    last_check_to_keep,
    monitoring_delay,
    next_crossing,
    renewal_thresholds,
)
from certmongerd.core.step import DEFAULT_THRESHOLDS

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
THIRTY_YEARS = timedelta(days=11000)

moments = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)).map(  # noqa: DTZ001 (naive limits are required)
    lambda moment: moment.replace(microsecond=0, tzinfo=NOW.tzinfo)
)
lives = st.integers(1, int(THIRTY_YEARS.total_seconds())).map(lambda s: timedelta(seconds=s))
shares = st.floats(0, 1, exclude_max=True)
threshold_lists = st.one_of(
    st.just(DEFAULT_THRESHOLDS),
    st.lists(st.integers(1, 10**8).map(lambda s: timedelta(seconds=s)), max_size=8).map(tuple),
)


def test_back_off_doubles_up_to_its_limit() -> None:
    delays = [back_off(n, SOONISH, 4 * SOONISH) for n in range(5)]
    assert delays == [SOONISH, 2 * SOONISH, 4 * SOONISH, 4 * SOONISH, 4 * SOONISH]


@given(st.integers(0, 10**12), st.integers(1, 10**5), st.integers(1, 10**6))
def test_back_off_stays_between_its_limits_however_often_something_failed(n: int, first: int, longest: int) -> None:
    delay = back_off(n, timedelta(seconds=first), timedelta(seconds=longest))
    assert timedelta(seconds=min(first, longest)) <= delay <= timedelta(seconds=longest)


@pytest.mark.parametrize(
    ("remaining", "longest"),
    [
        (-1_000_000, 21_600),
        (-10_000, 5_000),
        (-100, 300),
        (10, 300),
        (1000, 500),
        (10_000, 5_000),
        (100_000, 50_000),
        (172_800, 86_400),
        (100_000_000, 86_400),
    ],
)
def test_a_ca_that_stays_away_is_asked_the_more_often_the_nearer_the_end_is(remaining: int, longest: int) -> None:
    delay = ca_retry_delay(NOW + timedelta(seconds=remaining), NOW, attempts=100, early=0)
    assert delay == timedelta(seconds=longest)


def test_a_ca_that_never_issued_anything_is_asked_every_six_hours_in_the_end() -> None:
    assert ca_retry_delay(None, NOW, attempts=100, early=0) == LONGEST_FIRST_RETRY


@given(st.none() | moments, moments, st.integers(0, 100), shares)
def test_a_ca_is_asked_again_before_half_of_the_remaining_life_is_over(
    not_after: datetime | None, now: datetime, attempts: int, early: float
) -> None:
    delay = ca_retry_delay(not_after, now, attempts, early)
    assert timedelta(0) < delay <= LONGEST_RETRY
    assert delay <= ca_retry_delay(not_after, now, attempts + 1, early)
    assert delay % SECOND == timedelta(0)
    if attempts == 0:
        assert delay <= FIRST_RETRY
    if not_after is not None:
        assert delay <= max(SHORTEST_LAST_RETRY, abs(not_after - now) / 2)


@given(moments, moments, st.integers(0, 100), shares)
def test_a_share_shortens_a_retry_by_a_quarter_at_most(
    not_after: datetime, now: datetime, attempts: int, early: float
) -> None:
    whole = ca_retry_delay(not_after, now, attempts, 0)
    assert whole * 3 / 4 - SECOND < ca_retry_delay(not_after, now, attempts, early) <= whole


@given(threshold_lists, moments, lives, st.none() | lives, shares)
def test_a_share_puts_a_renewal_off_by_an_eighth_at_most(
    thresholds: tuple[timedelta, ...], not_before: datetime, life: timedelta, since: timedelta | None, late: float
) -> None:
    submitted = None if since is None else not_before + since
    configured = renewal_thresholds(thresholds, not_before, not_before + life, submitted, 0)
    spread = renewal_thresholds(thresholds, not_before, not_before + life, submitted, late)
    for whole, own in zip(configured, spread, strict=True):
        assert whole * 7 / 8 <= own <= whole
    assert list(spread) == sorted(spread)


@given(threshold_lists, moments, st.none() | moments, moments)
def test_the_next_crossing_that_is_announced_is_one(
    thresholds: tuple[timedelta, ...], not_after: datetime, last: datetime | None, now: datetime
) -> None:
    announced = next_crossing(thresholds, not_after, last, now)
    if announced is None:
        assert not thresholds
        return
    assert announced >= now
    kept = last_check_to_keep(not_after, last, now, crossed=False)
    if announced == now:
        assert is_crossed(thresholds, not_after, last, now)
    else:
        assert is_crossed(thresholds, not_after, kept, announced)
        # Nothing is crossed before.
        assert now >= not_after or not is_crossed(thresholds, not_after, kept, announced - SECOND)


def test_thresholds_that_a_new_certificate_has_passed_already_do_not_count_for_it() -> None:
    for_90_days = effective_thresholds(DEFAULT_THRESHOLDS, NOW, NOW + 90 * DAY)
    assert for_90_days == tuple(sorted(DEFAULT_THRESHOLDS))
    for_one_day = effective_thresholds(DEFAULT_THRESHOLDS, NOW, NOW + DAY)
    assert for_one_day == (HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR)


def test_a_certificate_shorter_than_all_thresholds_has_one_at_a_third_of_its_life() -> None:
    assert effective_thresholds(DEFAULT_THRESHOLDS, NOW, NOW + HOUR) == (HOUR / 3,)


def test_thresholds_count_as_they_are_when_the_beginning_of_validity_is_unknown_or_absurd() -> None:
    for not_before in (None, NOW + DAY, NOW + 2 * DAY):
        assert effective_thresholds((DAY, HOUR), not_before, NOW + DAY) == (HOUR, DAY)


@given(threshold_lists, moments, lives)
def test_a_new_certificate_is_never_due(
    thresholds: tuple[timedelta, ...], not_before: datetime, life: timedelta
) -> None:
    usable = effective_thresholds(thresholds, not_before, not_before + life)
    assert list(usable) == sorted(usable)
    assert bool(usable) is bool(thresholds)
    assert not is_crossed(usable, not_before + life, None, not_before)


def test_a_submission_starts_the_count_to_the_next_renewal_anew() -> None:
    not_before, not_after = NOW - 90 * DAY, NOW + 30 * DAY
    thresholds = (HOUR, 12 * HOUR, 28 * DAY)
    # Nothing submitted yet, or for an earlier certificate: the life counts.
    for submitted in (None, not_before - DAY, not_after, not_after + DAY):
        assert renewal_thresholds(thresholds, not_before, not_after, submitted, 0) == thresholds
    # At least a quarter of the rest has to pass.
    assert renewal_thresholds(thresholds, not_before, not_after, NOW, 0) == (HOUR, 12 * HOUR)
    assert renewal_thresholds(thresholds, not_before, not_after, not_after - 16 * HOUR, 0) == (HOUR, 12 * HOUR)
    assert renewal_thresholds(thresholds, None, not_after, not_after - 15 * HOUR, 0) == (HOUR,)
    # Below the last threshold there are further ones.
    assert renewal_thresholds(thresholds, not_before, not_after, not_after - HOUR, 0) == (HOUR / 3,)


@given(threshold_lists, moments, lives, lives)
def test_after_a_submission_the_next_attempt_is_not_due_at_once(
    thresholds: tuple[timedelta, ...], submitted: datetime, before: timedelta, after: timedelta
) -> None:
    not_after = submitted + after
    usable = renewal_thresholds(thresholds, submitted - before, not_after, submitted, 0)
    assert bool(usable) is bool(thresholds)
    assert not is_crossed(usable, not_after, None, submitted + after / 5)
    assert not usable or is_crossed(usable, not_after, submitted, not_after)


def test_a_threshold_is_crossed_once() -> None:
    not_after = NOW + 10 * DAY
    crossings = []
    last = None
    for hours in range(24 * 9):
        now = NOW + timedelta(hours=hours)
        if is_crossed((3 * DAY, 7 * DAY), not_after, last, now):
            crossings.append(hours)
        last = last_check_to_keep(not_after, last, now, crossed=False)
    # A certificate that was never looked at is due when it has passed any threshold; this one has not.
    assert crossings == [3 * 24 + 1, 7 * 24 + 1]


def test_a_certificate_that_was_never_looked_at_is_due_below_any_threshold() -> None:
    assert is_crossed((DAY,), NOW + DAY - SECOND, None, NOW)
    assert not is_crossed((DAY,), NOW + DAY, None, NOW)


def test_a_clock_moved_back_over_a_threshold_crosses_it() -> None:
    assert is_crossed((DAY,), NOW + 2 * DAY, NOW + DAY + HOUR, NOW)
    assert not is_crossed((DAY,), NOW + 2 * DAY, NOW + HOUR, NOW)


def test_without_thresholds_nothing_is_ever_due() -> None:
    for last in (None, NOW - 2 * DAY, NOW):
        assert not is_crossed((), NOW - DAY, last, NOW)


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (None, True),
        (NOW - 3 * DAY, True),
        (NOW - DAY, True),
        (NOW - 12 * HOUR, False),
        (NOW, False),
        (NOW + HOUR, True),
    ],
)
def test_an_expired_certificate_is_due_once_a_day(last: datetime | None, due: bool) -> None:
    assert is_crossed((DAY,), NOW - 2 * DAY, last, NOW) is due


def test_a_check_at_the_very_end_of_validity_counts_as_one_after_it() -> None:
    assert is_crossed((DAY,), NOW, NOW - SECOND, NOW)
    assert not is_crossed((DAY,), NOW, NOW, NOW + SECOND)
    assert monitoring_delay((DAY,), NOW, NOW) == MONITOR_POLL


def test_restarts_do_not_put_the_daily_attempt_off_for_ever() -> None:
    expired, last, attempts = NOW - 10 * DAY, None, 0
    for hours in range(24 * 10):
        now = NOW + timedelta(hours=hours)
        due = is_crossed((DAY,), expired, last, now)
        last = last_check_to_keep(expired, last, now, crossed=due)
        attempts += due
    assert attempts == 10


@given(threshold_lists, st.none() | moments, moments)
def test_a_watched_certificate_is_looked_at_within_a_day_and_right_after_each_threshold(
    thresholds: tuple[timedelta, ...], not_after: datetime | None, now: datetime
) -> None:
    delay = monitoring_delay(thresholds, not_after, now)
    assert SECOND <= delay <= MONITOR_POLL
    if not_after is not None and not_after > now:
        remaining = not_after - now
        passed = [t for t in (*thresholds, timedelta(0)) if remaining - delay < t <= remaining]
        assert all(t - (remaining - delay) <= SECOND for t in passed)


def test_a_threshold_that_is_just_reached_is_looked_at_a_second_later() -> None:
    assert not is_crossed((DAY,), NOW + DAY, NOW - HOUR, NOW)
    assert monitoring_delay((DAY,), NOW + DAY, NOW) == SECOND


def test_a_watch_sleeps_until_the_next_threshold_or_expiry() -> None:
    assert monitoring_delay(DEFAULT_THRESHOLDS, NOW + 10 * HOUR, NOW) == 4 * HOUR + SECOND
    assert monitoring_delay(DEFAULT_THRESHOLDS, NOW + HOUR / 2, NOW) == HOUR / 2 + SECOND
    assert monitoring_delay(DEFAULT_THRESHOLDS, NOW - HOUR, NOW) == MONITOR_POLL


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ((10, 20, 3), timedelta(seconds=129_600)),
        ((10, 20), timedelta(seconds=432_000)),
        ((365,), timedelta(seconds=15_768_000)),
        ((10 * 365,), CA_POLL_MAX),
        ((-1, 10), timedelta(days=5)),
        ((-1,), None),
        ((), None),
    ],
)
def test_ca_certificates_are_fetched_again_at_half_of_the_shortest_life(
    days: tuple[int, ...], expected: timedelta | None
) -> None:
    assert ca_data_delay([NOW + timedelta(days=d) for d in days], NOW) == expected


@given(st.lists(moments), moments)
def test_ca_certificates_are_fetched_neither_too_often_nor_never(ends: list[datetime], now: datetime) -> None:
    delay = ca_data_delay(ends, now)
    assert (delay is None) is all(end <= now for end in ends)
    assert delay is None or CA_POLL_MIN <= delay <= CA_POLL_MAX
