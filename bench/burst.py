"""How long a burst of requests takes: many certificates asked for at once, until the last one is in place.

    bench/burst.py --daemon certmongerd --count 50 --key RSA:2048 --ca local

Prints one line of JSON per run. The clock runs from the first add_request until every request is in MONITORING.
The client asks for the status of one unfinished request at a time, fifty times a second, and takes no part of the
signals, so that it does not compete with the daemon. scepserver reads the file with its last serial number while it is
being written, and then refuses a request: those are submitted again, and counted, up to a fifth of all.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from machine import machine, version_of
from pipeline import Call, CallFailed, Pipeline
from processes import cpu_seconds, peak_memory_mib, process_cpu_seconds, stolen_seconds
from rig import MeasurementFailed, Rig, helper_directories, new_folder, programs, started
from scep_ca import CHALLENGE, scepserver

from certmongerd.api import (
    BUS_NAME,
    CA_INTERFACE,
    DBUS_NAME,
    DBUS_PATH,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.transport import Variant

POLL_S = 0.02
READY_TIMEOUT_S = 60.0
FAILED_STATES = {"CA_REJECTED", "NEED_GUIDANCE", "CA_UNREACHABLE", "CA_UNCONFIGURED", "NEED_CA"}
SCEP: Final = "scep"
NEEDED_DATA: Final = {"local": "root-certs", SCEP: "scep-ra-cert"}
"""Properties of CAs that are there when the CA can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What is asked for at once."""

    count: int
    key: str
    """TYPE:BITS"""
    ca: str
    """local, SelfSign, or scep: a scepserver that is started for it."""
    transport: str = "bus"
    timeout_s: float = 600
    settle_s: float = 6
    """Before it: what the daemon does at its start is not part of the burst."""


def wait_for_daemon(rig: Rig) -> None:
    """On a bus, the name may appear later than the process; the private socket is there when this is called."""
    if not rig.is_bus:
        return
    deadline = time.monotonic() + READY_TIMEOUT_S
    with Pipeline(rig.address, is_bus=True) as client:
        owned = Call(DBUS_PATH, DBUS_NAME, "NameHasOwner", "s", (BUS_NAME,), destination=DBUS_NAME)
        while client.call(owned) != (True,):
            if time.monotonic() > deadline:
                raise MeasurementFailed("the daemon did not take its name: " + (rig.state / "daemon.log").read_text())
            time.sleep(0.05)


def _add_scep_ca(client: Pipeline, daemon: str, url: str) -> None:
    command = f"{helper_directories()[daemon]}/scep-submit -u {url}"
    client.call(Call(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", (SCEP, command, [])))


def ca_path(client: Pipeline, nickname: str) -> str:
    """The CA's object path, once its certificates are known (the local CA makes its own at first)."""
    answer = client.call(Call(ROOT_PATH, ROOT_INTERFACE, "find_ca_by_nickname", "s", (nickname,)))
    if not answer:
        raise MeasurementFailed(f"there is no CA {nickname}")
    path = str(answer[0])
    deadline = time.monotonic() + READY_TIMEOUT_S
    everything = Call(path, PROPERTIES_INTERFACE, "GetAll", "s", (CA_INTERFACE,))
    while nickname in NEEDED_DATA:
        (properties,) = client.call(everything)
        if isinstance(properties, dict) and properties.get(NEEDED_DATA[nickname]):
            break
        if time.monotonic() > deadline:
            raise MeasurementFailed(f"the certificates of {nickname} did not come")
        time.sleep(0.1)
    return path


def additions(numbers: range, folder: Path, path: str, key: str) -> list[Call]:
    """Calls that add requests of the CA at *path*, whose files are below *folder*."""
    return [_addition(number, folder, path, key) for number in numbers]


def _addition(number: int, folder: Path, path: str, key: str) -> Call:
    key_type, _, size_bits = key.partition(":")
    values = {
        "NICKNAME": Variant("s", f"burst-{number}"),
        "CERT_STORAGE": Variant("s", "FILE"),
        "CERT_LOCATION": Variant("s", str(folder / f"{number}.crt")),
        "KEY_STORAGE": Variant("s", "FILE"),
        "KEY_LOCATION": Variant("s", str(folder / f"{number}.key")),
        "KEY_TYPE": Variant("s", key_type),
        "KEY_SIZE": Variant("i", int(size_bits)),
        "SUBJECT": Variant("s", f"CN=host{number}.example.com"),
        "CA": Variant("o", path),
        "template-challenge-password": Variant("s", CHALLENGE),
    }
    return Call(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (values,))


