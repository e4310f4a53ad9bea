"""Points in time and lengths of time as users write them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from getcert.errors import CommandFailed

_DAY_S: Final = 86400
_UNITS_S: Final = {"y": 365 * _DAY_S, "w": 7 * _DAY_S, "d": _DAY_S, "h": 3600, "m": 60, "s": 1}
_LENGTH: Final = re.compile(rf"(?:[0-9]{{1,9}}[{''.join(_UNITS_S)}])+")
_PART: Final = re.compile(r"([0-9]+)([a-z])")
_LONGEST_S: Final = 1000 * _UNITS_S["y"]


def parse_length(text: str) -> timedelta:
    """`90d`, `1y6w`, `36h`; a year has 365 days. Raises CommandFailed."""
    if not _LENGTH.fullmatch(text):
        raise CommandFailed(f'"{text}" is not a length of time like 90d, 12h or 1y.')
    length_s = sum(int(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    if length_s > _LONGEST_S:
        raise CommandFailed(f'"{text}" is longer than a thousand years.')
    return timedelta(seconds=length_s)


def parse_moment(text: str, now: datetime, *, utc: bool) -> datetime:
    """A date with or without a time, or a length from *now*; UTC if *utc*, else of the user's zone.

    `2027-11-24`, `2027-11-24T10:30`, `2027-11-24T10:30:00Z`, `90d`. Raises CommandFailed.
    """
    if _LENGTH.fullmatch(text):
        return now + parse_length(text)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC) if utc else moment.astimezone()
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise CommandFailed(
            f'"{text}" is not a date like 2027-11-24 or 2027-11-24T10:30, nor a length like 90d.'
        ) from None
