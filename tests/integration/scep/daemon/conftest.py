"""One daemon and one server for the tests of a module."""

from collections.abc import Iterator

import pytest
from scep_rig import ScepRig, running_rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScepRig]:
    with running_rig(tmp_path_factory.mktemp("daemon")) as running:
        yield running
