"""One host with systemd for all tests of a file; the daemon is its service."""

from collections.abc import Iterator

import pytest
from systemd_host import SystemdHost


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdHost]:
    host = SystemdHost(tmp_path_factory.mktemp("host"))
    try:
        host.install()
        yield host
    finally:
        host.close()
