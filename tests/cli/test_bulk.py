"""How many calls list and list-cas make, as the bus sees it, with both daemons."""

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from cli.rig import ORIGINAL, OWN, Daemon, Rig, installed, running

from certmongerd.api import BUS_NAME, ROOT_INTERFACE, ROOT_PATH
from certmongerd.busapi.blocking import BlockingConnection, BusError

LIMIT_S = 60.0
MARK = "mark_of_this_test"


class Calls:
    """What a monitor sees of the calls to the daemon."""

    def __init__(self, daemon: Daemon, rig: Rig) -> None:
        self.daemon = daemon
        self.rig = rig
        self._address = rig.environment["DBUS_SESSION_BUS_ADDRESS"]
        self.log = rig.state / "calls"

    def _mark(self) -> None:
        with BlockingConnection.connect(self._address) as bus:
            bus.hello()
            with pytest.raises(BusError):
                bus.call(BUS_NAME, ROOT_PATH, ROOT_INTERFACE, MARK)

    def _marked(self, count: int) -> list[list[str]]:
        """The recorded calls, as soon as *count* marks are there."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            lines = [line.split("\t") for line in self.log.read_text().splitlines()]
            if sum(line[-1] == MARK for line in lines) >= count:
                return lines
            assert time.monotonic() < deadline, lines
            time.sleep(0.02)

    def of(self, *arguments: str) -> list[str]:
        """Members that one run of getcert calls, the bus's own left out."""
        with self.log.open("wb") as log:
            monitor = subprocess.Popen(
                [
                    "dbus-monitor",
                    "--address",
                    self._address,
                    "--profile",
                    f"type='method_call',destination='{BUS_NAME}'",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + LIMIT_S
            while MARK not in self.log.read_text():  # until the monitor is there
                assert time.monotonic() < deadline
                self._mark()
            before = sum(line[-1] == MARK for line in self._marked(1))
            done = self.rig.run([installed("getcert"), *arguments])
            assert done.returncode == 0, done.stdout
            self._mark()
            lines = self._marked(before + 1)
        finally:
            monitor.terminate()
            monitor.wait()
        return [line[-1] for line in lines if line[0] == "mc" and line[-1] != MARK]


@pytest.fixture(scope="module", params=[ORIGINAL, OWN], ids=lambda daemon: daemon.name)
def calls(request: pytest.FixtureRequest) -> Iterator[Calls]:
    daemon: Daemon = request.param
    with running(daemon) as rig:
        for name in ("a", "b"):
            files = ("-f", f"{rig.directory}/{name}.crt", "-k", f"{rig.directory}/{name}.key")
            pin = ("-P", "secret-pin") if name == "a" else ()
            done = rig.run([installed("getcert"), "request", "-s", "-c", "SelfSign", "-I", name, *files, *pin, "-w"])
            assert done.returncode == 0, done.stdout
        yield Calls(daemon, rig)


@pytest.mark.parametrize("arguments", [("list",), ("list", "--table"), ("list-cas",), ("list-cas", "-v")], ids=" ".join)
def test_everything_comes_in_one_call_where_the_daemon_can_do_that(calls: Calls, arguments: tuple[str, ...]) -> None:
    made = calls.of(*arguments, "-s")
    bulk = "list_properties" if arguments[0] == "list" else "list_objects"
    if calls.daemon is OWN:
        assert made == [bulk]
    else:
        assert made[0] == bulk
        if arguments[0] == "list":
            assert made[1] == "get_requests"
            assert made.count("GetAll") == 3  # two requests and their CA
        else:
            assert made[1] == "get_known_cas"
            assert (made.count("GetAll"), made.count("get_type")) == (4, 4)


@pytest.mark.parametrize("chosen", [(), ("-i", "a")], ids=["all", "one"])
def test_a_pin_is_mentioned_and_not_told(calls: Calls, chosen: tuple[str, ...]) -> None:
    shown = calls.rig.run([installed("getcert"), "list", "-s", *chosen]).stdout
    assert f"location='{calls.rig.directory}/a.key',pin set\n" in shown
    document = calls.rig.run([installed("getcert"), "list", "-s", *chosen, "--output", "json"]).stdout
    assert json.loads(document)["requests"][0]["key"]["pin_set"] is True
    assert "secret-pin" not in shown + document
