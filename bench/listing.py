"""How long a daemon with many certificates takes: to start, to list them, and to tell about one.

    bench/listing.py --daemon certmongerd --count 1000

One certificate is issued by the CA "local"; its state file, key and certificate are copied *count* times under other
names. Then the daemon is started on that state as after a restart of the host, and the `getcert` that belongs to it is
run. Prints one line of JSON. Of several runs of a command the fastest is given.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from burst import machine, version_of
from pipeline import Call, Pipeline
from processes import cpu_seconds, peak_memory_mib
from rig import daemon_environment, own_bus, programs, running, started

from certmongerd.api import BUS_NAME, DBUS_NAME, DBUS_PATH

CLIENTS: Final = {
    "certmongerd": str(Path(programs()["certmongerd"]).with_name("getcert")),
    "debian": "/usr/bin/getcert",
}
START_TIMEOUT_S: Final = 600.0
POLL_S: Final = 0.005
QUIET_FOR_S: Final = 1.5
"""A daemon that has used next to no CPU for so long has finished what it does after its start."""
COPIED_FILES: Final = ("template.crt", "template.key")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", choices=sorted(programs()), default="certmongerd")
    parser.add_argument("--count", type=int, default=1000, help="certificates that are tracked")
    parser.add_argument("--key", default="RSA:2048", metavar="TYPE:SIZE")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each command")
    return parser.parse_args()


def _issue_template(root: Path, key: str) -> None:
    """Have one certificate issued below *root*, by this project's daemon: its state is the other one's too."""
    folder = root / "certificates"
    folder.mkdir()
    key_type, _, size_bits = key.partition(":")
    with started("certmongerd", transport="peer", root=root) as rig:
        argv = [CLIENTS["certmongerd"], "request", "-c", "local", "-I", "template", "-N", "CN=template.example.com"]
        argv += ["-f", str(folder / "template.crt"), "-k", str(folder / "template.key")]
        argv += ["-G", key_type, "-g", size_bits, "-D", "template.example.com", "-w"]
        environment = daemon_environment(root, None) | {"CERTMONGER_PVT_ADDRESS": rig.address}
        finished = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise SystemExit(f"the certificate to copy was not issued: {finished.stdout}")


def _copy_template(root: Path, count: int) -> None:
    """Turn the one request into *count* requests `bench-N` with files of their own."""
    (template,) = (path for path in (root / "requests").iterdir() if not path.name.startswith("."))
    text, folder = template.read_text(), root / "certificates"
    for number in range(count):
        name = f"bench-{number:05}"
        for file in COPIED_FILES:
            shutil.copy(folder / file, folder / file.replace("template", name))
        copy = text.replace("id=template\n", f"id={name}\n").replace(f"{folder}/template.", f"{folder}/{name}.")
        second = f"2026010{1 + number // 86400}{number // 3600 % 24:02}{number // 60 % 60:02}{number % 60:02}"
        (template.parent / second).write_text(copy)
    template.unlink()


def _wait_for_name(client: Pipeline, began: float) -> float:
    owned = Call(DBUS_PATH, DBUS_NAME, "NameHasOwner", "s", (BUS_NAME,), destination=DBUS_NAME)
    while client.call(owned) != (True,):
        if time.monotonic() - began > START_TIMEOUT_S:
            raise SystemExit("the daemon did not take its name")
        time.sleep(POLL_S)
    return time.monotonic() - began


def _wait_until_quiet(pid: int) -> None:
    used, since = cpu_seconds(pid), time.monotonic()
    while time.monotonic() - since < QUIET_FOR_S:
        time.sleep(0.1)
        now = cpu_seconds(pid)
        if now - used > 0.02:
            used, since = now, time.monotonic()


def _fastest_s(argv: list[str], environment: Mapping[str, str], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        began = time.monotonic()
        finished = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, check=False)
        times.append(time.monotonic() - began)
        if finished.returncode:
            raise SystemExit(f"{' '.join(argv)} ended with {finished.returncode}: {finished.stdout[:200]!r}")
    return round(min(times), 3)


def _measure(arguments: argparse.Namespace, root: Path, address: str) -> dict[str, object]:
    environment = daemon_environment(root, address)
    client, one = CLIENTS[arguments.daemon], f"bench-{arguments.count // 2:05}"
    with Pipeline(address, is_bus=True) as probe:
        began = time.monotonic()
        with running([programs()[arguments.daemon], "-s", "-n"], environment, root / "daemon.log") as process:
            owned_after_s = _wait_for_name(probe, began)
            _wait_until_quiet(process.pid)
            settled_after_s = time.monotonic() - began - QUIET_FOR_S
            result: dict[str, object] = {
                "name_owned_after_s": round(owned_after_s, 2),
                "quiet_after_s": round(settled_after_s, 1),
                "start_cpu_s": round(cpu_seconds(process.pid), 2),
            }
            for label, command in (("list_s", ["list"]), ("list_one_s", ["list", "-i", one])):
                result[label] = _fastest_s([client, command[0], "-s", *command[1:]], environment, arguments.repeat)
            result["status_s"] = _fastest_s([client, "status", "-s", "-i", one], environment, arguments.repeat)
            result["peak_memory_mib"] = round(peak_memory_mib(process.pid), 1)
    return result


def main() -> None:
    """Prepare the state, measure, and print a line of JSON."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="listing-") as folder:
        root = Path(folder)
        _issue_template(root, arguments.key)
        _copy_template(root, arguments.count)
        os.sync()
        with own_bus(root) as address:
            result = _measure(arguments, root, address)
    asked = {name: getattr(arguments, name) for name in ("daemon", "count", "key")}
    version = version_of(programs()[arguments.daemon])
    print(json.dumps({**asked, "version": version, **result, **machine()}), flush=True)


if __name__ == "__main__":
    main()
