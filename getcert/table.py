"""The compact table of `list --table`."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from certmongerd.core.states import State, parse_state
from getcert.documents import SECONDS_PER_DAY, days_left
from getcert.entries import CaEntry, RequestEntry

_HEADINGS: Final = ("ID", "STATUS", "CA", "EXPIRES", "DAYS", "SUBJECT")
_DAYS_COLUMN: Final = _HEADINGS.index("DAYS")
_GAP: Final = "  "
_STUCK_MARK: Final = "!"
_NOTHING: Final = "-"
_SOON_S: Final = 24 * SECONDS_PER_DAY
_SOON_FRACTION: Final = 4
"""A certificate with less than 24 days, or a quarter of its life, left is one that should have been renewed: that is
due at four weeks or a third, and may be put off by an eighth."""
_BAD_STATES: Final = frozenset({State.CA_REJECTED, State.CA_UNCONFIGURED})


@dataclass(frozen=True, slots=True)
class Style:
    """Escape sequences; all are empty where there are no colours."""

    heading: str = ""
    good: str = ""
    warning: str = ""
    bad: str = ""
    end: str = ""


PLAIN: Final = Style()
COLOURED: Final = Style(heading="\x1b[1m", good="\x1b[32m", warning="\x1b[33m", bad="\x1b[31m", end="\x1b[0m")


def style_for(out: TextIO, environment: Mapping[str, str]) -> Style:
    """Colours on a terminal that has them, unless NO_COLOR (no-color.org) is set to anything."""
    if not out.isatty() or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return PLAIN
    return COLOURED


def printable(text: str) -> str:
    """*text* with its control characters visible: names come from certificates, and a terminal obeys some."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _row(entry: RequestEntry, ca: CaEntry | None, now: float) -> tuple[str, ...]:
    not_after = entry.properties.number("not-valid-after")
    days = days_left(not_after, now)
    subject = entry.properties.text("subject") or entry.properties.text("template-subject")
    cells = (
        entry.nickname,
        entry.status + (_STUCK_MARK if entry.is_stuck else ""),
        "" if ca is None else ca.nickname,
        "" if days is None else time.strftime("%Y-%m-%d", time.gmtime(not_after)),
        "" if days is None else str(days),
        subject,
    )
    return tuple(printable(cell) or _NOTHING for cell in cells)


def _colour(entry: RequestEntry, now: float, style: Style) -> str:
    properties, state = entry.properties, parse_state(entry.status)
    not_before, not_after = properties.number("not-valid-before"), properties.number("not-valid-after")
    left = not_after - now
    if entry.is_stuck or state in _BAD_STATES or (not_after and left < 0):
        return style.bad
    if state is not State.MONITORING or left < min(_SOON_S, (not_after - not_before) / _SOON_FRACTION):
        return style.warning
    return style.good


def _cell(text: str, width: int, column: int) -> str:
    return f"{text:>{width}}" if column == _DAYS_COLUMN else f"{text:<{width}}"


def _shortened(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else line[: max(width - 1, 0)] + "…"


def table_lines(
    entries: Sequence[RequestEntry],
    ca_of: Callable[[RequestEntry], CaEntry | None],
    *,
    now: float,
    style: Style,
    width: int | None,
) -> Iterator[str]:
    """Heading and one line for each of *entries*, in that order; lines longer than *width* columns are cut.

    *now* is a Unix time, and dates are UTC. A status with an exclamation mark is stuck.
    """
    rows = [_row(entry, ca_of(entry), now) for entry in entries]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    colours = (style.heading, *(_colour(entry, now, style) for entry in entries))
    for row, colour in zip((_HEADINGS, *rows), colours, strict=True):
        yield f"{colour}{_shortened(_line(row, widths), width)}{style.end if colour else ''}"


def _line(row: Sequence[str], widths: Iterable[int]) -> str:
    cells = (_cell(text, width, column) for column, (text, width) in enumerate(zip(row, widths, strict=True)))
    return _GAP.join(cells).rstrip()
