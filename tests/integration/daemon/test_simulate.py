"""`getcert simulate` with a real daemon, which goes on serving meanwhile."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from daemon_under_test import DaemonUnderTest


@pytest.fixture(scope="module", autouse=True)
def certificate(daemon: DaemonUnderTest) -> None:
    assert daemon.request("web").returncode == 0


def test_the_renewals_of_three_years_are_foretold(daemon: DaemonUnderTest) -> None:
    shown = daemon.getcert("simulate", "--until", "3y", "-u")
    assert shown.returncode == 0, shown.stdout
    *renewals, _ca, submissions, _hour, _day, counts, end = shown.stdout.splitlines()
    assert len(renewals) == 3
    first = daemon.listing("web")["next attempt"]
    assert renewals[0].startswith(f"{first}: web: renewed by local")
    assert (submissions, counts) == ("\tsubmissions: 3", "Requests: 1, renewals: 3, expired: 0.")
    assert end.startswith("Simulated until 20")


def test_assumptions_count(daemon: DaemonUnderTest) -> None:
    shown = daemon.getcert("simulate", "--until", "500d", "--ca-down", "local=300d..400d", "--output", "json")
    forecast = json.loads(shown.stdout)
    (renewal,) = forecast["renewals"]
    (lapse,) = forecast["expired"]
    assert (renewal["id"], renewal["ca"], lapse["until"]) == ("web", "local", renewal["at"])
    assert renewal["submissions"] == forecast["cas"][0]["submissions"] > 10
    assert (forecast["version"], forecast["complete"]) == (1, True)
    quick = json.loads(daemon.getcert("simulate", "--until", "2y", "--lifetime", "30d", "--output", "json").stdout)
    assert len(quick["renewals"]) > 10
    slow = json.loads(daemon.getcert("simulate", "--ca-delay", "3d", "--output", "json").stdout)
    assert slow["renewals"][0]["submissions"] == 2


def test_nothing_that_is_simulated_happens(daemon: DaemonUnderTest) -> None:
    before = (daemon.certs / "web.crt").read_bytes(), daemon.getcert("list").stdout
    assert daemon.getcert("simulate", "--until", "10y").returncode == 0
    assert ((daemon.certs / "web.crt").read_bytes(), daemon.getcert("list").stdout) == before


def test_the_daemon_serves_others_while_it_simulates(daemon: DaemonUnderTest) -> None:
    with ThreadPoolExecutor() as threads:
        # As much as ten years of a thousand yearly certificates.
        long = threads.submit(daemon.getcert, "simulate", "--until", "10y", "--lifetime", "12h", timeout_s=300)
        served = 0
        while not long.done():
            assert daemon.getcert("list", "-i", "web").returncode == 0
            served += 1
        shown = long.result()
    assert served > 1
    assert shown.returncode == 0, shown.stdout
    assert shown.stdout.count(": renewed by local") > 10_000


def test_certificates_that_were_issued_together_are_renewed_apart(daemon: DaemonUnderTest) -> None:
    for name in ("one", "two", "three"):
        assert daemon.request(name).returncode == 0
    shown = json.loads(daemon.getcert("list", "--output", "json").stdout)["requests"]
    planned = {entry["id"]: entry["next_attempt"] for entry in shown}
    ends = {entry["id"]: datetime.fromisoformat(entry["certificate"]["not_after"]) for entry in shown}
    left = {name: ends[name] - datetime.fromisoformat(at) for name, at in planned.items()}
    assert all(timedelta(days=24.5) <= remaining <= timedelta(days=28) for remaining in left.values())
    # They were issued within seconds of each other. Which times are theirs depends on the name of the host.
    assert len({remaining // timedelta(minutes=1) for remaining in left.values()}) > 1
