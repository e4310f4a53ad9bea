"""A private bus and a private socket, with the daemon's interface on an in-memory service."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakes.message_bus import Bus
from fakes.service import FakeService

from certmongerd.busapi import transport
from certmongerd.busapi.bus import BusConnection
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.peer import PeerServer


@pytest.fixture(params=transport.LIBRARIES, autouse=True)
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test here runs with both D-Bus libraries."""
    before = transport.library_name()
    transport.use_library(request.param)
    yield request.param
    transport.use_library(before)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    running = Bus(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def api(service: FakeService) -> CertmongerApi:
    return CertmongerApi(service)


@pytest.fixture
async def on_bus(bus: Bus, api: CertmongerApi) -> AsyncIterator[BusConnection]:
    connection = await BusConnection.connect(bus.address, api)
    yield connection
    await connection.close()


@pytest.fixture
async def peer(api: CertmongerApi) -> AsyncIterator[PeerServer]:
    server = await PeerServer.start(None, api)
    yield server
    await server.close()
