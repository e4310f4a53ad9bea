"""getcert with many requests: one call for each page of them, single calls where nobody knows pages, and no more."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from fakes.service import FakeService
from integration.bus.test_programs import run

from certmongerd.api import ROOT_PATH
from certmongerd.busapi import managed
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.extended_manager import EXTENDED_MANAGER
from certmongerd.busapi.marshal import read_managed_objects
from certmongerd.busapi.peer import PeerServer
from certmongerd.busapi.refusal import CallRefused
from certmongerd.busapi.service import Caller
from certmongerd.busapi.transport import Variant, WireMessage
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import Ca

COUNT = 70
BULK = "list_properties"

GetCert = Callable[..., Awaitable[tuple[int | None, str]]]


class RecordingApi(CertmongerApi):
    """Remembers which methods were called."""

    def __init__(self, service: FakeService) -> None:
        super().__init__(service)
        self.members: list[str | None] = []

    async def handle(
        self, call: WireMessage, caller: Caller, *, pass_on: Callable[[], None] = lambda: None
    ) -> WireMessage | None:
        self.members.append(call.member)
        return await super().handle(call, caller, pass_on=pass_on)


@pytest.fixture
async def recorded(service: FakeService) -> RecordingApi:
    await service.add_ca(Ca(id=CaName("local"), external_helper="/bin/helper"))
    for number in range(COUNT):
        request = replace(service.new_request(), id=Nickname(f"r{number}"), ca_name=CaName("local"))
        await service.add_request(request)
    return RecordingApi(service)


@pytest.fixture
async def getcert(recorded: RecordingApi) -> AsyncIterator[GetCert]:
    server = await PeerServer.start(None, recorded)

    def call(*arguments: str) -> Awaitable[tuple[int | None, str]]:
        return run(sys.executable, "-m", "getcert", *arguments, CERTMONGER_PVT_ADDRESS=server.address)

    yield call
    await server.close()


def listed(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Request ID")]


async def test_what_fits_into_a_page_is_listed_with_one_call(getcert: GetCert, recorded: RecordingApi) -> None:
    status, output = await getcert("list")

    assert status == 0, output
    assert listed(output) == [f"r{number}" for number in range(COUNT)]
    assert recorded.members == [BULK]


async def test_what_does_not_fit_into_one_page_is_listed_with_several_calls(
    getcert: GetCert, recorded: RecordingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed, "PAGE_BYTES", 10_000)

    status, output = await getcert("list")

    assert status == 0, output
    assert listed(output) == [f"r{number}" for number in range(COUNT)]
    assert output.count("\tCA: local\n") == COUNT
    assert set(recorded.members) == {BULK}
    assert 2 < len(recorded.members) < COUNT


@pytest.mark.parametrize(("removed", "calls"), [((), 5), (range(300), 5), (range(10, 990), 1), (range(5, 400), 5)])
async def test_many_are_listed_in_a_few_pages_whatever_their_numbers(
    removed: Sequence[int], calls: int, service: FakeService, getcert: GetCert, recorded: RecordingApi
) -> None:
    for number in range(COUNT, 1000):
        await service.add_request(replace(service.new_request(), id=Nickname(f"r{number}"), ca_name=CaName("local")))
    paths = list(service.requests())
    for number in removed:
        await service.remove_request(paths[number])

    status, output = await getcert("list")

    assert status == 0, output[:500]
    assert listed(output) == [f"r{number}" for number in range(1000) if number not in removed]
    assert output.count("\tCA: local\n") == 1000 - len(removed)
    assert recorded.members == calls * [BULK]


async def test_where_pages_are_not_known_requests_are_asked_for_one_by_one(
    getcert: GetCert, recorded: RecordingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(EXTENDED_MANAGER.methods, BULK)

    status, output = await getcert("list")

    assert status == 0, output
    assert listed(output) == [f"r{number}" for number in range(COUNT)]
    assert output.count("\tCA: local\n") == COUNT
    assert recorded.members.count(BULK) == 1


async def test_the_pages_go_on_behind_a_request_that_was_removed(
    service: FakeService, recorded: RecordingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = list(service.requests())
    await service.remove_request(paths[30])
    monkeypatch.setattr(managed, "PAGE_BYTES", 1)

    page = read_managed_objects((await managed.page_of_objects(service, paths[30])).data, Variant)
    last = read_managed_objects((await managed.page_of_objects(service, paths[-1])).data, Variant)
    end = read_managed_objects((await managed.page_of_objects(service, next(iter(service.cas())))).data, Variant)

    assert list(page) == [paths[31]]
    assert list(last) == [*service.cas(), ROOT_PATH]
    assert end == {ROOT_PATH: {}}


async def test_all_objects_together_are_refused_where_a_bus_would_not_carry_them(
    service: FakeService, recorded: RecordingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed, "MAX_MANAGED_BYTES", 1000)
    with pytest.raises(CallRefused, match="more than fits into one message"):
        await managed.all_objects(service)


@pytest.mark.parametrize("command", [("list", "-i", "r7"), ("status", "-v", "-i", "r7"), ("stop-tracking", "-i", "r7")])
async def test_a_command_about_one_request_does_not_fetch_all(
    command: tuple[str, ...], getcert: GetCert, recorded: RecordingApi
) -> None:
    _, output = await getcert(*command)

    assert output
    assert not {BULK, "list_objects"} & set(recorded.members)
    assert len(recorded.members) <= 5
    assert listed(output) == (["r7"] if command[0] == "list" else [])


async def test_a_nickname_in_other_spelling_is_found_among_all(getcert: GetCert) -> None:
    status, output = await getcert("list", "-i", "R7")

    assert (status, listed(output)) == (0, ["r7"])
    assert output.startswith(f"Number of certificates and requests being tracked: {COUNT}.\n")
