"""What the documents say about the code is current."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_of_the_source_tree_that_a_document_names_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:certmongerd|getcert|helpers|tests|scripts|bench|dbus|systemd|docs)/[\w./-]*)`", document.read_text()
    )
    missing = [name for name in named if not (PROJECT / name).exists()]
    assert not missing
