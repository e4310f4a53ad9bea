"""Ansible's role linux-system-roles.certificate: its calls find what they expect, and a second run changes nothing."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_under_test import BIN, DaemonUnderTest, assert_pair, openssl
from fakes.message_bus import SystemBus

ROLE = Path(__file__).with_name("certificate_role.py")
DEFAULTS: dict[str, Any] = {
    "ca": "local",
    "wait": True,
    "auto_renew": True,
    "key_size": 2048,
    "key_usage": ["digitalSignature", "keyEncipherment"],
    "extended_key_usage": ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"],
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    bus = SystemBus(tmp_path_factory.mktemp("bus"))
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"), system_bus_address=bus.address)
    programs = under_test.root / "sbin"
    programs.mkdir()
    (programs / "certmonger").symlink_to(BIN / "certmongerd")
    under_test.start()
    yield under_test
    under_test.close()
    bus.stop()


def ensure(daemon: DaemonUnderTest, name: str, **wanted: Any) -> dict[str, bool]:
    """One run of the role for one certificate."""
    wanted = DEFAULTS | {"name": str(daemon.certs / name), "common_name": f"{name}.example.org"} | wanted
    done = subprocess.run(
        ["/usr/bin/python3", str(ROLE), json.dumps(wanted)],
        env=daemon.environment() | {"PATH": f"{BIN}:{os.environ['PATH']}:{daemon.root}/sbin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, bool] = json.loads(done.stdout)
    return answer


def text_of(daemon: DaemonUnderTest, name: str) -> str:
    return openssl("x509", "-in", daemon.certs / f"{name}.crt", "-noout", "-text")


def test_a_certificate_with_everything_is_issued_once(daemon: DaemonUnderTest) -> None:
    hook = daemon.root / "after.sh"
    hook.write_text(f"#!/bin/sh\necho ran >> {daemon.root}/ran\n")
    hook.chmod(0o770)
    wanted: dict[str, Any] = {
        "country": "US",
        "organization": "Example",
        "dns": ["www.example.org", "example.org"],
        "ip": ["192.0.2.12", "2001:db8::2:1"],
        "email": ["admin@example.org"],
        "principal": ["HTTP/www.example.org@EXAMPLE.ORG"],
        "run_after": str(hook),
    }
    assert ensure(daemon, "full", **wanted) == {"changed": True, "was_known": False}
    assert_pair(daemon.certs / "full.crt", daemon.certs / "full.key")
    assert (daemon.root / "ran").read_text() == "ran\n"
    text = text_of(daemon, "full")
    for part in ("DNS:www.example.org, DNS:example.org", "IP Address:192.0.2.12", "admin@example.org"):
        assert part in text
    assert ensure(daemon, "full", **wanted) == {"changed": False, "was_known": True}


def test_what_differs_is_asked_for_anew(daemon: DaemonUnderTest) -> None:
    assert ensure(daemon, "web", dns=["www.example.org"])["changed"]
    other = {"dns": ["example.org"], "auto_renew": False}
    assert ensure(daemon, "web", **other) == {"changed": True, "was_known": True}
    assert "DNS:example.org" in text_of(daemon, "web")
    assert "DNS:www.example.org" not in text_of(daemon, "web")
    assert daemon.listing(_nickname(daemon, "web"))["auto-renew"] == "no"
    assert not ensure(daemon, "web", **other)["changed"]
    assert ensure(daemon, "web", **other, ca="SelfSign")["changed"]
    assert not ensure(daemon, "web", **other, ca="SelfSign")["changed"]


def test_a_larger_key_is_made_when_asked_for(daemon: DaemonUnderTest) -> None:
    assert ensure(daemon, "sized", dns=["a.example.org"])["changed"]
    assert ensure(daemon, "sized", dns=["b.example.org"], key_size=3072)["changed"]
    daemon.wait_for(_nickname(daemon, "sized"))
    assert "DNS:b.example.org" in text_of(daemon, "sized")


def test_nobody_has_to_wait(daemon: DaemonUnderTest) -> None:
    assert ensure(daemon, "later", dns=["www.example.org"], wait=False)["changed"]
    daemon.wait_for(_nickname(daemon, "later"))


def test_under_certmongers_names_the_daemon_tells_a_version_of_certmonger(daemon: DaemonUnderTest) -> None:
    ours = subprocess.run([daemon.root / "sbin" / "certmonger", "-v"], capture_output=True, text=True, check=True)
    theirs = subprocess.run(["/usr/sbin/certmonger", "-v"], capture_output=True, text=True, check=True)
    assert ours.stdout.split()[0] == theirs.stdout.split()[0] == "certmonger"
    control = (Path(__file__).parents[3] / "scripts" / "deb" / "control").read_text()
    assert f"Provides: certmonger (= {ours.stdout.split()[1]})" in control
    named = subprocess.run([BIN / "certmongerd", "-v"], capture_output=True, text=True, check=True)
    assert named.stdout.startswith("certmongerd ")


def _nickname(daemon: DaemonUnderTest, name: str) -> str:
    """The role gives no nickname; the daemon made one."""
    listing = json.loads(daemon.getcert("list", "--output", "json").stdout)
    (found,) = [
        request["id"]
        for request in listing["requests"]
        if request["certificate"]["file"] == str(daemon.certs / f"{name}.crt")
    ]
    return str(found)
