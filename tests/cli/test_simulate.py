"""What `getcert simulate` takes, and what it shows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from getcert.commands.simulate import forecast_lines
from getcert.errors import CommandFailed
from getcert.main import run
from getcert.moments import parse_length, parse_moment

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
FORECAST: dict[str, Any] = {
    "begin": "2026-11-26T12:00:00Z",
    "end": "2027-11-26T12:00:00Z",
    "complete": True,
    "requests": 3,
    "renewals": [
        {"at": "2027-01-01T00:00:01Z", "id": "web", "ca": "local", "new_key": False, "submissions": 1},
        {"at": "2027-02-01T00:00:01Z", "id": "db", "ca": "corp", "new_key": True, "submissions": 7},
    ],
    "expired": [
        {"id": "db", "from": "2027-01-30T00:00:00Z", "until": "2027-02-01T00:00:01Z"},
        {"id": "old", "from": "2027-03-01T00:00:00Z", "until": None},
    ],
    "resting": [{"id": "old", "status": "NEED_GUIDANCE"}],
    "cas": [
        {
            "name": "corp",
            "submissions": 7,
            "busiest_hour": {"begin": "2027-01-29T03:00:00Z", "submissions": 4},
            "busiest_day": {"begin": "2027-01-29T00:00:00Z", "submissions": 6},
        }
    ],
}


def test_a_forecast_is_shown_line_by_line() -> None:
    assert list(forecast_lines(FORECAST, utc=True)) == [
        "2027-01-01 00:00:01 UTC: web: renewed by local",
        "2027-02-01 00:00:01 UTC: db: renewed by corp with a new key, asked 7 times",
        "2027-01-30 00:00:00 UTC: db: EXPIRED until 2027-02-01 00:00:01 UTC",
        "2027-03-01 00:00:00 UTC: old: EXPIRED, not renewed",
        "old: does nothing by itself (NEED_GUIDANCE)",
        "CA 'corp':",
        "\tsubmissions: 7",
        "\tmost in an hour: 4 from 2027-01-29 03:00:00 UTC",
        "\tmost in a day: 6 from 2027-01-29 00:00:00 UTC",
        "Requests: 3, renewals: 2, expired: 2.",
        "Simulated until 2027-11-26 12:00:00 UTC.",
    ]


def test_a_forecast_that_was_given_up_says_so() -> None:
    *_, last = forecast_lines({**FORECAST, "complete": False}, utc=True)
    assert last == "Ended at 2027-11-26 12:00:00 UTC: there was too much to simulate."


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90d", timedelta(days=90)),
        ("1y6w", timedelta(days=365 + 42)),
        ("2h30m5s", timedelta(hours=2, minutes=30, seconds=5)),
    ],
)
def test_lengths_are_numbers_with_units(text: str, length: timedelta) -> None:
    assert parse_length(text) == length
    assert parse_moment(text, NOW, utc=False) == NOW + length


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5d", "1d ", "1x", "9999999y"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed):
        parse_length(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-11-24", datetime(2027, 11, 24, tzinfo=UTC)),
        ("2027-11-24T10:30", datetime(2027, 11, 24, 10, 30, tzinfo=UTC)),
        ("2027-11-24T10:30:00+01:00", datetime(2027, 11, 24, 9, 30, tzinfo=UTC)),
        ("2027-11-24T10:30:00Z", datetime(2027, 11, 24, 10, 30, tzinfo=UTC)),
    ],
)
def test_dates_have_the_form_of_iso_8601(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW, utc=True) == moment


@pytest.mark.parametrize("text", ["", "tomorrow", "2027-13-01", "24.11.2027", "0001-01-01T00:00:00+14:00", "9999999y"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed):
        parse_moment(text, NOW, utc=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--until", "2001-01-01"), "is over"),
        (("--ca-down", "2027-01-01"), "is not an outage"),
        (("--ca-down", "x=2027-01-02..2027-01-01"), "ends before it begins"),
        (("--ca-delay", "soon"), "not a length of time"),
        (("--lifetime", "0d"), "no time"),
    ],
)
def test_assumptions_that_make_no_sense_are_refused_before_anything_else(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("getcert", ("simulate", *arguments), {}) == 1
    assert words in capsys.readouterr().out
