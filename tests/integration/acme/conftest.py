"""One pebble for the tests of this folder, and clients with accounts of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from acme_client import AcmeClient
from acme_server import AcmeServer, running_pebble


@pytest.fixture(scope="session")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeServer]:
    with running_pebble(
        tmp_path_factory.mktemp("pebble"), PEBBLE_ALTERNATE_ROOTS="2", PEBBLE_CHAIN_LENGTH="3"
    ) as server:
        yield server


@pytest.fixture
def acme(tmp_path: Path) -> AcmeClient:
    return AcmeClient(tmp_path)
