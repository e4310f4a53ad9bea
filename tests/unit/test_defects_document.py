"""The document about certmonger's defects names tests that are there."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "certmonger-defects.md"
NAMED = re.findall(r"`([a-z_0-9/]+\.py)(?:::(test_[a-z_0-9]+))?`", DOCUMENT.read_text())


def names(path: Path) -> set[str]:
    """The test functions of a file."""
    nodes = ast.parse(path.read_text()).body
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_a_test_that_the_document_names_is_there(file: str, test: str) -> None:
    assert (TESTS / file).is_file()
    assert not test or test in names(TESTS / file)


def test_each_row_of_the_document_names_a_test() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("|") and "---" not in line]
    assert len(rows) > 40
    for row in rows:
        assert ".py" in row or row.endswith("| tests |"), row
