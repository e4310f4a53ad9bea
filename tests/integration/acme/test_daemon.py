"""The daemon with CAs that `getcert add-acme-ca` makes, and a real pebble."""

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from acme_server import AcmeServer
from daemon_under_test import DaemonUnderTest, assert_pair, openssl
from scep_rig import until


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonUnderTest]:
    under_test = DaemonUnderTest(tmp_path)
    under_test.start()
    yield under_test
    under_test.close()


def add_ca(daemon: DaemonUnderTest, server: AcmeServer, *options: str) -> None:
    root = daemon.root / "acme-root.pem"
    root.write_bytes(server.root())
    common = ("-u", server.url, "-R", str(server.ca_file), "--roots", str(root), "--agree-tos")
    added = daemon.getcert("add-acme-ca", "-c", "acme", *common, *options)
    assert added.returncode == 0, added.stdout + added.stderr


def test_a_certificate_is_enrolled_renewed_and_rekeyed(daemon: DaemonUnderTest, pebble: AcmeServer) -> None:
    add_ca(daemon, pebble, "--http-listen", f"127.0.0.1:{pebble.http_port}", "--contact", "admin@example.org")
    roots, chain = daemon.certs / "roots.pem", daemon.certs / "chain.pem"
    certificate, key = daemon.certs / "web.crt", daemon.certs / "web.key"
    wanted = ("-D", "web.example.org", "-F", str(roots), "--chain-file", str(chain))
    done = daemon.request("web", *wanted, ca="acme")
    assert "State MONITORING" in done.stdout, daemon.listing("web")
    assert_pair(certificate, key)
    openssl("verify", "-CAfile", roots, "-untrusted", chain, certificate)
    serials = {openssl("x509", "-in", certificate, "-noout", "-serial")}
    for command in ("resubmit", "rekey"):
        daemon.getcert(command, "-i", "web", "-w")
        assert daemon.listing("web")["status"] == "MONITORING", daemon.listing("web")
        assert_pair(certificate, key)
        serials.add(openssl("x509", "-in", certificate, "-noout", "-serial"))
    assert len(serials) == 3
    (account,) = (daemon.root / "acme").glob("*.json")
    assert stat.S_IMODE(account.stat().st_mode) == 0o600


def test_several_requests_take_turns_at_the_port(daemon: DaemonUnderTest, pebble: AcmeServer) -> None:
    add_ca(daemon, pebble, "--http-listen", f"127.0.0.1:{pebble.http_port}")
    names = [f"host{number}" for number in range(4)]
    for name in names:
        files = ("-f", str(daemon.certs / f"{name}.crt"), "-k", str(daemon.certs / f"{name}.key"))
        daemon.getcert(
            "request", "-I", name, "-c", "acme", *files, "-N", f"CN={name}.example.org", "-D", f"{name}.example.org"
        )
    until(lambda: all(daemon.listing(name)["status"] == "MONITORING" for name in names))


def test_a_daemon_that_is_killed_goes_on_with_the_same_order(
    daemon: DaemonUnderTest, pebble: AcmeServer, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    hook = tmp_path / "hook"
    hook.write_text(
        f"#!/bin/sh\n[ $1 = present ] || exit 0\ntouch {started}\nwhile [ ! -e {go} ]; do sleep 0.05; done\n"
        f"""exec python3 -c 'import sys, urllib.request
urllib.request.urlopen("{pebble.dns_management}/set-txt", sys.argv[1].encode()).close()
' '{{"host": "'$2'", "value": "'$3'"}}'\n"""
    )
    hook.chmod(0o755)
    add_ca(daemon, pebble, "--dns-hook", shlex.quote(str(hook)))
    before = pebble.log.read_text().count("POST /order-plz")
    files = ("-f", str(daemon.certs / "a.crt"), "-k", str(daemon.certs / "a.key"))
    daemon.getcert("request", "-I", "a", "-c", "acme", *files, "-D", "killed.example.org")
    until(started.exists)
    daemon.kill()
    go.touch()
    daemon.start()
    until(lambda: daemon.listing("a")["status"] == "MONITORING")
    assert pebble.log.read_text().count("POST /order-plz") == before + 1


def test_what_the_ca_says_is_shown(daemon: DaemonUnderTest, pebble: AcmeServer) -> None:
    added = daemon.getcert("add-acme-ca", "-c", "strict", "-u", pebble.url, "-R", str(pebble.ca_file))
    assert added.returncode == 0, added.stdout
    daemon.request("terms", ca="strict")
    shown = daemon.listing("terms")
    assert shown["status"] == "CA_UNCONFIGURED"
    assert "--agree-tos" in shown["ca-error"]


def test_files_that_are_not_there_are_noticed_when_a_ca_is_added(daemon: DaemonUnderTest) -> None:
    done = daemon.getcert("add-acme-ca", "-c", "x", "-u", "https://a.example.org/", "-R", "/nowhere/ca.pem")
    assert (done.returncode, done.stdout) == (1, "/nowhere/ca.pem does not exist or cannot be read.\n")
    done = daemon.getcert("add-acme-ca", "-c", "x", "-u", "https://a.example.org/", "--eab-kid", "k")
    assert done.returncode == 1
    assert "--eab-key-file" in done.stdout
