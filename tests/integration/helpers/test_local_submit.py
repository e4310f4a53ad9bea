"""The local CA in its directory, alone, several at once, and taking turns with certmonger's own helper."""

import fcntl
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from local_ca import CSR, KEY, ORIGINAL, OURS, LocalCa

from certmonger_helpers.authority import Authority
from certmonger_helpers.credentials import decode_credentials
from certmonger_helpers.protocol import Unreachable
from certmongerd.config.durations import Duration
from certmongerd.pki.issue import parse_request

LIFE: Final = Duration(seconds=1000)


@pytest.fixture
def ca(tmp_path: Path) -> LocalCa:
    return LocalCa.below(tmp_path)


def authority(ca: LocalCa) -> Authority:
    return Authority(directory=ca.directory, validity=LIFE, ca_validity=LIFE)


def test_an_empty_directory_becomes_a_ca(ca: LocalCa) -> None:
    certificate = ca.issue()
    ((nickname, root),) = ca.roots()
    certificate.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert nickname == "Local Signing Authority"
    assert sorted(path.name for path in ca.directory.iterdir()) == ["creds", "lock", "serial"]
    assert {path.stat().st_mode & 0o777 for path in ca.directory.iterdir()} == {0o600}
    first, second = root.subject
    digits = f"{root.serial_number:032x}"
    assert first.value == "Local Signing Authority"
    assert second.value == "-".join(digits[at : at + 8] for at in (0, 8, 16, 24))
    assert certificate.serial_number == root.serial_number + 1
    assert int(ca.serial, 16) == certificate.serial_number + 1
    assert ca.serial.endswith("\n")


def test_a_certificate_is_for_the_request(ca: LocalCa) -> None:
    certificate = ca.issue()
    assert certificate.public_key() == KEY.public_key()
    assert certificate.subject.rfc4514_string() == "CN=web.example.org"


def test_both_programs_issue_the_same_kind_of_certificate(ca: LocalCa) -> None:
    def shape(certificate: x509.Certificate) -> object:
        return (
            [(entry.oid, entry.critical, entry.value) for entry in certificate.extensions],
            certificate.issuer.public_bytes(),
            certificate.subject.public_bytes(),
            certificate.signature_algorithm_oid,
            certificate.not_valid_after_utc,
        )

    assert shape(ca.issue()) == shape(ca.issue((ORIGINAL,)))


