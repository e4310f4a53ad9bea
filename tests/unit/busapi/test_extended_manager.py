"""org.certmongerd.manager: simulations, and assumptions that are refused."""

from datetime import UTC, datetime, timedelta

import pytest
from fakes.caller import Client
from fakes.service import FakeService

from certmongerd.api import (
    ERROR_INVALID_ARGS,
    ERROR_UNKNOWN_METHOD,
    EXTENDED_MANAGER_INTERFACE,
    REQUESTS_PATH,
    ROOT_PATH,
)
from certmongerd.core.simulation import Assumptions, Outage

TYPES = "xa(sxx)xx"
FAR = 10**12


async def test_assumptions_reach_the_daemon(client: Client, service: FakeService) -> None:
    arguments = (86400, (("local", 0, 3600), ("", 3600, 7200)), 60, 0)
    assert await client.call(ROOT_PATH, EXTENDED_MANAGER_INTERFACE, "simulate", TYPES, arguments) == ("{}",)
    begin = datetime(1970, 1, 1, tzinfo=UTC)
    hour = timedelta(hours=1)
    (assumed,) = service.assumed
    first, second = assumed.outages
    assert (first.ca, second.ca) == ("local", None)
    assert (first.begin, first.end, second.end) == (begin, begin + hour, begin + 2 * hour)
    down = (first, Outage(begin=begin + hour, end=begin + 2 * hour))
    assert assumed == Assumptions(until=begin + 24 * hour, outages=down, delay=hour / 60)


@pytest.mark.parametrize(
    "arguments",
    [
        (FAR, (), 0, 0),
        (-(2**63), (), 0, 0),
        (2**63 - 1, (), 0, 0),
        (0, (("", 0, FAR),), 0, 0),
        (0, (), -1, 0),
        (0, (), 0, -1),
        (0, (), 0, FAR),
    ],
)
async def test_times_that_make_no_sense_are_refused(
    client: Client, service: FakeService, arguments: tuple[object, ...]
) -> None:
    refused = await client.reply(ROOT_PATH, EXTENDED_MANAGER_INTERFACE, "simulate", TYPES, arguments)
    assert (refused.error_name, service.assumed) == (ERROR_INVALID_ARGS, [])


async def test_only_the_root_object_simulates(client: Client) -> None:
    refused = await client.reply(REQUESTS_PATH, EXTENDED_MANAGER_INTERFACE, "simulate", TYPES, (0, (), 0, 0))
    assert refused.error_name == ERROR_UNKNOWN_METHOD
