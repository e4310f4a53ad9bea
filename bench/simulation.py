"""How long a simulation takes, and how late the event loop wakes up meanwhile.

python bench/simulation.py --count 1000 --years 10
"""

import argparse
import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import (
    Ca,
    CertificateFacts,
    KeyAlgorithm,
    KeyRecord,
    KeyStorage,
    Request,
    StorageType,
)
from certmongerd.core.simulation import Assumptions, simulate
from certmongerd.core.states import State
from certmongerd.core.step import Policy
from certmongerd.runner.executor import Executor

NOW = datetime.now(UTC).replace(microsecond=0)
YEAR = timedelta(days=365)
CA = Ca(id=CaName("corp"), external_helper="/bin/true")
TICK_S = 0.005


def tracked(number: int, count: int) -> Request:
    """A request with a certificate for a year, of which a part is over."""
    begin = NOW - YEAR * 0.9 * (number / count)
    spki = b"%d" % number
    return Request(
        id=Nickname(f"web{number}"),
        state=State.MONITORING,
        key=KeyRecord(type=KeyAlgorithm.RSA, size=2048, pubkey_info=spki),
        key_storage=KeyStorage(type=StorageType.FILE, location=f"/etc/pki/web{number}.key"),
        cert="PEM",
        cert_facts=CertificateFacts(spki=spki, not_before=begin, not_after=begin + YEAR),
        ca_name=CA.id,
        last_need_enroll_check=NOW,
    )


async def lateness() -> float:
    """The latest wake-up of the event loop until this is cancelled, in seconds."""
    latest = 0.0
    try:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(TICK_S)
            latest = max(latest, time.perf_counter() - begin - TICK_S)
    except asyncio.CancelledError:
        return latest


async def measure(count: int, years: int) -> dict[str, object]:
    """Simulate once, in a thread as the daemon does."""
    requests = [tracked(number, count) for number in range(count)]
    executor = Executor()
    watching = asyncio.create_task(lateness())
    await asyncio.sleep(0)
    begin, cpu_begin = time.perf_counter(), time.process_time()
    forecast = await executor.cpu(
        simulate, requests, (CA,), replace(Policy(), spread_seed="host"), NOW, Assumptions(until=NOW + years * YEAR)
    )
    seconds, cpu_s = time.perf_counter() - begin, time.process_time() - cpu_begin
    watching.cancel()
    executor.close()
    return {
        "requests": count,
        "years": years,
        "renewals": len(forecast.renewals),
        "busiest_hour": max(load.in_hour for load in forecast.loads),
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu_s, 2),
        "loop_late_ms": round(1000 * await watching, 1),
    }


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--years", type=int, default=10)
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(measure(arguments.count, arguments.years))))


if __name__ == "__main__":
    main()