@pytest.mark.parametrize(("first", "second"), [(OURS, (ORIGINAL,)), ((ORIGINAL,), OURS)])
def test_either_program_goes_on_with_the_others_ca(
    ca: LocalCa, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    one = ca.issue(first)
    creds = (ca.directory / "creds").read_bytes()
    two = ca.issue(second)
    assert two.serial_number == one.serial_number + 1
    assert two.issuer.public_bytes() == one.issuer.public_bytes()
    assert ca.issue(first).serial_number == two.serial_number + 1
    assert (ca.directory / "creds").read_bytes() == creds
    assert ca.roots(first) == ca.roots(second)


def test_the_original_renews_our_ca(ca: LocalCa) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for age_s in (5000, 4000):
        authority(ca).certificates(now - timedelta(seconds=age_s))
    third, first, second = authority(ca).certificates(now - timedelta(seconds=900))
    (_, fourth), *older = ca.roots((ORIGINAL,))
    assert [certificate for _, certificate in older] == [first, second, third]
    assert fourth.serial_number == third.serial_number + 1
    assert [certificate for _, certificate in ca.roots()] == [fourth, first, second, third]
    ca.issue().verify_directly_issued_by(fourth)


def test_we_renew_the_originals_ca(ca: LocalCa) -> None:
    ((_, first),) = ca.roots((ORIGINAL,))
    life = first.not_valid_after_utc - first.not_valid_before_utc
    second, *_ = authority(ca).certificates(first.not_valid_before_utc + life / 2)
    third, *older = authority(ca).certificates(first.not_valid_before_utc + life)
    assert older == [first, second]
    assert [root.serial_number - first.serial_number for root in (second, third)] == [1, 2]
    names = ["Local Signing Authority", "Local Signing Authority 2", "Local Signing Authority 3"]
    assert ca.roots() == list(zip(names, (third, first, second), strict=True))
    _, *older = [certificate for _, certificate in ca.roots((ORIGINAL,))]  # it renews what is not valid yet
    assert older == [first, second, third]


def test_half_a_life_brings_a_new_key_with_the_same_name(ca: LocalCa) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    request = parse_request(CSR)
    before = authority(ca).issue(request, start)
    (old,) = authority(ca).certificates(start + timedelta(seconds=499))
    after = authority(ca).issue(request, start + timedelta(seconds=500))
    new, kept = authority(ca).certificates(start + timedelta(seconds=501))
    assert kept == old
    assert new.subject.public_bytes() == old.subject.public_bytes()
    assert new.public_key() != old.public_key()
    assert (before.serial_number, new.serial_number, after.serial_number) == tuple(
        old.serial_number + number for number in (1, 2, 3)
    )
    before.verify_directly_issued_by(old)
    after.verify_directly_issued_by(new)


def test_no_certificate_outlives_the_ca(ca: LocalCa) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    request = parse_request(CSR)
    authority(ca).certificates(start)
    late = authority(ca).issue(request, start + timedelta(seconds=400))
    assert late.not_valid_before_utc == start + timedelta(seconds=400)
    assert late.not_valid_after_utc == start + timedelta(seconds=1000)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("[local]\nvalidity_period = 10d\n[selfsign]\nvalidity_period = 20d\n", 10),
        ("[selfsign]\nvalidity_period = 20d\n", 20),
        ("", 365),
        ("[local]\nvalidity_period = nonsense\n", 365),
    ],
)
def test_the_configuration_says_how_long(ca: LocalCa, text: str, days: int) -> None:
    (ca.config / "certmonger.conf").write_text(text)
    ((_, root),) = ca.roots()
    assert abs((root.not_valid_after_utc - root.not_valid_before_utc).days - days) <= 1


def test_programs_at_the_same_time_make_one_ca_and_different_numbers(ca: LocalCa) -> None:
    with ThreadPoolExecutor(6) as pool:
        issued = list(pool.map(ca.issue, [OURS, (ORIGINAL,)] * 3))
    assert len({certificate.serial_number for certificate in issued}) == 6
    assert len({certificate.issuer.public_bytes() for certificate in issued}) == 1


def test_the_lock_is_waited_for(ca: LocalCa) -> None:
    ca.issue()
    with (ca.directory / "lock").open("r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [*OURS, "-d", str(ca.directory)],
            env={"PATH": "/bin", "CERTMONGER_CSR": CSR},
            stdout=subprocess.PIPE,
            text=True,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.5)
    output, _ = waiting.communicate(timeout=60)
    assert output.startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("content", ["", "nonsense\n", "00\n", "F" * 50, "-1\n", "12 zz\n"])
def test_a_damaged_serial_number_stops_the_ca(ca: LocalCa, content: str) -> None:
    ca.issue()
    (ca.directory / "serial").write_text(content)
    done = ca.run(OPERATION="SUBMIT", CSR=CSR)
    assert done.returncode == 4
    assert "serial" in done.stdout
    assert "CERTIFICATE" not in done.stdout
    assert done.stdout.count("\n") == 1
    assert ca.serial == content


def test_a_lost_serial_number_is_not_begun_anew(ca: LocalCa) -> None:
    issued = ca.issue()
    (ca.directory / "serial").unlink()
    again = ca.issue()
    assert again.serial_number.bit_length() > 64
    assert again.serial_number != issued.serial_number


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], lambda data: b"x" + data])
def test_damaged_credentials_stop_the_ca_and_stay(ca: LocalCa, damage: Callable[[bytes], bytes]) -> None:
    ca.issue()
    path = ca.directory / "creds"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    done = ca.run(OPERATION="SUBMIT", CSR=CSR)
    assert done.returncode == 4
    assert str(path) in done.stdout
    assert path.read_bytes() == damaged


