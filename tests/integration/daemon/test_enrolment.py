"""Certificates from the embedded CAs, through daemon, helper and client."""

import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from daemon_under_test import DaemonUnderTest, assert_pair, openssl


@pytest.mark.parametrize("ca", ["local", "SelfSign"])
@pytest.mark.parametrize(("key_type", "bits"), [("RSA", 2048), ("RSA", 3072), ("EC", 256), ("EC", 384), ("EC", 521)])
def test_every_key_type_is_enrolled(daemon: DaemonUnderTest, ca: str, key_type: str, bits: int) -> None:
    name = f"{ca}-{key_type}-{bits}"
    done = daemon.request(name, "-G", key_type, "-g", str(bits), ca=ca)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "State MONITORING, stuck: no."
    certificate, key = daemon.certs / f"{name}.crt", daemon.certs / f"{name}.key"
    assert_pair(certificate, key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    assert public.key_size == bits
    assert daemon.listing(name)["CA"] == ca


def test_a_local_certificate_verifies_against_the_ca_file_that_was_asked_for(daemon: DaemonUnderTest) -> None:
    ca_file = daemon.certs / "verify-ca.pem"
    done = daemon.request("verify", "-F", str(ca_file))
    assert done.returncode == 0, done.stdout
    assert "OK" in openssl("verify", "-CAfile", ca_file, daemon.certs / "verify.crt")


@pytest.mark.parametrize("ca", ["local", "SelfSign"])
def test_all_requested_extensions_are_in_the_certificate(daemon: DaemonUnderTest, ca: str) -> None:
    name = f"full-{ca}"
    done = daemon.request(
        name, "-D", "a.example.org", "-D", "b.example.org", "-E", "a@example.org", "-A", "192.0.2.1",
        "-A", "2001:db8::1", "-K", "HTTP/a.example.org@EXAMPLE.ORG", "-u", "digitalSignature", "-u", "keyEncipherment",
        "-U", "id-kp-serverAuth", "-U", "1.3.6.1.5.5.7.3.2", "--for-ca", "--ca-path-length", "2",
        ca=ca,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    extensions = x509.load_pem_x509_certificate((daemon.certs / f"{name}.crt").read_bytes()).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example.org", "b.example.org"]
    assert names.get_values_for_type(x509.RFC822Name) == ["a@example.org"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "2001:db8::1"]
    other_names = {n.type_id.dotted_string for n in names.get_values_for_type(x509.OtherName)}
    assert other_names == {"1.3.6.1.5.2.2", "1.3.6.1.4.1.311.20.2.3"}
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.key_encipherment
    assert not usage.key_agreement
    purposes = {o.dotted_string for o in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value}
    assert purposes == {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}
    constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca
    assert constraints.path_length == 2


def test_resubmit_keeps_the_key_and_rekey_changes_it(daemon: DaemonUnderTest) -> None:
    assert daemon.request("again", "-G", "EC", "-g", "256").returncode == 0
    certificate, key = daemon.certs / "again.crt", daemon.certs / "again.key"
    first_certificate, first_key = certificate.read_bytes(), key.read_bytes()
    assert daemon.getcert("resubmit", "-i", "again", "-w").returncode == 0
    assert certificate.read_bytes() != first_certificate
    assert key.read_bytes() == first_key
    rekeyed = daemon.getcert("rekey", "-i", "again", "-w")
    assert rekeyed.returncode == 0, rekeyed.stdout
    assert key.read_bytes() != first_key
    assert_pair(certificate, key)
    leftovers = [p.name for p in daemon.certs.glob("again*")] + [p.name for p in daemon.certs.glob(".*")]
    assert sorted(leftovers) == ["again.crt", "again.key"]


def test_hooks_run_around_saving(daemon: DaemonUnderTest) -> None:
    trace = daemon.root / "trace"
    hook = daemon.root / "hook.sh"
    hook.write_text(f'#!/bin/sh\necho "$1 $(test -e {daemon.certs}/hooked.crt && echo there)" >> {trace}\n')
    hook.chmod(0o755)
    done = daemon.request("hooked", "-B", f"{hook} before", "-C", f"{hook} after")
    assert done.returncode == 0, done.stdout
    assert trace.read_text().splitlines() == ["before ", "after there"]


def test_requests_with_hooks_take_turns_and_others_do_not_wait(daemon: DaemonUnderTest) -> None:
    trace, gate = daemon.root / "turns", daemon.root / "gate"
    hook = daemon.root / "turn.sh"
    hook.write_text(f'#!/bin/sh\necho "$1" >> {trace}\nwhile ! test -e {gate}; do sleep 0.05; done\n')
    hook.chmod(0o755)
    names = ["turn1", "turn2", "turn3"]
    for name in names:
        files = ["-f", str(daemon.certs / f"{name}.crt"), "-k", str(daemon.certs / f"{name}.key")]
        hooks = ["-B", f"{hook} {name}", "-C", f"{hook} {name}"]
        assert daemon.getcert("request", "-I", name, "-c", "SelfSign", *files, *hooks).returncode == 0
    # All of them stand before the gate, or wait for the one that does.
    assert daemon.request("free", ca="SelfSign").returncode == 0
    gate.touch()
    for name in names:
        deadline = time.monotonic() + 20
        while daemon.listing(name)["status"] != "MONITORING" and time.monotonic() < deadline:
            time.sleep(0.05)
    turns = trace.read_text().split()
    assert sorted(turns) == sorted(names * 2)
    assert turns[0::2] == turns[1::2]


def test_tracking_stops_and_leaves_the_files(daemon: DaemonUnderTest) -> None:
    assert daemon.request("leave", ca="SelfSign").returncode == 0
    stopped = daemon.getcert("stop-tracking", "-i", "leave")
    assert stopped.stdout == 'Request "leave" removed.\n'
    assert (daemon.certs / "leave.crt").exists()
    assert daemon.getcert("status", "-i", "leave").returncode == 1


def test_anonymous_requests_of_one_second_get_different_nicknames(daemon: DaemonUnderTest) -> None:
    commands = []
    for number in range(6):
        files = ("-f", str(daemon.certs / f"anon{number}.crt"), "-k", str(daemon.certs / f"anon{number}.key"))
        commands.append(("request", "-c", "SelfSign", "-G", "EC", "-g", "256", *files))
    with ThreadPoolExecutor(len(commands)) as pool:
        outputs = [done.stdout for done in pool.map(lambda command: daemon.getcert(*command), commands)]
    assert all(output.startswith('New signing request "') for output in outputs), outputs
    assert len(set(outputs)) == len(commands)
