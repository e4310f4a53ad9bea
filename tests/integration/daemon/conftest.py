"""One daemon per module, or one per test where a test changes what the daemon is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    """A running daemon shared by the module's tests."""
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"))
    under_test.start()
    yield under_test
    under_test.close()


@pytest.fixture
def make_daemon(tmp_path: Path) -> Iterator[Callable[..., DaemonUnderTest]]:
    """Makes daemons that are not started yet."""
    made: list[DaemonUnderTest] = []

    def make(config: str = "", *options: str) -> DaemonUnderTest:
        under_test = DaemonUnderTest(tmp_path / f"daemon{len(made)}", config, options)
        made.append(under_test)
        return under_test

    yield make
    for under_test in made:
        under_test.close()
