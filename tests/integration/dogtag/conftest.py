"""A server for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dogtag_rig import DogtagRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[DogtagRig]:
    with DogtagRig.running(tmp_path) as rig:
        yield rig
