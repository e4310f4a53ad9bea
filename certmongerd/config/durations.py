"""Durations as certmonger.conf spells them: `1y6M`, `2w3d`, `3600`."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from certmongerd.core.errors import InvalidValue

_WHOLE = re.compile(r"(?=[0-9])(?:[0-9]{1,12}[yMwdhms])*(?:[0-9]{1,12})?")
_PART = re.compile(r"([0-9]{1,12})([yMwdhms]?)")
_SECONDS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "": 1}
_LONGEST_YEARS: Final = 1_000
_SEPARATORS = re.compile(r"[ \t,]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A span of calendar years and months and of a fixed number of seconds."""

    years: int = 0
    months: int = 0
    seconds: int = 0

    def add_to(self, start: datetime) -> datetime:
        """The end of the span that begins at *start*.

        Calendar steps come first; a day that the resulting month does not have becomes its last
        day. What would be after the year 9999 ends there.
        """
        index = start.year * 12 + start.month - 1 + self.years * 12 + self.months
        year, month = divmod(index, 12)
        latest = datetime.max.replace(microsecond=0, tzinfo=start.tzinfo)
        if year > latest.year:
            return latest
        day = min(start.day, monthrange(year, month + 1)[1])
        try:
            return start.replace(year=year, month=month + 1, day=day) + timedelta(seconds=self.seconds)
        except OverflowError:
            return latest

    def seconds_from(self, now: datetime) -> int:
        """The length of the span in seconds when it begins at *now*."""
        return int((self.add_to(now) - now).total_seconds())

    def __bool__(self) -> bool:
        return bool(self.years or self.months or self.seconds)


def parse_duration(text: str) -> Duration:
    """Numbers, each with one of the units y M w d h m s; without one they are seconds.

    Raises InvalidValue for everything else, and for spans beyond a thousand years.
    """
    if _WHOLE.fullmatch(text) is None:
        raise InvalidValue("duration", f'"{text}" is not a duration like 1y6M or 28d')
    years = months = seconds = 0
    for number, unit in _PART.findall(text):
        if unit == "y":
            years += int(number)
        elif unit == "M":
            months += int(number)
        else:
            seconds += int(number) * _SECONDS[unit]
    if years + months / 12 + seconds / 31_556_952 > _LONGEST_YEARS:
        raise InvalidValue("duration", f'"{text}" is longer than {_LONGEST_YEARS} years')
    return Duration(years=years, months=months, seconds=seconds)


def parse_durations(text: str) -> tuple[tuple[Duration, ...], tuple[str, ...]]:
    """A list separated by blanks, tabs or commas, and the elements that are no durations.

    As in certmonger an empty list means "never", and so does a text that begins with a
    separator; a duration of 0 has no effect and is left out.
    """
    if not text or _SEPARATORS.match(text):
        return (), ()
    durations: list[Duration] = []
    unusable: list[str] = []
    for element in filter(None, _SEPARATORS.split(text)):
        try:
            duration = parse_duration(element)
        except InvalidValue:
            unusable.append(element)
        else:
            if duration:
                durations.append(duration)
    return tuple(durations), tuple(unusable)
