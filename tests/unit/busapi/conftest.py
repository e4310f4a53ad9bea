"""Everything on the wire is tested with both D-Bus libraries."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.caller import Client, s
from fakes.service import FakeService

from certmongerd.busapi import transport
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.transport import Variant


@pytest.fixture(params=transport.LIBRARIES)
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    before = transport.library_name()
    transport.use_library(request.param)
    yield request.param
    transport.use_library(before)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def api(service: FakeService) -> CertmongerApi:
    return CertmongerApi(service)


@pytest.fixture
def client(api: CertmongerApi) -> Client:
    return Client(api)


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Variant]:
    """The smallest request: a certificate file."""
    return {"CERT_STORAGE": s("FILE"), "CERT_LOCATION": s(str(tmp_path / "a.crt"))}


@pytest.fixture
def with_key(base: dict[str, Variant], tmp_path: Path) -> dict[str, Variant]:
    """A request with certificate and key files."""
    return base | {"KEY_STORAGE": s("FILE"), "KEY_LOCATION": s(str(tmp_path / "a.key"))}
