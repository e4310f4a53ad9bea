"""Every option of certmonger's helpers, as their manual pages and their own help have them, is one of ours."""

import importlib
import re
import subprocess
from collections.abc import Callable
from typing import Final

import pytest

from certmonger_helpers.protocol import build_parser

HELPERS: Final = ("dogtag-ipa-renew-agent-submit", "dogtag-submit", "ipa-submit", "local-submit", "scep-submit")


def _output(*command: str) -> str:
    done = subprocess.run(
        command,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MAN_KEEP_FORMATTING": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return re.sub(".\b", "", done.stdout)


def of_manual_page(name: str) -> set[tuple[str, bool]]:
    """Spellings, and whether they take an argument."""
    text = _output("man", f"certmonger-{name}")
    found: set[tuple[str, bool]] = set()
    for line in re.findall(r"^ {2,8}(-\S.*)$", text, re.MULTILINE):
        for spelling, argument in re.findall(
            r"(?<![\w-])(--?[A-Za-z][A-Za-z-]*)((?:=|\s)[A-Za-z][\w-]*(?:=\w+)?)?", line
        ):
            found.add((spelling, bool(argument)))
    return found


def of_help(name: str) -> set[tuple[str, bool]]:
    """The same, as the program itself says it."""
    text = _output(f"/usr/lib/certmonger/{name}", "--help")
    found: set[tuple[str, bool]] = set()
    for short, long, argument in re.findall(r"^  (?:(-[A-Za-z]), |    )(--[a-z-]+)(=\S+)?", text, re.MULTILINE):
        found |= {(spelling, bool(argument)) for spelling in (short, long) if spelling}
    return found


@pytest.mark.parametrize("source", [of_manual_page, of_help], ids=["manual page", "help"])
@pytest.mark.parametrize("name", HELPERS)
def test_every_option_is_accepted_and_takes_what_it_took(
    name: str, source: Callable[[str], set[tuple[str, bool]]]
) -> None:
    wanted = source(name)
    assert len(wanted) >= 4
    parser = build_parser(importlib.import_module(f"certmonger_helpers.{name.replace('-', '_')}").HELPER)
    ours = {spelling: action.nargs != 0 for action in parser._actions for spelling in action.option_strings}
    assert {(spelling, ours.get(spelling)) for spelling, _ in wanted} == wanted
