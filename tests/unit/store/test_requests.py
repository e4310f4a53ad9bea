"""Requests and their state files."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import store_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import Hook, KeyAlgorithm, Request, StorageType
from certmongerd.core.secret import Secret
from certmongerd.core.states import State
from certmongerd.store.format import Record, parse, render
from certmongerd.store.requests import read_request, write_request

SAMPLES = Path(__file__).parents[2] / "data" / "store" / "requests"
SAMPLE_NAMES = sorted(path.name for path in SAMPLES.iterdir())
STRAY_MEMORY = ("key_pubkey", "key_next_pubkey")

MINIMAL = (
    b"id=m\nkey_storage_type=FILE\nkey_storage_location=/k\ncert_storage_type=FILE\ncert_storage_location=/c\n"
    b"ca_name=local\nstate=MONITORING\n"
)


def load(name: str) -> Request:
    request, complaints = read_request(parse((SAMPLES / name).read_bytes()))
    assert complaints == ()
    return request


def read(data: bytes) -> tuple[Request, tuple[str, ...]]:
    return read_request(parse(data))


def comparable(data: bytes) -> list[str]:
    """The lines of a state file without what certmonger writes by mistake."""
    lines = data.decode().split("\n")
    return [line for line in lines if line != " " and line.partition("=")[0] not in STRAY_MEMORY]


def test_there_are_samples() -> None:
    assert len(SAMPLE_NAMES) == 14


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_a_recorded_file_is_rewritten_as_it_was(name: str) -> None:
    data = (SAMPLES / name).read_bytes()

    assert comparable(render(write_request(load(name)))) == comparable(data)


@pytest.mark.parametrize("name", ["20261123114537", "20261123114542"])
def test_bare_public_keys_equal_those_that_certmonger_gets_right(name: str) -> None:
    recorded = [record for record in parse((SAMPLES / name).read_bytes()) if record.key in STRAY_MEMORY]
    written = [record for record in write_request(load(name)) if record.key in STRAY_MEMORY]

    assert recorded
    assert written == recorded


def test_the_request_with_all_options_is_read() -> None:
    request = load("20261123114546")

    assert request.id == "all options"
    assert request.state is State.CA_WORKING
    assert (request.key.type, request.key.size, request.key.gen_size) == (KeyAlgorithm.RSA, 3072, 3072)
    assert (request.key_next.type, request.key_next.gen_type, request.key_next.size) == (None, KeyAlgorithm.RSA, 0)
    assert request.key.pubkey_info[:4] == bytes.fromhex("308201A2")
    assert request.key.generated_at == datetime(2026, 11, 23, 11, 45, 47, tzinfo=UTC)
    assert request.key_storage.type is StorageType.FILE
    assert request.key_storage.location == "/etc/pki/example/all.key"
    assert request.key_storage.pin == Secret("p,in\\x")
    assert (request.key_storage.owner, request.key_storage.perms) == ("root:root", 0o640)
    assert (request.cert_storage.owner, request.cert_storage.perms) == ("root", 0o604)
    assert request.template.subject == 'CN=all.example.org,O="Example, Inc"'
    assert request.template.hostname == ("a.example.org", "b,c.example.org")
    assert request.template.email == ("x@example.org", "a\\b@example.org")
    assert request.template.principal == ("host/all.example.org@EXAMPLE.ORG",)
    assert request.template.ip_address == ("192.0.2.1", "2001:db8::1")
    assert (request.template.ku, request.template.eku) == ("101", ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"))
    assert (request.template.is_ca, request.template.ca_path_length) == (False, -1)
    assert (request.template.profile, request.template.issuer) == ("server", "Issuer X")
    assert request.template.certificate_template == "1.2.3.4:5:6"
    assert request.template.challenge_password == Secret("chal lenge")
    assert request.csr.startswith("-----BEGIN CERTIFICATE REQUEST-----\nMIIFOTCC")
    assert request.csr.endswith("\n-----END CERTIFICATE REQUEST-----\n")
    assert request.scep.tx == "53422732237861918227338710934131957603396033546293990570981114935172891370033"
    assert request.scep.minicert[:2] == b"\x30\x82"
    assert (request.autorenew, request.monitor, request.ca_name) == (False, True, "example-wait")
    assert request.submitted == datetime(2026, 11, 23, 11, 45, 47, tzinfo=UTC)
    assert request.ca_cookie == "order-17\nhttp://ca.example.org/order/17"
    assert request.pre_save == Hook(command="/bin/true pre", uid="0")
    assert request.post_save == Hook(command="/bin/true post", uid="0")
    assert request.ca_certs.root_files == ("/etc/pki/example/ca1.pem", "/etc/pki/example/ca2.pem")
    assert request.ca_certs.root_dbs == ("/etc/pki/example/nss",)
    assert request.last_need_enroll_check is None
    assert request.unknown == ()


def test_the_scep_request_is_read() -> None:
    request = load("20261123114535-1")

    assert request.state is State.CA_REJECTED
    assert request.ca_error == "Transaction either is not permitted or is not supported by server."
    assert request.key.requested_count == 2
    assert request.scep.nonce == request.scep.last_nonce
    assert len(request.scep.nonce) == 16
    assert request.scep.req.startswith("-----BEGIN PKCS7-----\nMIIKTgYJ")
    assert request.scep.gic.startswith("-----BEGIN PKCS7-----\nMIIHmwYJ")
    assert request.scep.req_next == ""


def test_the_rekeyed_nss_request_is_read() -> None:
    request = load("20261123114542")

    assert request.key_next_marker == "8jktYX8O"
    assert request.key_next.requested_count == 1
    assert request.key_next.generated_at == datetime(2026, 11, 23, 11, 45, 43, tzinfo=UTC)
    assert request.key.pubkey_info != request.key_next.pubkey_info
    assert (request.key_storage.type, request.cert_storage.type) == (StorageType.NSSDB, StorageType.NSSDB)
    assert (request.key_storage.token, request.key_storage.nickname) == ("NSS Certificate DB", "Rekeyed Cert")
    assert request.cert_facts.serial == "04"
    assert request.cert_facts.issuer == "CN=nssrk.example.org"
    assert request.cert_facts.not_after == datetime(2027, 11, 23, 11, 45, 42, tzinfo=UTC)
    assert request.cert.endswith("-----END CERTIFICATE-----\n")
    assert not request.cert.endswith("\n\n")


def test_chain_and_roots_are_read_with_nicknames() -> None:
    request = load("20261123113025-1")

    assert [item.nickname for item in request.cert_chain] == ["ch1"]
    assert [item.nickname for item in request.cert_roots] == ["ro,ot1"]
    assert request.cert_chain[0].pem == request.cert_roots[0].pem
    assert request.cert_chain[0].pem.startswith("-----BEGIN CERTIFICATE-----\nMIIBJTCB")


def test_address_names_of_a_certificate_are_decoded() -> None:
    assert load("20261123114535").cert_facts.ip_address == ("192.0.2.10",)


def test_a_pin_file_is_read() -> None:
    storage = load("20261123114536-3").key_storage

    assert storage.pin is None
    assert storage.pin_file == "/etc/pki/example/pin"


def test_an_inline_pin_is_read() -> None:
    assert load("20261123114536-2").key_storage.pin is not None


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(store_values.requests)
def test_every_request_survives_being_written_and_read(request: Request) -> None:
    again, _ = read_request(parse(render(write_request(request))))

    assert again == request


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(store_values.requests)
def test_a_second_writing_changes_nothing(request: Request) -> None:
    data = render(write_request(request))

    assert render(write_request(read_request(parse(data))[0])) == data


@settings(max_examples=200, deadline=None)
@given(st.binary(), st.sampled_from(SAMPLE_NAMES), st.integers(0, 12000))
def test_damage_raises_nothing_but_the_declared_error(junk: bytes, name: str, position: int) -> None:
    data = (SAMPLES / name).read_bytes()
    try:
        request, _ = read(data[:position] + junk + data[position:])
    except InvalidValue:
        return
    assert request.id


def test_a_missing_state_starts_over_instead_of_making_a_key() -> None:
    request, complaints = read(MINIMAL.replace(b"state=MONITORING\n", b""))

    assert request.state is State.NEWLY_ADDED
    assert len(complaints) == 1


def test_an_unknown_state_waits_for_a_person_and_is_reported() -> None:
    request, complaints = read(MINIMAL.replace(b"MONITORING", b"NEED_COFFEE"))

    assert request.state is State.NEED_GUIDANCE
    assert request.is_stuck
    assert complaints == ("the value of state is not the name of a state",)


@pytest.mark.parametrize("spelling", [b"monitoring", b"Monitoring", b" MONITORING "])
def test_the_case_of_a_state_does_not_matter(spelling: bytes) -> None:
    assert read(MINIMAL.replace(b"MONITORING", spelling))[0].state is State.MONITORING


def test_a_request_without_switches_is_monitored_and_renewed() -> None:
    request, complaints = read(MINIMAL)

    assert request.monitor
    assert request.autorenew
    assert complaints == ()


def test_unusable_switches_are_reported_and_leave_protection_on() -> None:
    request, complaints = read(MINIMAL + b"autorenew=yes\nmonitor=\n")

    assert request.monitor
    assert request.autorenew
    assert complaints == ("the value of autorenew is not a number", "the value of monitor is not a number")


@pytest.mark.parametrize(("text", "expected"), [(b"0", False), (b"1", True), (b"-1", True), (b"7", True)])
def test_any_number_but_zero_is_true(text: bytes, expected: bool) -> None:
    assert read(MINIMAL + b"autorenew=" + text + b"\n")[0].autorenew is expected


def test_defaults_of_a_minimal_file() -> None:
    request, _ = read(MINIMAL)

    assert (request.key.gen_type, request.key.gen_size) == (KeyAlgorithm.RSA, 2048)
    assert (request.template.ca_path_length, request.cert_facts.ca_path_length) == (-1, -1)
    assert request.template.subject == ""


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        (b"", 2048),
        (b"key_gen_size=0\n", 2048),
        (b"key_gen_size=x\n", 2048),
        (b"key_gen_type=EC\nkey_gen_size=0\n", 256),
        (b"key_gen_type=ECDSA\nkey_gen_size=384\n", 384),
        (b"key_gen_type=UNSPECIFIED\nkey_gen_size=4096\n", 4096),
    ],
)
def test_a_generation_size_is_always_known(lines: bytes, size: int) -> None:
    assert read(MINIMAL + lines)[0].key.gen_size == size


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (b"key_storage_location=/k\n", StorageType.FILE),
        (b"key_storage_location=/d\nkey_nickname=n\n", StorageType.NSSDB),
        (b"key_storage_type=ETCHED_IN_STONE\nkey_storage_location=/k\n", StorageType.FILE),
        (b"key_storage_type=none\nkey_storage_location=/k\n", StorageType.NONE),
        (b"", StorageType.NONE),
    ],
)
def test_a_key_location_without_type_is_not_forgotten(lines: bytes, kind: StorageType) -> None:
    assert read(b"id=a\n" + lines)[0].key_storage.type is kind


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"/a//b/./c/", "/a/b/c"),
        (b"/a/../b", "/a/../b"),
        (b"sql:/a//db/", "sql:/a/db"),
        (b"/", "/"),
        (b"rel//x", "rel//x"),
        (b"/a:/b//c", "/a:/b/c"),
    ],
)
def test_locations_are_normalised(line: bytes, expected: str) -> None:
    assert read(b"id=a\ncert_storage_location=" + line + b"\n")[0].cert_storage.location == expected


def test_old_spellings_are_understood() -> None:
    request, _ = read(
        MINIMAL + b"cert_issued=20260101000000\ncert_expiration=20270101000000\nlast_expiration_check=20260601000000\n"
        b"ca_profile=p\nchallenge_password=c\n"
    )

    june = datetime(2026, 6, 1, tzinfo=UTC)
    assert request.cert_facts.not_before == datetime(2026, 1, 1, tzinfo=UTC)
    assert request.cert_facts.not_after == datetime(2027, 1, 1, tzinfo=UTC)
    assert (request.last_need_enroll_check, request.last_need_notify_check) == (june, june)
    assert request.template.profile == "p"
    assert request.template.challenge_password == Secret("c")


def test_a_present_spelling_wins_over_an_old_one() -> None:
    assert read(b"id=a\ntemplate_profile=new\nca_profile=old\n")[0].template.profile == "new"


def test_old_state_names_are_understood() -> None:
    assert read(b"id=a\nstate=NEED_TO_NOTIFY\n")[0].state is State.NEED_TO_NOTIFY_VALIDITY


def test_addresses_in_a_template_may_be_base64() -> None:
    request, _ = read(b"id=a\ntemplate_ipaddress=MTkyLjAuMi4x,192.0.2.2,MjAwMTpkYjg6OjE=\n")

    assert request.template.ip_address == ("192.0.2.1", "192.0.2.2", "2001:db8::1")


def test_usages_that_a_client_left_as_names_are_understood() -> None:
    data = b"id=a\ntemplate_eku=id-kp-serverAuth,ID-KP.17,1.2.3,something\n"
    request, _ = read_request(parse(data))
    assert request.template.eku == ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.17", "1.2.3", "something")


def test_unknown_records_and_stray_lines_are_written_back_at_the_end() -> None:
    request, complaints = read(b"colour=blue\n and\n green\nid=a\nwhat is this\nca_aka=for a CA\nstate=MONITORING\n")

    assert complaints == ()
    assert request.unknown == (("colour", "blue\nand\ngreen"), ("", "what is this"), ("ca_aka", "for a CA"))
    assert render(write_request(request)).endswith(b"\ncolour=blue\n and\n green\nwhat is this\nca_aka=for a CA\n")


def test_an_indented_line_is_reported() -> None:
    request, complaints = read(MINIMAL.replace(b"ca_name", b" ca_name"))

    assert request.ca_name == ""
    assert complaints == ("an indented line with ca_name was read as part of cert_storage_location",)


def test_complaints_do_not_repeat_values() -> None:
    _, complaints = read(MINIMAL + b"key_perms=hush-hush\nkey_pubkey_info=hush-hush\nsubmitted=hush-hush\n")

    assert len(complaints) == 3
    assert "hush" not in "".join(complaints)


@pytest.mark.parametrize("data", [b"", b"state=MONITORING\n", b"id=\nstate=MONITORING\n", b"\x7fELF\x02\x01junk\n"])
def test_a_file_without_id_is_not_a_request(data: bytes) -> None:
    with pytest.raises(InvalidValue):
        read(data)


def test_of_a_repeated_key_the_last_one_counts() -> None:
    assert read(b"id=a\nca_name=x\nCA_NAME=y\n")[0].ca_name == "y"


def test_counters_of_a_pending_rekey_are_always_written() -> None:
    request, _ = read(MINIMAL + b"key_next_marker=abc\n")

    assert Record("key_next_requested_count", "0") in write_request(request)


def test_nothing_of_a_public_key_that_cannot_be_understood_is_written() -> None:
    request, _ = read(MINIMAL + b"key_pubkey=DEADBEEF\nkey_pubkey_info=300102\n")

    assert "key_pubkey" not in [record.key for record in write_request(request)]