def wait_for_all(client: Pipeline, paths: Sequence[str], timeout_s: float, *, refusals: int = 0) -> int:
    """Until the requests at *paths* are all in MONITORING. Raises MeasurementFailed when one will not be.

    Up to *refusals* that a CA refuses are submitted again; the number of those that were.
    """
    resubmitted = 0
    unfinished = list(paths)
    random.shuffle(unfinished)
    deadline = time.monotonic() + timeout_s
    while unfinished:
        (status, stuck) = client.call(Call(unfinished[-1], REQUEST_INTERFACE, "get_status"))
        if status == "MONITORING":
            unfinished.pop()
            continue
        if status == "CA_REJECTED" and resubmitted < refusals:
            client.call(Call(unfinished[-1], REQUEST_INTERFACE, "resubmit"))
            resubmitted += 1
            continue
        if stuck or status in FAILED_STATES:
            properties = Call(unfinished[-1], PROPERTIES_INTERFACE, "Get", "ss", (REQUEST_INTERFACE, "ca-error"))
            raise MeasurementFailed(f"a request is in {status}: {client.call(properties)[0]}")
        if time.monotonic() > deadline:
            raise MeasurementFailed(f"not finished after {timeout_s:g} s, one request is in {status}")
        time.sleep(POLL_S)
    return resubmitted


def _measure(rig: Rig, burst: Burst, scep_url: str) -> dict[str, float]:
    folder = rig.state / "certificates"
    folder.mkdir()
    wait_for_daemon(rig)
    with Pipeline(rig.address, is_bus=rig.is_bus) as client:
        if scep_url:
            _add_scep_ca(client, rig.daemon, scep_url)
        path = ca_path(client, burst.ca)
        time.sleep(burst.settle_s)
        calls = additions(range(burst.count), folder, path, burst.key)
        own_process_before = process_cpu_seconds(rig.pid)
        stolen_before = stolen_seconds()
        cpu_before, own_before, began = cpu_seconds(rig.pid), time.process_time(), time.monotonic()
        try:
            answers = client.call_all(calls)
        except CallFailed as error:
            raise MeasurementFailed(f"add_request: {error}") from error
        accepted = time.monotonic()
        paths = [str(answer[1]) for answer in answers]
        refusals = burst.count // 5 if scep_url else 0
        resubmitted = wait_for_all(client, paths, burst.timeout_s, refusals=refusals)
        ended = time.monotonic()
    missing = [number for number in range(burst.count) if not (folder / f"{number}.crt").stat().st_size]
    if missing:
        raise MeasurementFailed(f"MONITORING without a certificate: {missing}")
    return {
        "seconds": round(ended - began, 3),
        "accepted_after_s": round(accepted - began, 3),
        "cpu_s": round(cpu_seconds(rig.pid) - cpu_before, 3),
        "own_cpu_s": round(process_cpu_seconds(rig.pid) - own_process_before, 3),
        "client_cpu_s": round(time.process_time() - own_before, 3),
        "stolen_s": round(stolen_seconds() - stolen_before, 3),
        "resubmitted": resubmitted,
        "peak_memory_mib": round(peak_memory_mib(rig.pid), 1),
    }


def run_burst(daemon: str, burst: Burst) -> dict[str, float]:
    """One run with a daemon of its own. Raises MeasurementFailed."""
    with (
        scepserver(new_folder("burst-ca-")) if burst.ca == SCEP else nullcontext("") as scep_url,
        started(daemon, transport=burst.transport, root=new_folder("burst-")) as rig,
    ):
        return _measure(rig, burst, scep_url)


def main() -> None:
    """Run the burst as often as asked and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", choices=sorted(programs()), default="certmongerd")
    parser.add_argument("--count", type=int, default=50, help="requests in the burst")
    parser.add_argument("--key", default="RSA:2048", metavar="TYPE:SIZE")
    parser.add_argument("--ca", default="local", help="local, SelfSign, or scep: a scepserver that is started for it")
    parser.add_argument("--transport", choices=("bus", "peer"), default="bus")
    parser.add_argument("--repeat", type=int, default=1, help="runs, each with a new daemon")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS")
    arguments = parser.parse_args()
    asked = {name: getattr(arguments, name) for name in ("daemon", "count", "key", "ca", "transport")}
    burst = Burst(
        count=arguments.count,
        key=arguments.key,
        ca=arguments.ca,
        transport=arguments.transport,
        timeout_s=arguments.timeout,
    )
    about = {"version": version_of(programs()[arguments.daemon]), **machine()}
    for _ in range(arguments.repeat):
        print(json.dumps({**asked, **run_burst(arguments.daemon, burst), **about}), flush=True)


if __name__ == "__main__":
    main()
