"""CAs and their state files."""

from dataclasses import replace
from pathlib import Path

import pytest
import store_values
from hypothesis import HealthCheck, given, settings

from certmongerd.core.errors import InvalidValue
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaType
from certmongerd.store.cas import read_ca, write_ca
from certmongerd.store.format import Record, parse, render

SAMPLES = Path(__file__).parents[2] / "data" / "store" / "cas"
SAMPLE_NAMES = sorted(path.name for path in SAMPLES.iterdir())


def load(name: str) -> Ca:
    ca, complaints = read_ca(parse((SAMPLES / name).read_bytes()))
    assert complaints == ()
    return ca


def test_there_are_samples() -> None:
    assert len(SAMPLE_NAMES) == 9


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_a_recorded_file_is_rewritten_byte_for_byte(name: str) -> None:
    assert render(write_ca(load(name))) == (SAMPLES / name).read_bytes()


def test_the_self_signing_ca_is_read() -> None:
    ca = load("20261123114531")

    assert (ca.id, ca.type, ca.internal_serial) == ("SelfSign", CaType.INTERNAL_SELF, "05")
    assert ca.aka == "SelfSign (certmonger 0.79.17)"
    assert ca.required_renewal_attributes == ("template-subject",)
    assert not ca.is_default


def test_the_scep_ca_is_read() -> None:
    ca = load("20261123114531-4")

    assert ca.type is CaType.EXTERNAL
    assert ca.external_helper.startswith("/usr/lib/certmonger/scep-submit -u http://127.0.0.1:24117/scep       -I ")
    assert ca.capabilities == ("Renewal", "SHA-1", "SHA-256", "AES", "DES3", "SCEPStandard", "POSTPKIOperation")
    assert ca.encryption_cert.startswith("-----BEGIN CERTIFICATE-----\nMIIDMDCC")
    assert ca.encryption_issuer_cert == ca.encryption_cert
    assert ca.encryption_cert_pool == ""


def test_the_example_ca_is_read() -> None:
    ca = load("20261123114531-5")

    assert [item.nickname for item in ca.root_certs] == ["Example Root, G1"]
    assert [item.nickname for item in ca.other_root_certs] == ["Other Root"]
    assert [item.nickname for item in ca.other_certs] == ["Intermediate 1"]
    assert ca.profiles == ("server", "user")
    assert ca.default_profile == "server"
    assert ca.required_enroll_attributes == ("template-subject", "template-hostname")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(store_values.cas)
def test_every_ca_survives_being_written_and_read(ca: Ca) -> None:
    assert read_ca(parse(render(write_ca(ca))))[0] == ca


@pytest.mark.parametrize(("text", "expected"), [(b"0", False), (b"1", True), (b"-1", True), (b"2", True)])
def test_the_default_mark_is_read_in_every_spelling(text: bytes, expected: bool) -> None:
    assert read_ca(parse(b"id=a\nca_is_default=" + text + b"\n"))[0].is_default is expected


def test_a_default_ca_survives() -> None:
    records = write_ca(read_ca(parse(b"id=a\nca_is_default=-1\n"))[0])

    assert Record("ca_is_default", "2") in records
    assert read_ca(records)[0].is_default


def test_a_self_signing_ca_without_serial_starts_at_the_first() -> None:
    assert read_ca(parse(b"id=a\nca_type=INTERNAL:SELF\n"))[0].internal_serial == "01"


def test_an_external_ca_has_no_serial() -> None:
    assert "ca_internal_serial" not in [record.key for record in write_ca(read_ca(parse(b"id=a\n"))[0])]


def test_keys_of_requests_are_kept_but_mean_nothing() -> None:
    ca, _ = read_ca(parse(b"id=a\nstate=MONITORING\n"))

    assert ca.unknown == (("state", "MONITORING"),)


def test_a_file_without_id_is_not_a_ca() -> None:
    with pytest.raises(InvalidValue, match="no id"):
        read_ca(parse(b"ca_type=EXTERNAL\n"))


def test_trouble_with_the_ca_is_not_stored() -> None:
    ca = load("20261123114531")

    assert write_ca(ca) == write_ca(replace(ca, error="no route"))


def test_unsaved_certificates_are_remembered_in_a_key_of_our_own() -> None:
    ca = Ca(id=CaName("a"), certs_to_save=True)
    assert b"\nca_certs_to_save=1\n" in render(write_ca(ca))
    assert read_ca(parse(render(write_ca(ca))))[0] == ca
    assert b"ca_certs_to_save" not in render(write_ca(Ca(id=CaName("a"))))
