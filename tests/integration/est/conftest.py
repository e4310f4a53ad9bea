"""A server for the tests of a module."""

from collections.abc import Iterator

import pytest
from est_rig import EstRig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EstRig]:
    with EstRig.running(tmp_path_factory.mktemp("est")) as rig:
        yield rig
