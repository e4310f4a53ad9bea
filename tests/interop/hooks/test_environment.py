"""A command around saving gets from us what it gets from certmonger, and what is documented beyond that."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from certmonger_under_test import Certmonger
from daemon_under_test import DaemonUnderTest
from fakes.message_bus import Bus

ADDITIONS = {
    "CERTMONGER_PVT_ADDRESS",  # this daemon has a private socket as well as the bus
    "CERTMONGER_HOOK",
    "CERTMONGER_REQUEST_NICKNAME",
    "CERTMONGER_CA_NICKNAME",
    "CERTMONGER_CERT_STORAGE",
    "CERTMONGER_CERT_LOCATION",
    "CERTMONGER_KEY_STORAGE",
    "CERTMONGER_KEY_LOCATION",
}


@pytest.fixture
def certmonger(tmp_path: Path) -> Iterator[Certmonger]:
    root = tmp_path / "theirs"
    root.mkdir()
    certmonger = Certmonger(root)
    yield certmonger
    certmonger.stop()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[DaemonUnderTest]:
    folder = tmp_path / "our-bus"
    folder.mkdir()
    bus = Bus(folder)
    daemon = DaemonUnderTest(tmp_path / "ours", bus_address=bus.address)
    yield daemon
    daemon.close()
    bus.stop()


def make_hook(root: Path) -> Path:
    hook = root / "hook.sh"
    hook.write_text(f'#!/bin/sh\n{{ env; echo "umask=$(umask)"; }} > {root}/"$1".env\n')
    hook.chmod(0o755)
    return hook


def environment_in(path: Path, root: Path) -> dict[str, str]:
    lines = path.read_text().replace(str(root), "ROOT").splitlines()
    found = dict(line.split("=", 1) for line in lines)
    found.pop("DBUS_SESSION_BUS_ADDRESS")  # two buses
    return found


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_environments_are_equal_but_for_documented_additions(
    certmonger: Certmonger, ours: DaemonUnderTest, moment: str
) -> None:
    certmonger.start()
    options = ["-I", "it", "-c", "SelfSign", "-N", "CN=it", "-w"]
    for_theirs = [f"-B{make_hook(certmonger.root)} before", f"-C{make_hook(certmonger.root)} after"]
    files = ["-f", str(certmonger.root / "it.crt"), "-k", str(certmonger.root / "it.key")]
    certmonger.getcert("request", *options, *for_theirs, *files)
    their_file = certmonger.root / f"{moment}.env"
    certmonger.wait(lambda: their_file.exists() and "umask" in their_file.read_text())
    ours.start({"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
    hook = make_hook(ours.root)
    assert ours.request("it", "-B", f"{hook} before", "-C", f"{hook} after", ca="SelfSign").returncode == 0
    theirs = environment_in(their_file, certmonger.root)
    own = environment_in(ours.root / f"{moment}.env", ours.root)
    assert {name: value for name, value in own.items() if name not in ADDITIONS} == theirs
