"""Durations of certmonger.conf."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.config.durations import Duration, parse_duration, parse_durations
from certmongerd.core.errors import InvalidValue

START = datetime(2026, 11, 23, 11, 20, 45, tzinfo=UTC)

durations = st.builds(Duration, years=st.integers(0, 400), months=st.integers(0, 4000), seconds=st.integers(0, 10**10))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0", Duration()),
        ("90", Duration(seconds=90)),
        ("90s", Duration(seconds=90)),
        ("2m", Duration(seconds=120)),
        ("3h", Duration(seconds=10800)),
        ("28d", Duration(seconds=2419200)),
        ("2w", Duration(seconds=1209600)),
        ("6M", Duration(months=6)),
        ("10y", Duration(years=10)),
        ("1y6M1d", Duration(years=1, months=6, seconds=86400)),
        ("1d1d", Duration(seconds=172800)),
        ("1d30", Duration(seconds=86430)),
    ],
)
def test_durations(text: str, duration: Duration) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "d", "1x", "-1d", "1 d", "1D", "1.5d", "٣d", "1001y", "999999999w", "9999999999999"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_duration(text)


def test_calendar_steps_and_fixed_lengths_add_up() -> None:
    assert parse_duration("1M2w3d4h5m6s").add_to(START) == datetime(2027, 1, 9, 15, 25, 51, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "text", "end"),
    [
        ((2026, 1, 31), "1M", (2026, 2, 28)),
        ((2027, 12, 31), "2M", (2028, 2, 29)),
        ((2028, 2, 29), "1y", (2029, 2, 28)),
        ((2026, 12, 1), "1M", (2027, 1, 1)),
        ((2026, 3, 15), "25M", (2028, 4, 15)),
    ],
)
def test_a_day_that_a_month_lacks_becomes_its_last_day(
    start: tuple[int, int, int], text: str, end: tuple[int, int, int]
) -> None:
    assert parse_duration(text).add_to(datetime(*start, tzinfo=UTC)) == datetime(*end, tzinfo=UTC)


def test_the_length_of_a_month_depends_on_when_it_begins() -> None:
    month = parse_duration("1M")

    assert month.seconds_from(datetime(2026, 2, 1, tzinfo=UTC)) == 28 * 86400
    assert month.seconds_from(datetime(2026, 3, 1, tzinfo=UTC)) == 31 * 86400


@given(durations, st.datetimes(timezones=st.just(UTC)))
def test_a_duration_never_leads_back_and_never_fails(duration: Duration, start: datetime) -> None:
    assert duration.add_to(start) >= start.replace(microsecond=0) - timedelta(seconds=1)
    assert duration.seconds_from(start) >= 0


@given(st.integers(0, 900), st.integers(0, 11), st.integers(0, 10**7))
def test_what_was_written_is_read(years: int, months: int, seconds: int) -> None:
    assert parse_duration(f"{years}y{months}M{seconds}s") == Duration(years=years, months=months, seconds=seconds)


@given(st.text(max_size=20))
def test_any_text_raises_nothing_but_the_declared_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except InvalidValue:
        return
    assert text[0].isdigit()
    assert duration.add_to(START) >= START


@pytest.mark.parametrize(
    ("text", "expected", "unusable"),
    [
        ("", [], ()),
        ("28d, 7d\t3d 1d", [28, 7, 3, 1], ()),
        ("1d,x,2d", [1, 2], ("x",)),
        (",1d", [], ()),
        (" 1d", [], ()),
        ("0, 1d", [1], ()),
        ("1d,,2d", [1, 2], ()),
    ],
)
def test_lists_of_durations(text: str, expected: list[int], unusable: tuple[str, ...]) -> None:
    days = tuple(Duration(seconds=days * 86400) for days in expected)

    assert parse_durations(text) == (days, unusable)
