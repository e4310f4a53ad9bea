"""Keys and certificates in PEM files: PINs, owners and modes, keys that were there already, and their replacement."""

import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from daemon_under_test import DaemonUnderTest, assert_pair, openssl, wait_until

MakeDaemon = Callable[..., DaemonUnderTest]
NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.xfail(os.geteuid() != 0, reason="only root gives files away", strict=True)
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
PKCS8, TRADITIONAL = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat, pin: str = "") -> bytes:
    protection = serialization.BestAvailableEncryption(pin.encode()) if pin else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, protection)


def states(daemon: DaemonUnderTest, name: str) -> str:
    return daemon.listing(name).get("status", "")


@pytest.mark.parametrize("pin", ["", "secret"])
@pytest.mark.parametrize(
    ("key", "form", "label"),
    [
        (RSA_KEY, TRADITIONAL, "RSA PRIVATE KEY"),
        (RSA_KEY, PKCS8, "PRIVATE KEY"),
        (EC_KEY, TRADITIONAL, "EC PRIVATE KEY"),
        (EC_KEY, PKCS8, "PRIVATE KEY"),
    ],
)
def test_a_key_that_is_there_is_used_as_it_is(
    daemon: DaemonUnderTest,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: serialization.PrivateFormat,
    label: str,
    pin: str,
) -> None:
    name = f"{type(key).__name__}-{label.replace(' ', '-')}-{pin or 'plain'}"
    path = daemon.certs / f"{name}.key"
    content = b"# mine\n" + pem(key, form, pin)
    assert label.encode() in content
    path.write_bytes(content)
    path.chmod(0o640)
    before = path.stat()
    assert daemon.request(name, *(["-P", pin] if pin else []), ca="SelfSign").returncode == 0
    assert daemon.getcert("resubmit", "-i", name, "-w").returncode == 0
    after = path.stat()
    assert path.read_bytes() == content
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    public = openssl("x509", "-in", daemon.certs / f"{name}.crt", "-noout", "-pubkey")
    assert public == openssl("pkey", "-in", path, "-pubout", "-passin", f"pass:{pin}")


@pytest.mark.parametrize("given", [[], ["-P", "wrong"]])
def test_a_key_without_its_pin_waits_and_goes_on_once_it_is_given(daemon: DaemonUnderTest, given: list[str]) -> None:
    name = f"pin{len(given)}"
    path = daemon.certs / f"{name}.key"
    path.write_bytes(pem(EC_KEY, PKCS8, "secret"))
    assert daemon.request(name, *given, ca="SelfSign").returncode == 4
    shown = daemon.listing(name)
    assert (shown["status"], shown["stuck"]) == ("NEWLY_ADDED_NEED_KEYINFO_READ_PIN", "yes")
    assert "PIN" in shown["ca-error"]
    assert "wrong" not in shown["ca-error"]
    assert path.read_bytes()
    assert daemon.getcert("start-tracking", "-i", name, "-P", "secret").returncode == 0
    daemon.wait_for(name)
    assert (daemon.certs / f"{name}.crt").exists()


