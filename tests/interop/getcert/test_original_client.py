"""Debian's getcert, a C program, drives our daemon over both transports."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest, assert_pair
from fakes.message_bus import Bus

TRANSPORTS = ["session bus", "private socket"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    bus = Bus(tmp_path_factory.mktemp("bus"))
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"), bus_address=bus.address)
    under_test.start()
    yield under_test
    under_test.close()
    bus.stop()


def original(daemon: DaemonUnderTest, transport: str, command: str, *arguments: str | Path) -> tuple[int, str]:
    """Run Debian's getcert; status and standard output."""
    program = shutil.which("getcert", path="/usr/bin")
    assert program is not None, "Debian's getcert is not installed: apt-get install certmonger"
    environment = daemon.environment()
    options = ["-s"]
    if transport == "private socket":
        environment["CERTMONGER_PVT_ADDRESS"] = f"unix:path={daemon.socket}"
        options = []
    done = subprocess.run(
        [program, command, *options, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("ca", ["local", "SelfSign"])
def test_the_original_client_enrols_lists_renews_and_stops(daemon: DaemonUnderTest, transport: str, ca: str) -> None:
    name = f"{transport.split()[0]}-{ca}"
    certificate, key = daemon.certs / f"{name}.crt", daemon.certs / f"{name}.key"
    arguments = ("-c", ca, "-I", name, "-f", certificate, "-k", key, "-N", f"CN={name}", "-D", "a.example.org")
    assert original(daemon, transport, "request", *arguments, "-w") == (0, f'New signing request "{name}" added.\n')
    assert_pair(certificate, key)
    first = certificate.read_bytes()
    status, shown = original(daemon, transport, "list", "-i", name)
    assert status == 0
    assert "\tstatus: MONITORING\n" in shown
    assert f"\tsubject: CN={name}\n" in shown
    # Ours shows the same to the letter, and when the certificate is renewed.
    own = daemon.getcert("list", "-i", name).stdout
    assert re.sub(r"\tnext attempt: .*\n", "", own) == shown
    assert original(daemon, transport, "resubmit", "-i", name, "-w") == (0, f'Resubmitting "{name}" to "{ca}".\n')
    assert certificate.read_bytes() != first
    assert original(daemon, transport, "rekey", "-i", name, "-w")[0] == 0
    assert_pair(certificate, key)
    assert original(daemon, transport, "stop-tracking", "-i", name) == (0, f'Request "{name}" removed.\n')
    assert original(daemon, transport, "status", "-i", name)[0] == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_original_client_manages_cas(daemon: DaemonUnderTest, transport: str) -> None:
    name = f"ca-{transport.split()[0]}"
    assert original(daemon, transport, "add-ca", "-c", name, "-e", "/bin/true") == (0, f'New CA "{name}" added.\n')
    status, shown = original(daemon, transport, "list-cas", "-c", name)
    assert status == 0
    assert "\thelper-location: /bin/true\n" in shown
    assert original(daemon, transport, "modify-ca", "-c", name, "-e", "/bin/false")[0] == 0
    assert "/bin/false" in original(daemon, transport, "list-cas", "-c", name)[1]
    assert original(daemon, transport, "refresh-ca", "-c", name)[0] == 0
    assert original(daemon, transport, "remove-ca", "-c", name) == (0, f'CA "{name}" removed.\n')
    assert [line for line in original(daemon, transport, "list-cas")[1].splitlines() if line.startswith("CA ")] == [
        "CA 'SelfSign':",
        "CA 'IPA':",
        "CA 'dogtag-ipa-renew-agent':",
        "CA 'local':",
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_original_client_is_told_what_is_wrong(daemon: DaemonUnderTest, transport: str) -> None:
    status, shown = original(
        daemon, transport, "request", "-c", "local", "-f", daemon.certs / "a", "-k", daemon.certs / "b",
        "--ms-template-spec", "1.2.3",
    )  # fmt: skip
    assert (status, shown) == (1, "Invalid V2 certificate template specifier: 1.2.3\n")
