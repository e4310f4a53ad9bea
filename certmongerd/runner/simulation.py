"""Simulations beside the daemon's work: in one thread, one at a time, given up when nobody waits for the result."""

import asyncio
import json
import threading
from datetime import datetime
from typing import Final

from certmongerd.core.simulation import MOST_STEPS, Assumptions, Forecast, simulate
from certmongerd.runner.executor import Executor
from certmongerd.runner.registry import Registry

FORMAT_VERSION: Final = 1
"""Of the JSON document; raised when a key goes or changes its meaning."""


class Simulations:
    """Runs simulations of what is tracked at present."""

    def __init__(self, registry: Registry, executor: Executor, *, most_steps: int = MOST_STEPS) -> None:
        self._registry = registry
        self._most_steps = most_steps
        self._executor = executor
        self._running = asyncio.Lock()

    async def run(self, assumptions: Assumptions) -> str:
        """The forecast as a JSON document, see docs/getcert-output.md."""
        is_given_up = threading.Event()
        async with self._running:
            # What the thread works on is put together here: the tables change while it runs.
            registry = self._registry
            requests, cas = tuple(registry.request_values.values()), tuple(registry.ca_values.values())
            policy, now = registry.policy, registry.clock.now()

            def work() -> str:
                forecast = simulate(
                    requests,
                    cas,
                    policy,
                    now,
                    assumptions,
                    is_wanted=lambda: not is_given_up.is_set(),
                    most_steps=self._most_steps,
                )
                return json.dumps(forecast_document(forecast))

            running = asyncio.ensure_future(self._executor.cpu(work))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                is_given_up.set()
                await asyncio.wait([running])
                raise


def forecast_document(forecast: Forecast) -> dict[str, object]:
    """*forecast* as an object of JSON."""
    return {
        "version": FORMAT_VERSION,
        "begin": _time(forecast.begin),
        "end": _time(forecast.end),
        "complete": forecast.is_complete,
        "requests": forecast.requests,
        "renewals": [
            {
                "at": _time(renewal.at),
                "id": renewal.request,
                "ca": renewal.ca,
                "new_key": renewal.has_new_key,
                "submissions": renewal.submissions,
            }
            for renewal in forecast.renewals
        ],
        "expired": [
            {
                "id": lapse.request,
                "from": _time(lapse.begin),
                "until": _time(lapse.end) if lapse.end is not None else None,
            }
            for lapse in forecast.lapses
        ],
        "resting": [{"id": name, "status": state.value} for name, state in forecast.resting],
        "cas": [
            {
                "name": load.ca,
                "submissions": load.submissions,
                "busiest_hour": {"begin": _time(load.hour), "submissions": load.in_hour},
                "busiest_day": {"begin": _time(load.day), "submissions": load.in_day},
            }
            for load in forecast.loads
        ],
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
