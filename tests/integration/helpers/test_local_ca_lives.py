"""How the local CA is made and renewed: key, lives, published certificates; and what its certificates leave out."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from local_ca import CSR, ORIGINAL, LocalCa

from certmonger_helpers.authority import Authority
from certmongerd.config.durations import Duration
from certmongerd.core.model import KeyAlgorithm
from certmongerd.pki.issue import parse_request

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def ca(tmp_path: Path) -> LocalCa:
    return LocalCa.below(tmp_path)


def long_lived(ca: LocalCa, key_type: KeyAlgorithm = KeyAlgorithm.EC, bits: int = 256) -> Authority:
    return Authority(
        directory=ca.directory,
        validity=Duration(seconds=90 * 86400),
        ca_validity=Duration(seconds=1000 * 86400),
        key_type=key_type,
        key_bits=bits,
    )


def test_without_settings_the_ca_is_what_certmongers_is(ca: LocalCa) -> None:
    ((_, root),) = ca.roots()
    key = root.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    assert root.not_valid_after_utc == root.not_valid_before_utc.replace(year=root.not_valid_before_utc.year + 1)


@pytest.mark.parametrize(
    ("argv", "settings", "curve"),
    [
        (("--ca-key-type", "EC"), "", "secp256r1"),
        (("--ca-key-type=ec", "--ca-key-size=384"), "", "secp384r1"),
        ((), "[local]\nkey_type = EC\nec_key_size = 521\n", "secp521r1"),
        (("--ca-key-size", "256"), "[local]\nkey_type = EC\nec_key_size = 521\n", "secp256r1"),
    ],
)
def test_key_type_and_size_come_from_options_or_settings(
    ca: LocalCa, argv: tuple[str, ...], settings: str, curve: str
) -> None:
    (ca.config / "certmonger.conf").write_text(settings)
    done = ca.run(*argv, OPERATION="SUBMIT", CSR=CSR)
    issued = x509.load_pem_x509_certificate(done.stdout.encode())
    ((_, root),) = ca.roots()
    key = root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == curve
    issued.verify_directly_issued_by(root)


def test_a_larger_rsa_key(ca: LocalCa) -> None:
    (ca.config / "certmonger.conf").write_text("[local]\nrsa_key_size = 3072\n")
    ((_, root),) = ca.roots()
    key = root.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072


def test_certmongers_helper_goes_on_with_an_ec_ca(ca: LocalCa) -> None:
    assert ca.run("--ca-key-type", "EC", OPERATION="FETCH-ROOTS").returncode == 0
    ((_, root),) = ca.roots((ORIGINAL,))
    ca.issue((ORIGINAL,)).verify_directly_issued_by(root)


@pytest.mark.parametrize(
    ("argv", "settings"),
    [
        (("--ca-validity", "1000d", "--validity", "30d"), ""),
        ((), "[local]\nca_validity_period = 1000d\nvalidity_period = 30d\n"),
        (("--validity", "30d"), "[local]\nca_validity_period = 1000d\nvalidity_period = 7d\n"),
    ],
)
def test_the_ca_can_live_longer_than_what_it_issues(ca: LocalCa, argv: tuple[str, ...], settings: str) -> None:
    (ca.config / "certmonger.conf").write_text(settings)
    done = ca.run(*argv, OPERATION="SUBMIT", CSR=CSR)
    issued = x509.load_pem_x509_certificate(done.stdout.encode())
    ((_, root),) = ca.roots()
    assert issued.not_valid_after_utc - issued.not_valid_before_utc == 30 * DAY
    assert root.not_valid_after_utc - root.not_valid_before_utc == 1000 * DAY


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (("--validity", "soon"), "--validity"),
        (("--validity", "0"), "--validity"),
        (("--ca-validity", "-1d"), "--ca-validity"),
        (("--ca-key-type", "DSA"), "--ca-key-type"),
        (("--ca-key-size", "512"), "--ca-key-size"),
        (("--ca-key-size", "many"), "--ca-key-size"),
        (("--ca-key-type", "EC", "--ca-key-size", "2048"), "--ca-key-size"),
    ],
)
def test_an_option_that_cannot_be_followed_makes_no_ca(ca: LocalCa, argv: tuple[str, ...], word: str) -> None:
    done = ca.run(*argv, OPERATION="SUBMIT", CSR=CSR)
    assert done.returncode == 4
    assert word in done.stdout.splitlines()[0]
    assert not list(ca.directory.iterdir())


def test_old_and_new_root_are_published_long_before_the_old_one_ends(ca: LocalCa) -> None:
    request = parse_request(CSR)
    authority = long_lived(ca)
    early = authority.issue(request, START)
    (old,) = authority.certificates(START + 499 * DAY)
    assert authority.certificates(START + 500 * DAY)[1:] == (old,)
    late = authority.issue(request, START + 501 * DAY)
    new, kept = authority.certificates(START + 502 * DAY)
    assert kept == old
    assert old.not_valid_after_utc - (START + 500 * DAY) == 500 * DAY
    early.verify_directly_issued_by(old)
    late.verify_directly_issued_by(new)


def test_new_settings_apply_to_the_next_key(ca: LocalCa) -> None:
    (old,) = long_lived(ca).certificates(START)
    rsa_from_now = long_lived(ca, KeyAlgorithm.RSA, 2048)
    assert rsa_from_now.certificates(START + 499 * DAY) == (old,)
    new, _ = rsa_from_now.certificates(START + 500 * DAY)
    assert isinstance(new.public_key(), rsa.RSAPublicKey)


def test_openssl_verifies_certificates_of_both_keys_with_the_published_roots(ca: LocalCa, tmp_path: Path) -> None:
    request = parse_request(CSR)
    now = datetime.now(UTC).replace(microsecond=0)
    early = long_lived(ca).issue(request, now - 500 * DAY + timedelta(hours=1))
    issued = [long_lived(ca).issue(request, now - 499 * DAY), long_lived(ca).issue(request, now)]
    assert early.issuer == issued[0].issuer
    bundle = tmp_path / "roots.pem"
    bundle.write_text(ca.run(OPERATION="FETCH-ROOTS").stdout)
    for number, certificate in enumerate((early, *issued)):
        leaf = tmp_path / f"{number}.pem"
        leaf.write_bytes(certificate.public_bytes(Encoding.PEM))
        when = str(int(certificate.not_valid_before_utc.timestamp()) + 1)
        verify = ["openssl", "verify", "-attime", when, "-CAfile", str(bundle), str(leaf)]
        done = subprocess.run(verify, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_certificates_name_no_revocation_service(ca: LocalCa) -> None:
    issued = ca.issue()
    ((_, root),) = ca.roots()
    present = {entry.oid.dotted_string for certificate in (issued, root) for entry in certificate.extensions}
    assert not present & {"2.5.29.31", "2.5.29.46", "1.3.6.1.5.5.7.1.1"}  # cRLDistributionPoints, freshestCRL, AIA
