"""The test responder, and a way to run scep-submit in this process."""

import sys
from collections.abc import Iterator

import pytest
from fakes.scep_responder import Responder
from scep_run import Finished, RunHelper

from certmonger_helpers.protocol import run
from certmonger_helpers.scep_submit import HELPER


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's proxies are not for servers of the test."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def responder() -> Iterator[Responder]:
    with Responder() as server:
        yield server


@pytest.fixture
def helper(capsysbinary: pytest.CaptureFixture[bytes]) -> RunHelper:
    """`helper(*arguments, **variables)` runs scep-submit with CERTMONGER_* variables."""

    def run_helper(*arguments: str, **variables: str) -> Finished:
        sys.stdout.flush()
        capsysbinary.readouterr()
        environ = {f"CERTMONGER_{name}": value for name, value in variables.items()}
        status = run(HELPER, arguments, environ)
        return Finished(status=status, output=capsysbinary.readouterr().out.decode())

    return run_helper
