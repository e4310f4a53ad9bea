"""What the documents say about the code is current."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from certmongerd.busapi.ca import CA
from certmongerd.busapi.extended_ca import EXTENDED_CA
from certmongerd.busapi.extended_manager import EXTENDED_MANAGER
from certmongerd.busapi.extended_request import EXTENDED_REQUEST
from certmongerd.busapi.manager import MANAGER
from certmongerd.busapi.request import REQUEST

PROJECT = Path(__file__).parents[3]
DOCUMENTS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]


def test_the_state_diagrams_are_those_of_the_state_machine() -> None:
    subprocess.run([sys.executable, str(PROJECT / "scripts" / "state_diagram.py"), "--check"], check=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_a_document_names_exist(document: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", document.read_text()))
    sources = "".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    assert named <= set(re.findall(r"^(?:async )?def (test_\w+)", sources, re.MULTILINE))


def rows_below(heading: str, document: Path) -> list[list[str]]:
    """The cells of the tables below *heading*, up to the next heading of its level; without their heads."""
    level = heading.partition(" ")[0] + " "
    section = document.read_text().partition(f"\n{heading}\n")[2].partition(f"\n{level}")[0]
    lines = section.splitlines()
    heads = {number + offset for number, line in enumerate(lines) if line.startswith("| ---") for offset in (-1, 0)}
    rows = [line for number, line in enumerate(lines) if line.startswith("| ") and number not in heads]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_each_limit_of_an_attacker_names_a_test() -> None:
    rows = rows_below("## How far an attacker gets", PROJECT / "docs" / "security.md")
    assert len(rows) > 20
    assert [row for row in rows if not re.fullmatch(r"`test_\w+`(, `test_\w+`)*", row[-1])] == []


def test_who_may_call_which_method_is_what_the_daemon_goes_by() -> None:
    rows = rows_below("### Each method", PROJECT / "docs" / "security.md")
    told = {row[0].strip("`"): tuple(set(re.findall(r"`(\w+)`", cell)) for cell in row[1:]) for row in rows}
    for interface in (MANAGER, EXTENDED_MANAGER, REQUEST, EXTENDED_REQUEST, CA, EXTENDED_CA):
        reading = {name for name, row in interface.methods.items() if row.only_reads}
        assert told.get(interface.name, (set(), set())) == (reading, set(interface.methods) - reading)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_of_the_source_tree_that_a_document_names_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:certmongerd|getcert|helpers|tests|scripts|bench|dbus|systemd|docs)/[\w./-]*)`", document.read_text()
    )
    missing = [name for name in named if not (PROJECT / name).exists()]
    assert not missing
