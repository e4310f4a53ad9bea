"""Everything on the wire is tested with both D-Bus libraries."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.caller import Client, s
from fakes.service import FakeService

from certmongerd.busapi import transport
from certmongerd.busapi.access import AccessControl
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca


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
def nobodys_api(service: FakeService) -> CertmongerApi:
    """A daemon that the user 65534 runs."""
    return CertmongerApi(service, access=AccessControl(own_uid=65534))


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


@pytest.fixture
async def crowded(service: FakeService, client: Client, tmp_path: Path) -> None:
    """Files of all sorts, a CA and two requests."""
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    await service.add_ca(Ca(id=CaName("IPA")))
    await client.add(
        {
            "NICKNAME": s("Nick"),
            "CERT_STORAGE": s("FILE"),
            "CERT_LOCATION": s(f"{tmp_path}/nick.crt"),
            "KEY_STORAGE": s("FILE"),
            "KEY_LOCATION": s(f"{tmp_path}/nick.key"),
        }
    )
    await client.add(
        {
            "NICKNAME": s("Database"),
            "CERT_STORAGE": s("NSSDB"),
            "CERT_LOCATION": s(f"{tmp_path}/directory"),
            "CERT_NICKNAME": s("db"),
            "KEY_STORAGE": s("NSSDB"),
            "KEY_LOCATION": s(f"{tmp_path}/directory"),
            "KEY_NICKNAME": s("dbkey"),
        }
    )
