"""certmonger.conf: what it sets, what is said about its mistakes, and when it counts."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from daemon_under_test import BIN, DaemonUnderTest, assert_pair, openssl, wait_until

MakeDaemon = Callable[..., DaemonUnderTest]


def public_key(daemon: DaemonUnderTest, name: str) -> tuple[type, int]:
    key = x509.load_pem_x509_certificate((daemon.certs / f"{name}.crt").read_bytes()).public_key()
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    kind = rsa.RSAPublicKey if isinstance(key, rsa.RSAPublicKey) else ec.EllipticCurvePublicKey
    return kind, key.key_size


def check(daemon: DaemonUnderTest) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "certmongerd"), "--check-config"],
        env=daemon.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_type_and_size_of_keys_are_configured(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[defaults]\nkey_type = EC\nec_key_size = 384\nrsa_key_size = 3072\n")
    daemon.start()
    for name, options, expected in (
        ("none", [], (ec.EllipticCurvePublicKey, 384)),
        ("rsa", ["-G", "RSA"], (rsa.RSAPublicKey, 3072)),
        ("ec", ["-G", "EC"], (ec.EllipticCurvePublicKey, 384)),
        ("sized", ["-G", "EC", "-g", "256"], (ec.EllipticCurvePublicKey, 256)),
    ):
        assert daemon.request(name, *options, ca="SelfSign").returncode == 0
        assert public_key(daemon, name) == expected


def test_digest_and_cipher_are_configured(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make_daemon("[defaults]\ndigest = SHA-384\nsymmetric_cipher = aes256\n")
    daemon.start()
    pin = tmp_path / "pin"
    pin.write_text("secret\n")
    assert daemon.request("it", "-p", str(pin), ca="SelfSign").returncode == 0
    assert "sha384With" in openssl("x509", "-in", daemon.certs / "it.crt", "-noout", "-text")
    structure = openssl("asn1parse", "-in", daemon.certs / "it.key")
    assert "aes-256-cbc" in structure
    assert "hmacWithSHA256" in structure


@pytest.mark.parametrize("ca", ["SelfSign", "local"])
def test_self_signed_certificates_have_unique_identifiers_where_configured(make_daemon: MakeDaemon, ca: str) -> None:
    daemon = make_daemon("[selfsign]\npopulate_unique_id = yes\n")
    daemon.start()
    ca_file = daemon.certs / "ca.pem"
    assert daemon.request("it", "-F", str(ca_file), ca=ca).returncode == 0
    self_signed = daemon.certs / "it.crt" if ca == "SelfSign" else ca_file
    text = openssl("x509", "-in", self_signed, "-noout", "-text")
    assert "Issuer Unique ID" in text
    assert "Subject Unique ID" in text
    assert daemon.listing("it")["status"] == "MONITORING"


def test_without_being_configured_there_are_no_unique_identifiers(daemon: DaemonUnderTest) -> None:
    assert daemon.request("plain", ca="SelfSign").returncode == 0
    assert "Unique ID" not in openssl("x509", "-in", daemon.certs / "plain.crt", "-noout", "-text")


@pytest.mark.parametrize(
    ("limit", "is_new"),
    [
        ("max_key_lifetime = 1s", True),
        ("max_key_lifetime = 10y", False),
        ("max_key_use_count = 1", True),
        ("max_key_use_count = 9", False),
    ],
)
def test_the_age_of_a_key_counts_from_its_generation_and_so_do_its_uses(
    make_daemon: MakeDaemon, limit: str, is_new: bool
) -> None:
    daemon = make_daemon(f"[defaults]\n{limit}\nkey_type = EC\nenroll_ttls = 5s\n[selfsign]\nvalidity_period = 8s\n")
    daemon.start()
    assert daemon.request("it", ca="SelfSign").returncode == 0
    key, certificate = daemon.certs / "it.key", daemon.certs / "it.crt"
    first_key, first = key.read_bytes(), certificate.read_bytes()
    wait_until(lambda: certificate.read_bytes() != first and daemon.listing("it")["status"] == "MONITORING")
    daemon.stop()
    assert (key.read_bytes() != first_key) is is_new
    assert_pair(certificate, key)


def test_thresholds_that_were_changed_count_at_once_for_what_is_watched(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[renewal]\nspread = no\n[defaults]\nenroll_ttls = 1d\n[selfsign]\nvalidity_period = 100d\n")
    daemon.start()
    assert daemon.request("it", ca="SelfSign").returncode == 0
    assert daemon.shown("why", "it")["next attempt"] == ends_before(daemon, 1)
    daemon.configure("[renewal]\nspread = no\n[defaults]\nenroll_ttls = 30d\n[selfsign]\nvalidity_period = 100d\n")
    daemon.reload()
    assert daemon.shown("why", "it")["next attempt"] == ends_before(daemon, 30)


def ends_before(daemon: DaemonUnderTest, days: int) -> str:
    """When less than *days* of the certificate's life remain, as `getcert why` writes it."""
    end = x509.load_pem_x509_certificate((daemon.certs / "it.crt").read_bytes()).not_valid_after_utc
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(end.timestamp() - days * 86400 + 1))


