"""Simulations leave the engine alone, and end when nobody waits for them."""

import asyncio
import json
from datetime import timedelta

import pytest
from fakes.engine_world import NOW, MemoryFiles, StandingClock
from fakes.request_world import PLAIN_CA, facts, monitored

from certmongerd.core.simulation import Assumptions
from certmongerd.runner.executor import Executor
from certmongerd.runner.registry import Registry
from certmongerd.runner.simulation import Simulations

LONG = Assumptions(until=NOW + timedelta(days=100_000), life=timedelta(minutes=10))


def registry_with_a_certificate(executor: Executor) -> Registry:
    registry = Registry(MemoryFiles(), executor, StandingClock())
    registry.enter_ca(PLAIN_CA)
    registry.enter_request(monitored(certificate=facts(NOW)))
    return registry


async def test_what_is_removed_meanwhile_does_not_disturb_it() -> None:
    executor = Executor()
    registry = registry_with_a_certificate(executor)
    task = asyncio.create_task(Simulations(registry, executor).run(Assumptions(until=NOW + timedelta(days=800))))
    await asyncio.sleep(0)
    for entry in list(registry.requests.values()):
        registry.leave_request(entry)
    assert len(json.loads(await task)["renewals"]) == 2
    executor.close()


async def test_a_simulation_that_is_given_up_ends_soon_and_makes_room_for_the_next() -> None:
    executor = Executor()
    simulations = Simulations(registry_with_a_certificate(executor), executor, most_steps=10**12)
    unwanted = asyncio.create_task(simulations.run(LONG))
    next_one = asyncio.create_task(simulations.run(Assumptions(until=NOW + timedelta(days=800))))
    await asyncio.sleep(0.05)
    unwanted.cancel()
    async with asyncio.timeout(60):  # to its end it would take many minutes
        with pytest.raises(asyncio.CancelledError):
            await unwanted
        assert json.loads(await next_one)["complete"]
    executor.close()