def test_the_serial_number_is_taken_before_the_certificate_exists(ca: LocalCa) -> None:
    ca.issue()
    taken = int(ca.serial, 16)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*OURS, "-d", str(ca.directory)],
        check=False,
        env={"PATH": "/bin", "CERTMONGER_CSR": CSR},
        stdout=writer,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    os.close(writer)
    assert done.returncode == 3
    assert int(ca.serial, 16) == taken + 1


def test_an_unusable_lock_is_reported(ca: LocalCa) -> None:
    (ca.directory / "lock").mkdir()
    done = ca.run(OPERATION="FETCH-ROOTS")
    assert done.returncode == 3
    assert done.stdout == f"Lock file {ca.directory}/lock cannot be opened: Is a directory\n"


def test_a_missing_directory_is_reported(ca: LocalCa, tmp_path: Path) -> None:
    done = ca.run("-d", str(tmp_path / "absent"), OPERATION="SUBMIT", CSR=CSR)
    assert done.returncode == 3
    assert "No such file or directory" in done.stdout


def test_a_directory_that_takes_no_files_is_reported() -> None:
    full = Path("/proc/self")  # nobody can create files here, root neither
    with pytest.raises(Unreachable):
        Authority(directory=full, validity=LIFE, ca_validity=LIFE).certificates(datetime.now(UTC))


@pytest.mark.parametrize(
    ("argv", "csr", "status", "word"),
    [((), "", 4, "no signing request"), ((), "nonsense", 4, "no PEM"), (("/nonexistent",), CSR, 4, "/nonexistent")],
)
def test_a_request_that_cannot_be_read_is_a_setting_to_change(
    ca: LocalCa, argv: tuple[str, ...], csr: str, status: int, word: str
) -> None:
    done = ca.run(*argv, OPERATION="SUBMIT", CSR=csr)
    assert done.returncode == status
    assert word in done.stdout


def test_a_request_without_proof_is_rejected(ca: LocalCa) -> None:
    request = x509.load_pem_x509_csr(CSR.encode())
    der = request.public_bytes(Encoding.DER)
    subject = der.index(b"web.example.org")
    forged = der[:subject] + b"www" + der[subject + 3 :]
    pem = x509.load_der_x509_csr(forged).public_bytes(Encoding.PEM).decode()
    done = ca.run(OPERATION="SUBMIT", CSR=pem)
    assert done.returncode == 2
    assert done.stdout.count("\n") == 1


def test_a_file_operand_and_polling_work(ca: LocalCa, tmp_path: Path) -> None:
    (tmp_path / "csr.pem").write_text(CSR)
    done = ca.run("-v", str(tmp_path / "csr.pem"), OPERATION="POLL")
    assert done.returncode == 0
    assert done.stdout.startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize(
    ("operation", "status", "output"),
    [
        ("IDENTIFY", 0, "Local Signing Authority (certmongerd "),
        ("GET-NEW-REQUEST-REQUIREMENTS", 0, ""),
        ("GET-RENEW-REQUEST-REQUIREMENTS", 6, ""),
        ("GET-SUPPORTED-TEMPLATES", 6, ""),
        ("GET-DEFAULT-TEMPLATE", 6, ""),
        ("FETCH-SCEP-CA-CAPS", 6, ""),
        ("FETCH-SCEP-CA-CERTS", 6, ""),
    ],
)
def test_other_operations_are_answered_as_by_the_original(
    ca: LocalCa, operation: str, status: int, output: str
) -> None:
    done = ca.run(OPERATION=operation)
    original = ca.run(program=(ORIGINAL,), OPERATION=operation)
    assert (done.returncode, original.returncode) == (status, status)
    assert done.stdout.startswith(output)
    assert bool(done.stdout) == bool(original.stdout)
    assert not (ca.directory / "creds").exists()


def test_openssl_reads_the_credentials(ca: LocalCa) -> None:
    ca.issue()
    listing = subprocess.run(
        ["openssl", "pkcs12", "-in", str(ca.directory / "creds"), "-passin", "pass:", "-nodes"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert listing.count("friendlyName: Local Signing Authority") == 2
    assert listing.count("-----BEGIN PRIVATE KEY-----") == 1
    credentials = decode_credentials((ca.directory / "creds").read_bytes())
    assert len(credentials.certificates) == 1
