"""getcert simulate: when the tracked certificates will be renewed, and how much their CAs will be asked."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from getcert.context import Context
from getcert.errors import CommandFailed
from getcert.help import Groups
from getcert.moments import parse_length, parse_moment
from getcert.options import ParsedOptions
from getcert.text import time_text

GROUPS: Final[Groups] = (
    ("How long", ("until",)),
    ("What is assumed", ("ca_down", "ca_delay", "lifetime")),
    ("Output", ("utc", "output")),
)
HIDDEN: Final = ()

_DEFAULT_SPAN: Final = "1y"
_Record = Mapping[str, Any]
"""An object of the forecast; what is in it is told in docs/getcert-output.md."""


def read_outages(options: ParsedOptions, now: datetime, *, utc: bool) -> list[tuple[str, int, int]]:
    """The outages given: name of the CA (empty for all), begin and end as Unix times. Raises CommandFailed."""
    outages = []
    for text in options.texts("ca_down"):
        name, _, span = text.rpartition("=")
        begin, dots, end = span.partition("..")
        if not dots:
            raise CommandFailed(f'"{text}" is not an outage like 2027-11-24..2027-11-30, or CA=FROM..TO.')
        moments = [int(parse_moment(part, now, utc=utc).timestamp()) for part in (begin, end)]
        if moments[0] >= moments[1]:
            raise CommandFailed(f'The outage "{text}" ends before it begins.')
        outages.append((name, moments[0], moments[1]))
    return outages


def _renewal_lines(renewals: Sequence[_Record], show: "_Clock") -> Iterator[str]:
    for renewal in renewals:
        key = " with a new key" if renewal["new_key"] else ""
        asked = f", asked {renewal['submissions']} times" if renewal["submissions"] > 1 else ""
        yield f"{show(renewal['at'])}: {renewal['id']}: renewed by {renewal['ca']}{key}{asked}"


def _trouble_lines(forecast: _Record, show: "_Clock") -> Iterator[str]:
    for lapse in forecast["expired"]:
        until = f" until {show(lapse['until'])}" if lapse["until"] else ", not renewed"
        yield f"{show(lapse['from'])}: {lapse['id']}: EXPIRED{until}"
    for resting in forecast["resting"]:
        yield f"{resting['id']}: does nothing by itself ({resting['status']})"


def _load_lines(cas: Sequence[_Record], show: "_Clock") -> Iterator[str]:
    for ca in cas:
        hour, day = ca["busiest_hour"], ca["busiest_day"]
        yield f"CA '{ca['name']}':"
        yield f"\tsubmissions: {ca['submissions']}"
        yield f"\tmost in an hour: {hour['submissions']} from {show(hour['begin'])}"
        yield f"\tmost in a day: {day['submissions']} from {show(day['begin'])}"


class _Clock:
    """Shows the times of the document as `list` does."""

    def __init__(self, *, utc: bool) -> None:
        self._utc = utc

    def __call__(self, text: str) -> str:
        return time_text(int(datetime.fromisoformat(text).timestamp()), utc=self._utc)


def forecast_lines(forecast: _Record, *, utc: bool) -> Iterator[str]:
    """What is printed about a forecast."""
    show = _Clock(utc=utc)
    yield from _renewal_lines(forecast["renewals"], show)
    yield from _trouble_lines(forecast, show)
    yield from _load_lines(forecast["cas"], show)
    counts = {name: len(forecast[name]) for name in ("renewals", "expired")}
    yield f"Requests: {forecast['requests']}, renewals: {counts['renewals']}, expired: {counts['expired']}."
    end = show(forecast["end"])
    yield f"Simulated until {end}." if forecast["complete"] else f"Ended at {end}: there was too much to simulate."


def run(context: Context) -> int:
    """Have the daemon simulate, and print what it foresees."""
    import json

    options, now = context.options, datetime.now(UTC)
    utc = options.given("utc")
    until = parse_moment(options.text("until") or _DEFAULT_SPAN, now, utc=utc)
    if until <= now:
        raise CommandFailed("The time to simulate until is over.")
    outages = read_outages(options, now, utc=utc)
    delay_s, life_s = (
        int(parse_length(options.text(name) or "0s").total_seconds()) for name in ("ca_delay", "lifetime")
    )
    if options.given("lifetime") and not life_s:
        raise CommandFailed("Certificates cannot have a life of no time.")
    with context.client() as client:
        answer = client.simulate(int(until.timestamp()), outages, delay_s, life_s)
    try:
        forecast = json.loads(answer)
    except ValueError:
        raise CommandFailed("Error parsing server response.") from None
    form = context.document_format
    if form is not None:
        from getcert.rendering import render

        context.out.write(render(forecast, form))
        return 0
    for line in forecast_lines(forecast, utc=utc):
        context.tell(line)
    return 0
