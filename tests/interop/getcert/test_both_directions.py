"""Debian's getcert, a C program, drives our daemon, and ours drives Debian's, over each way to connect."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from daemon_under_test import BIN, DaemonUnderTest, assert_pair
from fakes.message_bus import POLICY, Bus, SystemBus

OURS, DEBIANS = "ours", "Debian's"
SESSION, SYSTEM, PRIVATE = "session bus", "system bus", "private socket"
DEBIANS_POLICY = Path("/etc/dbus-1/system.d/certmonger.conf")
"""Lets root call certmonger's own interfaces only: no ObjectManager, no Peer."""
OPTIONS = {SESSION: ("-s",), SYSTEM: ("-S",), PRIVATE: ()}


def debians(program: str, folder: str) -> str:
    """A program of Debian's package."""
    found = shutil.which(program, path=folder)
    assert found is not None, f"{program} is not there: apt-get install certmonger"
    return found


@contextmanager
def started(make: pytest.TempPathFactory, program: str, kind: str) -> Iterator[DaemonUnderTest]:
    folder = make.mktemp("bus")
    bus = Bus(folder) if kind == SESSION else SystemBus(folder, POLICY if "certmongerd" in program else DEBIANS_POLICY)
    under_test = DaemonUnderTest(
        make.mktemp("daemon"),
        program=program,
        bus_address=bus.address if kind == SESSION else "",
        system_bus_address=bus.address if kind == SYSTEM else "",
    )
    try:
        under_test.start()
        yield under_test
    finally:
        under_test.close()
        bus.stop()


@dataclass(frozen=True)
class Pair:
    """A client and a daemon, and how the one reaches the other."""

    client: str
    daemon_name: str
    transport: str
    daemon: DaemonUnderTest

    def getcert(self, command: str, *arguments: str | Path, client: str = "") -> tuple[int, str]:
        """Run the client, or the other *client*; status and standard output."""
        environment = self.daemon.environment()
        if self.transport == PRIVATE:
            environment["CERTMONGER_PVT_ADDRESS"] = f"unix:path={self.daemon.socket}"
        ours = (client or self.client) == OURS
        program = str(BIN / "getcert") if ours else debians("getcert", "/usr/bin")
        done = subprocess.run(
            [program, command, *OPTIONS[self.transport], *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], DaemonUnderTest]]:
    """Of each program one daemon on a session bus and one on a system bus with the policy that comes with it."""
    assert os.geteuid() == 0, "the system bus lets root only call the daemon: run these tests as root"
    programs = {OURS: str(BIN / "certmongerd"), DEBIANS: debians("certmonger", "/usr/sbin")}
    with (
        started(tmp_path_factory, programs[OURS], SESSION) as ours_session,
        started(tmp_path_factory, programs[OURS], SYSTEM) as ours_system,
        started(tmp_path_factory, programs[DEBIANS], SESSION) as debians_session,
        started(tmp_path_factory, programs[DEBIANS], SYSTEM) as debians_system,
    ):
        yield {
            (OURS, SESSION): ours_session,
            (OURS, SYSTEM): ours_system,
            (DEBIANS, SESSION): debians_session,
            (DEBIANS, SYSTEM): debians_system,
        }


@pytest.fixture(
    params=[
        (client, daemon, transport)
        for client, daemon in ((DEBIANS, OURS), (OURS, DEBIANS), (OURS, OURS))
        for transport in (SESSION, SYSTEM, PRIVATE)
    ],
    ids=lambda way: f"{way[0]} getcert, {way[1]} daemon, {way[2]}",
)
def pair(request: pytest.FixtureRequest, daemons: dict[tuple[str, str], DaemonUnderTest]) -> Pair:
    client, daemon, transport = request.param
    return Pair(client, daemon, transport, daemons[daemon, SESSION if transport == PRIVATE else transport])


def without_next_attempt(shown: str) -> str:
    return re.sub(r"\tnext attempt: .*\n", "", shown)


def unused_name(pair: Pair, what: str) -> str:
    return f"{what}-{pair.client[:1]}{pair.daemon_name[:1]}{pair.transport.split()[0]}"


def test_certificates_are_requested_listed_renewed_and_forgotten(pair: Pair) -> None:
    name = unused_name(pair, "web")
    certificate, key = pair.daemon.certs / f"{name}.crt", pair.daemon.certs / f"{name}.key"
    arguments = ("-c", "local", "-I", name, "-f", certificate, "-k", key, "-N", f"CN={name}", "-D", "a.example.org")
    assert pair.getcert("request", *arguments, "-w") == (0, f'New signing request "{name}" added.\n')
    assert_pair(certificate, key)
    first = certificate.read_bytes()
    status, shown = pair.getcert("list", "-i", name)
    assert status == 0
    assert "\tstatus: MONITORING\n" in shown
    assert f"\tsubject: CN={name}\n" in shown
    # The other client shows the same to the letter, but for when our daemon renews, which only ours asks it.
    status, shown_by_other = pair.getcert("list", "-i", name, client=DEBIANS if pair.client == OURS else OURS)
    assert (status, without_next_attempt(shown_by_other)) == (0, without_next_attempt(shown))
    assert pair.getcert("status", "-i", name)[0] == 0
    assert pair.getcert("resubmit", "-i", name, "-w") == (0, f'Resubmitting "{name}" to "local".\n')
    assert certificate.read_bytes() != first
    assert pair.getcert("stop-tracking", "-i", name) == (0, f'Request "{name}" removed.\n')
    assert pair.getcert("status", "-i", name)[0] == 1
    assert pair.getcert("start-tracking", "-c", "SelfSign", "-I", name, "-f", certificate, "-k", key) == (
        0,
        f'New tracking request "{name}" added.\n',
    )
    assert pair.getcert("rekey", "-i", name, "-w")[0] == 0
    assert_pair(certificate, key)
    assert pair.getcert("stop-tracking", "-f", certificate) == (0, f'Request "{name}" removed.\n')


def test_cas_are_added_listed_changed_and_removed(pair: Pair) -> None:
    name = unused_name(pair, "ca")
    assert pair.getcert("add-ca", "-c", name, "-e", "/bin/true") == (0, f'New CA "{name}" added.\n')
    status, shown = pair.getcert("list-cas", "-c", name)
    assert status == 0
    assert "\thelper-location: /bin/true\n" in shown
    assert pair.getcert("modify-ca", "-c", name, "-e", "/bin/false")[0] == 0
    assert "/bin/false" in pair.getcert("list-cas", "-c", name)[1]
    assert pair.getcert("refresh-ca", "-c", name)[0] == 0
    assert pair.getcert("remove-ca", "-c", name) == (0, f'CA "{name}" removed.\n')
    assert [line for line in pair.getcert("list-cas")[1].splitlines() if line.startswith("CA ")] == [
        "CA 'SelfSign':",
        "CA 'IPA':",
        "CA 'dogtag-ipa-renew-agent':",
        "CA 'local':",
    ]


def test_what_is_wrong_is_told(pair: Pair) -> None:
    files = ("-f", pair.daemon.certs / "a", "-k", pair.daemon.certs / "b")
    status, shown = pair.getcert("request", "-c", "local", *files, "--ms-template-spec", "1.2.3")
    assert (status, shown) == (1, "Invalid V2 certificate template specifier: 1.2.3\n")
    status, shown = pair.getcert("request", "-c", "nobody", *files)
    assert (status, shown) == (1, 'No CA with name "nobody" found.\n')
