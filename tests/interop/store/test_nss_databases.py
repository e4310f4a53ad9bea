"""certmonger and this daemon take over each other's requests in NSS databases, back and forth."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from certmonger_under_test import Certmonger
from daemon_under_test import DaemonUnderTest
from nss_database import NssDatabase
from scep_rig import until


@pytest.fixture
def certmonger(tmp_path: Path) -> Iterator[Certmonger]:
    certmonger = Certmonger(tmp_path)
    yield certmonger
    certmonger.stop()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[DaemonUnderTest]:
    daemon = DaemonUnderTest(tmp_path)
    yield daemon
    daemon.close()


@pytest.mark.parametrize(("prefix", "pin"), [("sql:", "secret"), ("dbm:", "")])
def test_each_renews_and_rekeys_what_the_other_enrolled(
    certmonger: Certmonger, ours: DaemonUnderTest, prefix: str, pin: str
) -> None:
    database = NssDatabase(ours.root / "nss", prefix, pin)
    database.directory.mkdir()
    seen: set[str] = set()

    def is_new_and_alone() -> bool:
        return (
            "MONITORING" in certmonger.listed().values() if certmonger.process else "MONITORING" in listed(ours)
        ) and database.pem() not in seen

    def check() -> None:
        until(is_new_and_alone)
        assert database.certificates() == [("web", "u,u,u")]
        assert [kind for kind, _ in database.private_keys()] == ["rsa"]
        seen.add(database.pem())

    certmonger.start()
    places = ("-d", database.location, "-n", "web", *(("-P", pin) if pin else ()))
    added = certmonger.getcert(
        "request", "-I", "web", "-c", "SelfSign", *places, "-N", "CN=web", "-D", "web.example.org"
    )
    assert added.returncode == 0, added.stdout
    until(lambda: certmonger.listed() == {"web": "MONITORING"})
    check()
    for _ in range(2):
        certmonger.stop()
        ours.start()
        assert listed(ours) == "MONITORING"
        for command in ("resubmit", "rekey"):
            assert ours.getcert(command, "-i", "web", "-w").returncode == 0
            check()
        ours.stop()
        certmonger.start()
        assert certmonger.listed() == {"web": "MONITORING"}
        for command in ("resubmit", "rekey"):
            assert certmonger.getcert(command, "-i", "web").returncode == 0
            check()


def listed(daemon: DaemonUnderTest) -> str:
    return daemon.listing("web")["status"]