def test_mistakes_are_reported_with_their_lines_and_stop_nothing(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(
        "[defaults]\ndigest = sha999\ncolour = red\n[nonsense]\n\x00\n[selfsign]\nvalidity_period = 7d\n"
    )
    daemon.start()
    assert daemon.request("it", ca="SelfSign").returncode == 0
    path = daemon.root / "config" / "certmonger.conf"
    found = [
        f'{path}:2: digest: "sha999" is not one of',
        f"{path}:3: colour is not a key that is known in [defaults]",
        f"{path}:4: [nonsense] is not a section that is known",
    ]
    log = daemon.log.read_text()
    done = check(daemon)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert len(lines) == len(found)
    for expected, line in zip(found, lines, strict=True):
        assert line.startswith(expected)
        assert expected in log


def test_a_configuration_without_mistakes_is_said_to_have_none(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[defaults]\ndefault_ca = local\n")
    done = check(daemon)
    assert (done.returncode, done.stdout) == (0, f"{daemon.root}/config/certmonger.conf: no mistakes were found.\n")
    assert not list((daemon.root / "cas").iterdir())


def test_a_default_ca_that_is_not_there_is_found(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[defaults]\ndefault_ca = locla\n")
    done = check(daemon)
    assert done.returncode == 1
    assert done.stdout.endswith('default_ca: there is no CA "locla"\n')


def test_a_configuration_that_became_unreadable_changes_nothing(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[defaults]\nkey_type = EC\n")
    daemon.start()
    path = daemon.root / "config" / "certmonger.conf"
    path.unlink()
    path.mkdir()
    daemon.reload()
    assert "the settings stay as they are" in daemon.log.read_text()
    assert daemon.request("it", ca="SelfSign").returncode == 0
    assert public_key(daemon, "it") == (ec.EllipticCurvePublicKey, 256)


def test_how_many_helpers_run_at_a_time_is_taken_over_while_the_daemon_runs(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[helpers]\nmax_simultaneous = 1\n")
    daemon.start()
    began = daemon.root / "began"
    began.mkdir()
    daemon.add_helper("slow", f'touch "{began}/$$"; while [ ! -e "{daemon.root}/go" ]; do sleep 0.1; done; exit 2')
    for name in ("a", "b", "c"):
        places = ("-f", daemon.certs / f"{name}.crt", "-k", daemon.certs / f"{name}.key")
        assert daemon.getcert("request", "-I", name, "-c", "slow", "-G", "EC", *places).returncode == 0
    for name in ("a", "b", "c"):
        daemon.wait_for(name, "SUBMITTING")
    wait_until(lambda: len(list(began.iterdir())) == 1)
    daemon.configure("[helpers]\nmax_simultaneous = 2\n")
    daemon.reload()
    wait_until(lambda: len(list(began.iterdir())) == 2)
    (daemon.root / "go").touch()
    for name in ("a", "b", "c"):
        daemon.wait_for(name, "CA_REJECTED")
    assert len(list(began.iterdir())) == 3
