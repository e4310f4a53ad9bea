"""A real SCEP server, with its policy as it comes and with renewals allowed at any time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from scep_server import ScepServerProcess, new_depot, running_scepserver


@pytest.fixture(scope="session")
def pristine_depot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA that has not issued anything; to be copied."""
    return new_depot(tmp_path_factory.mktemp("scepserver"))


@pytest.fixture(scope="session")
def scepserver(pristine_depot: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScepServerProcess]:
    """The server on its defaults; it issues one certificate per subject until that is about to expire."""
    depot = tmp_path_factory.mktemp("default") / "depot"
    shutil.copytree(pristine_depot, depot)
    with running_scepserver(depot) as server:
        yield server


@pytest.fixture(scope="session")
def renewing_scepserver(pristine_depot: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScepServerProcess]:
    """The server with its policy about early renewals lifted."""
    depot = tmp_path_factory.mktemp("renewing") / "depot"
    shutil.copytree(pristine_depot, depot)
    with running_scepserver(depot, "-allowrenew", "0") as server:
        yield server