def test_a_pin_file_that_comes_late_is_read_at_the_next_resubmission(daemon: DaemonUnderTest) -> None:
    pin = daemon.root / "late.pin"
    assert daemon.request("late", "-p", str(pin), "-G", "EC", "-g", "256", ca="SelfSign").returncode == 4
    shown = daemon.listing("late")
    assert shown["status"] == "NEED_KEY_GEN_PIN"
    assert str(pin) in shown["ca-error"]
    assert not (daemon.certs / "late.key").exists(), "no key without its protection"
    pin.write_text("secret\n")
    assert daemon.getcert("resubmit", "-i", "late", "-w").returncode == 0
    assert (daemon.certs / "late.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    openssl("pkey", "-in", daemon.certs / "late.key", "-passin", "pass:secret", "-noout")


def test_a_pin_that_became_wrong_leaves_the_certificate_whole_until_it_is_right_again(daemon: DaemonUnderTest) -> None:
    pin = daemon.root / "changing.pin"
    pin.write_text("secret")
    assert daemon.request("changing", "-p", str(pin), "-G", "EC", "-g", "256", ca="SelfSign").returncode == 0
    certificate, key = daemon.certs / "changing.crt", daemon.certs / "changing.key"
    whole = certificate.read_bytes(), key.read_bytes()
    pin.write_text("other")
    assert daemon.getcert("resubmit", "-i", "changing", "-w").returncode == 4
    assert states(daemon, "changing") == "NEED_CSR_GEN_PIN"
    assert (certificate.read_bytes(), key.read_bytes()) == whole
    assert daemon.getcert("resubmit", "-i", "changing", "-P", "secret", "-w").returncode == 0
    assert certificate.read_bytes() != whole[0]
    assert key.read_bytes() == whole[1]


def test_a_pin_for_a_key_that_is_not_encrypted_is_a_mistake(daemon: DaemonUnderTest) -> None:
    (daemon.certs / "bare.key").write_bytes(pem(EC_KEY, PKCS8))
    assert daemon.request("bare", "-P", "secret", ca="SelfSign").returncode == 4
    assert "not encrypted" in daemon.listing("bare")["ca-error"]
    assert daemon.getcert("resubmit", "-i", "bare", "-P", "", "-w").returncode == 0


@as_root
def test_owner_and_mode_are_those_that_were_asked_for_and_are_set_at_each_saving(daemon: DaemonUnderTest) -> None:
    group = grp.getgrgid(NOBODY.pw_gid).gr_name
    wanted = ["-o", "nobody", "-m", "0440", "-O", f"root:{group}", "-M", "644"]
    assert daemon.request("owned", *wanted, "-G", "EC", "-g", "256", ca="SelfSign").returncode == 0
    key, certificate = daemon.certs / "owned.key", daemon.certs / "owned.crt"

    def ownership(path: Path) -> tuple[int, int, int]:
        status = path.stat()
        return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)

    expected = [(NOBODY.pw_uid, NOBODY.pw_gid, 0o440), (0, NOBODY.pw_gid, 0o644)]
    assert [ownership(key), ownership(certificate)] == expected
    for path in (key, certificate):
        os.chown(path, 0, 0)
        path.chmod(0o600)
    assert daemon.getcert("rekey", "-i", "owned", "-w").returncode == 0
    assert [ownership(key), ownership(certificate)] == expected


def test_the_key_in_use_stays_until_the_new_certificate_is_there(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    assert daemon.request("it", "-G", "EC", "-g", "256", ca="SelfSign").returncode == 0
    key, certificate = daemon.certs / "it.key", daemon.certs / "it.crt"
    old = key.read_bytes(), certificate.read_bytes()
    daemon.add_helper("shut", "echo closed; exit 3")
    assert daemon.getcert("rekey", "-i", "it", "-c", "shut", "-w").returncode == 3
    waiting = [path for path in daemon.certs.iterdir() if path.name.startswith("it.key.")]
    assert len(waiting) == 1
    assert stat.S_IMODE(waiting[0].stat().st_mode) == 0o600
    assert (key.read_bytes(), certificate.read_bytes()) == old
    assert_pair(certificate, key)
    daemon.stop()
    daemon.start()
    assert (key.read_bytes(), certificate.read_bytes()) == old
    new_key = waiting[0].read_bytes()
    assert daemon.getcert("resubmit", "-i", "it", "-c", "SelfSign", "-w").returncode == 0
    assert key.read_bytes() == new_key
    assert_pair(certificate, key)
    assert sorted(path.name for path in daemon.certs.iterdir()) == ["it.crt", "it.key"]


def test_readers_never_see_half_a_certificate_or_an_empty_key(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    assert daemon.request("it", "-G", "EC", "-g", "256", ca="SelfSign").returncode == 0
    key, certificate = daemon.certs / "it.key", daemon.certs / "it.crt"
    first = certificate.read_bytes()
    assert daemon.getcert("rekey", "-i", "it").returncode == 0

    def is_new() -> bool:
        content = certificate.read_bytes()
        assert content.startswith(b"-----BEGIN CERTIFICATE-----")
        assert content.endswith(b"-----END CERTIFICATE-----\n")
        assert key.read_bytes().endswith(b"-----END PRIVATE KEY-----\n")
        return content != first

    wait_until(is_new)
    daemon.wait_for("it")
    assert_pair(certificate, key)
