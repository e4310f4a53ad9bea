"""Requests whose key and certificate are in NSS databases, through daemon and client."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest, wait_until
from nss_database import NssDatabase, self_signed_pem
from pki_material import ec_key

from certmongerd.installation import helper_directory


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


@pytest.mark.parametrize(
    ("key_type", "prefix", "pin"), [("RSA", "sql:", "a PIN"), ("EC", "sql:", ""), ("RSA", "dbm:", "")]
)
def test_a_certificate_is_enrolled_renewed_and_rekeyed_in_a_database(
    daemon: DaemonUnderTest, key_type: str, prefix: str, pin: str
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


def test_a_request_waits_for_the_pin_and_goes_on_with_it(daemon: DaemonUnderTest) -> None:
    database = make_database(daemon, "pin", pin="secret")
    database.make()
    assert "State NEWLY_ADDED_NEED_KEYINFO_READ_PIN, stuck: yes." in request(daemon, database, "pin")
    assert "needs a PIN and none is known" in daemon.listing("pin")["ca-error"]
    daemon.getcert("start-tracking", "-i", "pin", "-P", "wrong")
    wait_until(lambda: "does not accept the PIN" in daemon.listing("pin").get("ca-error", ""))
    assert states(daemon, "pin") == {"NEWLY_ADDED_NEED_KEYINFO_READ_PIN"}
    daemon.getcert("start-tracking", "-i", "pin", "-P", "secret")
    wait_until(lambda: states(daemon, "pin") == {"MONITORING"})
    assert database.certificates() == [("pin", "u,u,u")]


def test_a_superfluous_pin_and_an_unknown_token_wait_for_somebody(daemon: DaemonUnderTest) -> None:
    database = make_database(daemon, "open")
    database.make()
    assert "State NEWLY_ADDED_NEED_KEYINFO_READ_PIN, stuck: yes." in request(daemon, database, "open", "-P", "x")
    output = request(daemon, database, "token", "-t", "HSM")
    assert "State NEWLY_ADDED_NEED_KEYINFO_READ_TOKEN, stuck: yes." in output
    assert 'There is no token called "HSM"' in daemon.listing("token")["ca-error"]


def test_what_happens_to_a_database_decides_where_its_request_waits(daemon: DaemonUnderTest) -> None:
    """The states are those in which certmonger was seen to wait."""
    database = make_database(daemon, "changed")
    database.make()
    assert "State MONITORING" in request(daemon, database, "changed")
    (daemon.root / "none").write_text("\n")
    (daemon.root / "new").write_text("after\n")
    database.certutil("-W", "-f", str(daemon.root / "none"), "-@", str(daemon.root / "new"))
    daemon.getcert("resubmit", "-i", "changed", "-w")
    assert states(daemon, "changed") == {"NEED_CSR_GEN_PIN"}
    daemon.getcert("rekey", "-i", "changed", "-w")
    assert states(daemon, "changed") == {"NEED_KEY_GEN_PIN"}
    for path in database.directory.iterdir():
        path.unlink()
    daemon.getcert("resubmit", "-i", "changed", "-w")
    assert states(daemon, "changed") == {"NEED_CSR_GEN_TOKEN"}
    database.directory.rmdir()
    daemon.getcert("rekey", "-i", "changed", "-w")
    assert states(daemon, "changed") == {"NEED_KEY_GEN_PERMS"}


def test_a_certificate_that_cannot_be_saved_waits_for_the_pin(daemon: DaemonUnderTest) -> None:
    """The password changes while the CA is at work: its helper changes it."""
    database = make_database(daemon, "late")
    database.make()
    (daemon.root / "no-pin").write_text("\n")
    (daemon.root / "pin").write_text("after\n")
    change = f"certutil -W -d {database.location} -f {daemon.root}/no-pin -@ {daemon.root}/pin >/dev/null"
    daemon.add_helper("changing", f"{change}\nexec {helper_directory()}/local-submit")
    output = request(daemon, database, "late", ca="changing")
    assert "State NEED_CERTSAVE_PIN, stuck: yes." in output, output
    daemon.getcert("start-tracking", "-i", "late", "-P", "after")
    wait_until(lambda: states(daemon, "late") == {"MONITORING"})
    assert replace(database, pin="after").certificates() == [("late", "u,u,u")]


def test_ca_certificates_go_to_databases_with_their_trust(daemon: DaemonUnderTest) -> None:
    for name, pin in (("with-ca", ""), ("with-pin", "secret")):
        database = make_database(daemon, name, pin=pin)
        arguments = ("-a", database.location, *(("-P", pin) if pin else ()))
        assert "State MONITORING" in request(daemon, database, name, *arguments, ca="local")
        assert database.certificates() == [("Local Signing Authority", "CT,C,C"), (name, "u,u,u")]
        database.certutil("-V", "-n", name, "-u", "V")


def test_configured_trust_is_given_and_news_of_the_ca_reach_the_databases(
    make_daemon: Callable[..., DaemonUnderTest],
) -> None:
    daemon = make_daemon("[defaults]\nnss_ca_trust = CT,,\nnss_other_trust = p,,\n")
    daemon.start()
    lists = daemon.root / "roots"
    root, other = (self_signed_pem(ec_key(name), f"CN={name}") for name in ("Root", "Other"))
    lists.write_text(f"Root\n{root}")
    helper = daemon.root / "helper"
    helper.write_text(f'#!/bin/sh\n[ "$CERTMONGER_OPERATION" = FETCH-ROOTS ] || exit 6\ncat {lists}\n')
    helper.chmod(0o755)
    assert daemon.getcert("add-ca", "-c", "ours", "-e", str(helper)).returncode == 0
    database = make_database(daemon, "ca")
    database.make()
    assert daemon.request("web", "-a", database.location, ca="SelfSign").returncode == 0
    daemon.getcert("start-tracking", "-i", "web", "-c", "ours")
    daemon.getcert("refresh-ca", "-c", "ours")
    lists.write_text(f"Root\n{root}Root 2\n{other}")
    daemon.getcert("refresh-ca", "-c", "ours")
    wait_until(lambda: database.certificates() == [("Root", "CT,,"), ("Root 2", "CT,,")])


def test_nothing_is_begun_for_a_request_that_is_removed_while_the_daemon_starts(
    make_daemon: Callable[..., DaemonUnderTest],
) -> None:
    daemon = make_daemon()
    daemon.start()
    database = make_database(daemon, "leaving")
    request(daemon, database, "leaving", "-G", "EC")
    with database.held() as other:
        assert daemon.getcert("rekey", "-i", "leaving").returncode == 0
        daemon.wait_for("leaving", "GENERATING_KEY_PAIR")
        daemon.kill()
        daemon.start()
        begun = len(daemon.log.read_text())
        with ThreadPoolExecutor() as threads:
            removal = threads.submit(daemon.getcert, "stop-tracking", "-i", "leaving")
            wait_until(lambda: "is being removed" in daemon.log.read_text()[begun:] or removal.done(), daemon.log)
            other.execute("ROLLBACK")
            assert removal.result().returncode == 0
    assert daemon.stop() == 0
    assert 'Request "leaving" is in state' not in daemon.log.read_text()[begun:]
    assert database.private_keys() == [("ec", "leaving")]
