"""SCEP with keys in NSS databases: messages are signed and replies opened there (vector E19)."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from fakes.scep_authority import ReplyPlan, ca_with_ra
from fakes.scep_cms import EnvelopePlan
from fakes.scep_responder import Scenario
from nss_database import NssDatabase
from scep_rig import ScepRig, until

AUTHORITY = ca_with_ra()


def enrol(rig: ScepRig, name: str, scenario: Scenario, *options: str, pin: str = "") -> NssDatabase:
    """A SCEP CA called *name*, and a request to it with key and certificate in a database."""
    rig.add_ca(name, scenario)
    database = NssDatabase(rig.daemon.certs / name, pin=pin)
    database.directory.mkdir()
    places = ("-d", database.location, "-n", name, *(("-P", pin) if pin else ()))
    rig.daemon.getcert("request", "-I", name, "-c", name, *places, "-N", f"CN={name}", "-w", *options)
    return database


def certificate(database: NssDatabase, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(database.pem(name).encode())


def assert_monitored(rig: ScepRig, database: NssDatabase, name: str) -> None:
    shown = rig.daemon.listing(name)
    assert shown["status"] == "MONITORING", shown
    assert database.certificates() == [(name, "u,u,u")]
    assert [nickname for _, nickname in database.private_keys()] == [name]


@pytest.mark.parametrize(
    ("name", "transport"), [("E19", "v15"), ("E19-sha1", "oaep-sha1"), ("E19-sha256", "oaep-sha256")]
)
def test_a_reply_to_a_key_in_a_database_is_opened_and_stored_there(rig: ScepRig, name: str, transport: str) -> None:
    plan = ReplyPlan(envelope=replace(EnvelopePlan(), transport=transport))
    database = enrol(rig, name, Scenario(authority=AUTHORITY, plans=[plan]))
    assert_monitored(rig, database, name)


def test_renewal_and_rekey_are_signed_in_a_database_with_a_password(rig: ScepRig) -> None:
    scenario = Scenario(authority=AUTHORITY)
    database = enrol(rig, "E19-again", scenario, pin="secret")
    assert_monitored(rig, database, "E19-again")
    for command in ("resubmit", "rekey"):
        before = certificate(database, "E19-again")
        rig.again(command, "E19-again")
        assert_monitored(rig, database, "E19-again")
        after = certificate(database, "E19-again")
        assert after.serial_number != before.serial_number
        assert (after.public_key() == before.public_key()) == (command == "resubmit")


def test_a_pin_that_got_lost_is_asked_for(rig: ScepRig, tmp_path: Path) -> None:
    database = enrol(rig, "E19-pin", Scenario(authority=AUTHORITY), pin="secret")
    assert_monitored(rig, database, "E19-pin")
    rig.daemon.getcert("start-tracking", "-i", "E19-pin", "-P", "wrong")
    rig.daemon.getcert("resubmit", "-i", "E19-pin", "-w")
    assert rig.daemon.listing("E19-pin")["status"] == "NEED_CSR_GEN_PIN"
    rig.daemon.getcert("start-tracking", "-i", "E19-pin", "-P", "secret")
    until(lambda: rig.daemon.listing("E19-pin")["status"] == "MONITORING")


def test_an_envelope_for_somebody_else_is_told(rig: ScepRig) -> None:
    plan = ReplyPlan(envelope=replace(EnvelopePlan(), fault="padding"))
    database = enrol(rig, "E19-padding", Scenario(authority=AUTHORITY, plans=[plan]))
    shown = rig.daemon.listing("E19-padding")
    assert shown["status"] == "NEED_GUIDANCE"
    assert "decrypt" in shown["ca-error"]
    assert database.certificates() == []
