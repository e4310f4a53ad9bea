"""The compact table: columns, colours, and what is hostile in a name."""

import io
from collections.abc import Mapping

import pytest

from getcert.entries import CaEntry, Properties, RequestEntry
from getcert.table import COLOURED, PLAIN, Style, style_for, table_lines

DAY = 86400
NOW = 1734436800.0
CA = CaEntry("/c/CA1", Properties({"nickname": "local"}))


def entry(nickname: str, *, days: float | None = 90, life: float = 365, **values: object) -> RequestEntry:
    properties: dict[str, object] = {"nickname": nickname, "status": "MONITORING", "subject": f"CN={nickname}"}
    if days is not None:
        properties["not-valid-after"] = int(NOW + days * DAY)
        properties["not-valid-before"] = int(NOW + (days - life) * DAY)
    return RequestEntry(f"/r/{nickname}", Properties({**properties, **values}))


def lines(*entries: RequestEntry, style: Style = PLAIN, width: int | None = None) -> list[str]:
    return list(table_lines(entries, lambda _: CA, now=NOW, style=style, width=width))


def test_columns_are_aligned_and_nothing_is_a_dash() -> None:
    waiting = entry("a-longer-name", days=None, status="NEED_GUIDANCE", stuck=True, subject="")
    assert lines(entry("web"), waiting, entry("old", days=-3)) == [
        "ID             STATUS          CA     EXPIRES     DAYS  SUBJECT",
        "web            MONITORING      local  2025-03-17    90  CN=web",
        "a-longer-name  NEED_GUIDANCE!  local  -              -  -",
        "old            MONITORING      local  2024-12-14    -3  CN=old",
    ]


def test_a_table_of_nothing_has_its_heading() -> None:
    assert lines() == ["ID  STATUS  CA  EXPIRES  DAYS  SUBJECT"]


def test_long_lines_are_cut_to_the_terminal() -> None:
    shown = lines(entry("web", subject="CN=" + "x" * 200), width=60)
    assert [len(line) for line in shown] == [len("ID   STATUS      CA     EXPIRES     DAYS  SUBJECT"), 60]
    assert shown[1].endswith("x…")


def test_control_characters_of_a_name_do_not_reach_the_terminal() -> None:
    (_, line) = lines(entry("web", subject="CN=\x1b]0;owned\x07\n"))
    assert line.endswith(r"CN=\x1b]0;owned\x07\n")


@pytest.mark.parametrize(
    ("case", "colour"),
    [
        (entry("fine"), COLOURED.good),
        (entry("soon", days=20), COLOURED.warning),
        (entry("short-lived", days=4, life=6), COLOURED.good),
        (entry("short-lived-late", days=1, life=6), COLOURED.warning),
        (entry("expired", days=-1), COLOURED.bad),
        (entry("waiting", days=None, status="CA_WORKING"), COLOURED.warning),
        (entry("stuck", status="NEED_CSR_GEN_PIN", stuck=True), COLOURED.bad),
        (entry("rejected", days=None, status="CA_REJECTED"), COLOURED.bad),
    ],
    ids=lambda value: value.nickname if isinstance(value, RequestEntry) else "",
)
def test_colours_tell_what_needs_attention(case: RequestEntry, colour: str) -> None:
    heading, line = lines(case, style=COLOURED)
    assert line.startswith(colour + case.nickname)
    assert line.endswith(COLOURED.end)
    assert heading.startswith(COLOURED.heading)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "style"),
    [
        ({}, COLOURED),
        ({"NO_COLOR": ""}, COLOURED),
        ({"NO_COLOR": "1"}, PLAIN),
        ({"TERM": "dumb"}, PLAIN),
        ({"TERM": "xterm"}, COLOURED),
    ],
)
def test_colours_are_for_terminals_that_want_them(environment: Mapping[str, str], style: Style) -> None:
    assert style_for(Terminal(), environment) == style
    assert style_for(io.StringIO(), environment) == PLAIN
