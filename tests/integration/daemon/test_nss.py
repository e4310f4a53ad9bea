"""Requests whose key and certificate are in NSS databases, through daemon and client."""

from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest
from nss_database import NssDatabase


def make_database(daemon: DaemonUnderTest, name: str, prefix: str = "sql:", pin: str = "") -> NssDatabase:
    """A directory for a database that is not made yet."""
    directory = daemon.certs / name
    directory.mkdir()
    return NssDatabase(directory, prefix, pin)


def request(daemon: DaemonUnderTest, database: NssDatabase, name: str, *arguments: str, ca: str = "SelfSign") -> str:
    """`getcert request -w` for key and certificate under the nickname *name*; its output."""
    places = ("-d", database.location, "-n", name)
    done = daemon.getcert("request", "-I", name, "-c", ca, *places, "-N", "CN=web.example.org", "-w", "-v", *arguments)
    return done.stdout + done.stderr


def states(daemon: DaemonUnderTest, *names: str) -> set[str]:
    return {daemon.listing(name)["status"] for name in names}


@pytest.mark.parametrize(("prefix", "pin"), [("sql:", ""), ("dbm:", ""), ("sql:", "a PIN")])
@pytest.mark.parametrize("key_type", ["RSA", "EC"])
def test_a_certificate_is_enrolled_renewed_and_rekeyed_in_a_database(
    daemon: DaemonUnderTest, prefix: str, pin: str, key_type: str
) -> None:
    name = f"{prefix[:3]}-{key_type}-{len(pin)}"
    database = make_database(daemon, name, prefix, pin)
    output = request(daemon, database, name, "-G", key_type, *(("-P", pin) if pin else ()))
    assert output.splitlines()[-1] == "State MONITORING, stuck: no.", output
    assert database.certificates() == [(name, "u,u,u")]
    assert database.private_keys() == [(key_type.lower(), name)]
    place = f"type=NSSDB,location='{database.location}',nickname='{name}',token='NSS Certificate DB'"
    assert daemon.listing(name)["key pair storage"].startswith(place)
    assert daemon.listing(name)["certificate"] == place
    for command in ("resubmit", "rekey"):
        before = database.pem(name)
        done = daemon.getcert(command, "-i", name, "-w", "-v")
        assert done.stdout.splitlines()[-1] == "State MONITORING, stuck: no.", done.stdout
        assert database.pem(name) != before
        assert database.certificates() == [(name, "u,u,u")]
        assert database.private_keys() == [(key_type.lower(), name)]


def test_requests_of_one_subject_share_a_database(daemon: DaemonUnderTest) -> None:
    database = make_database(daemon, "shared")
    names = ("one", "two")
    for name in names:
        assert "State MONITORING" in request(daemon, database, name)
    for name in names:
        for command in ("resubmit", "rekey"):
            assert daemon.getcert(command, "-i", name, "-w").returncode == 0
    assert states(daemon, *names) == {"MONITORING"}
    assert database.certificates() == [("one", "u,u,u"), ("two", "u,u,u")]
    assert database.private_keys() == [("rsa", "one"), ("rsa", "two")]


def test_a_pair_that_is_there_is_tracked_and_renewed_with_its_key(daemon: DaemonUnderTest, tmp_path: Path) -> None:
    database = make_database(daemon, "adopted")
    database.make()
    database.certutil("-S", "-n", "old", "-s", "CN=old.example.org", "-x", "-t", ",,", "-g", "2048")
    key = database.certutil("-K")
    done = daemon.getcert(
        "start-tracking", "-I", "old", "-c", "SelfSign", "-d", database.location, "-n", "old", "-w", "-v"
    )
    assert "State MONITORING" in done.stdout, done.stdout
    assert daemon.listing("old")["subject"] == "CN=old.example.org"
    before = database.pem("old")
    assert daemon.getcert("resubmit", "-i", "old", "-w").returncode == 0
    assert database.pem("old") != before
    assert database.certutil("-K") == key
