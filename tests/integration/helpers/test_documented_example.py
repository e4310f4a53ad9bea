"""The helper in docs/helper-protocol.md is a working program: it is taken from the document and run by the daemon."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from daemon_under_test import DaemonUnderTest
from helper_cases import KEY_PEM, LEAF
from scep_material import pem
from web_server import FixedServer, web_server

TESTS: Final = Path(__file__).parents[2]
DOCUMENT: Final = TESTS.parent / "docs" / "helper-protocol.md"


def documented() -> str:
    """The code block with a whole program."""
    (block,) = re.findall(r"^```python\n(#!.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    return str(block)


@pytest.fixture(scope="module")
def server() -> Iterator[FixedServer]:
    with web_server(body=pem(LEAF).encode()) as server:
        yield server


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, server: FixedServer) -> Iterator[DaemonUnderTest]:
    """With a CA called `example`, whose helper is the document's."""
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"))
    under_test.start()
    helper = under_test.root / "example-submit"
    helper.write_text(documented())
    added = under_test.getcert("add-ca", "-c", "example", "-e", f"{sys.executable} {helper} -u {server.url}")
    assert added.returncode == 0, added.stdout
    yield under_test
    under_test.close()


def test_the_document_has_the_program_whose_types_are_checked_with_the_tests() -> None:
    assert documented() == (TESTS / "example_submit.py").read_text()


@pytest.mark.parametrize(
    ("status", "body", "state", "words"),
    [
        (200, pem(LEAF).encode(), "MONITORING", ""),
        (202, b"", "CA_WORKING", ""),
        (403, b"not for you\n", "CA_REJECTED", "The CA refuses: not for you"),
        (500, b"smoke\n", "CA_UNREACHABLE", "The CA is out of order: smoke"),
    ],
)
def test_the_daemon_works_with_it(
    daemon: DaemonUnderTest, server: FixedServer, status: int, body: bytes, state: str, words: str
) -> None:
    server.status, server.body = status, body
    name = f"it{status}"
    (daemon.certs / f"{name}.key").write_bytes(KEY_PEM)
    daemon.request(name, ca="example")
    shown = daemon.listing(name)
    assert shown["status"] == state, shown
    assert shown.get("ca-error", "") == words
    if state == "MONITORING":
        assert (daemon.certs / f"{name}.crt").read_text() == pem(LEAF)


def test_the_daemon_knows_what_it_is(daemon: DaemonUnderTest) -> None:
    assert "ca_aka=Example CA (certmongerd " in daemon.state_file("cas", "example").read_text()
