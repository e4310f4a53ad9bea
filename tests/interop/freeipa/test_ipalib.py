"""FreeIPA's own module for certmonger, unmodified, drives the daemon."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon_under_test import BIN, DaemonUnderTest, assert_pair, openssl
from fakes.message_bus import SystemBus

DRIVER = Path(__file__).parent / "driver.py"
DEBIAN_PYTHON = "/usr/bin/python3"
WAIT_S = 60


class Raised(Exception):
    """What a function of the module raised."""


class Ipalib:
    """Functions of `ipalib.install.certmonger`, carried out in a process of Debian's Python."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, function: str, *arguments: object, **keywords: object) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([function, arguments, keywords]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "ipalib is not there or ended: apt-get install python3-ipalib python3-dbus"
        answer = json.loads(line)
        if "error" in answer:
            raise Raised(answer["error"])
        return answer["result"]


@contextmanager
def ipalib(environment: dict[str, str]) -> Iterator[Ipalib]:
    process = subprocess.Popen(
        [DEBIAN_PYTHON, str(DRIVER)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield Ipalib(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(WAIT_S)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    """A daemon on a system bus with the policy that hosts get."""
    assert os.geteuid() == 0, "the system bus lets root only call the daemon: run these tests as root"
    bus = SystemBus(tmp_path_factory.mktemp("bus"))
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"), system_bus_address=bus.address)
    under_test.start()
    yield under_test
    under_test.close()
    bus.stop()


@pytest.fixture(scope="module")
def ipa(daemon: DaemonUnderTest) -> Iterator[Ipalib]:
    with ipalib(daemon.environment()) as functions:
        yield functions


def files(daemon: DaemonUnderTest, name: str) -> tuple[str, str]:
    return str(daemon.certs / f"{name}.crt"), str(daemon.certs / f"{name}.key")


@pytest.fixture
def issued(daemon: DaemonUnderTest, ipa: Ipalib, request: pytest.FixtureRequest) -> Iterator[str]:
    """A request with a certificate, by its ID."""
    name = request.node.originalname
    identifier = str(
        ipa(
            "request_and_wait_for_cert",
            certpath=files(daemon, name),
            subject=f"CN={name},O=EXAMPLE.ORG",
            principal=f"HTTP/{name}@EXAMPLE.ORG",
            dns=["www.example.org", "web.example.org"],
            ca="local",
            profile="caIPAserviceCert",
            storage="FILE",
            perms=(0o640, 0o600),
            resubmit_timeout=WAIT_S,
        )
    )
    yield identifier
    ipa("stop_tracking", request_id=identifier)


def test_a_certificate_is_requested_and_waited_for(daemon: DaemonUnderTest, ipa: Ipalib, issued: str) -> None:
    certificate, key = map(Path, files(daemon, "test_a_certificate_is_requested_and_waited_for"))

    assert_pair(certificate, key)
    assert (certificate.stat().st_mode & 0o777, key.stat().st_mode & 0o777) == (0o640, 0o600)
    assert "DNS:www.example.org, DNS:web.example.org" in openssl(
        "x509", "-in", certificate, "-noout", "-ext", "subjectAltName"
    )
    assert ipa("get_request_value", issued, "status") == "MONITORING"
    assert ipa("get_request_value", issued, "ca-name") == "local"
    assert ipa("get_request_value", issued, "template-profile") == "caIPAserviceCert"
    assert ipa("get_request_value", issued, "template-hostname") == ["www.example.org", "web.example.org"]
    assert ipa("get_request_value", issued, "template-principal") == [
        "HTTP/test_a_certificate_is_requested_and_waited_for@EXAMPLE.ORG"
    ]


def test_a_property_that_is_not_set_reads_as_none(ipa: Ipalib, issued: str) -> None:
    """`request_and_wait_for_cert` takes a certificate for issued only when `ca-error` is None."""
    assert ipa("get_request_value", issued, "ca-error") is None


def test_requests_are_found_by_what_they_are_for(daemon: DaemonUnderTest, ipa: Ipalib, issued: str) -> None:
    certificate, _ = files(daemon, "test_requests_are_found_by_what_they_are_for")

    assert ipa("get_request_id", {"cert-file": certificate}) == issued
    assert ipa("get_request_id", {"cert-file": certificate, "ca-name": "local"}) == issued
    assert ipa("get_request_id", {"cert-file": certificate, "ca-name": "SelfSign"}) is None
    assert ipa("get_request_id", {"template-hostname": ["web.example.org"], "cert-file": certificate}) == issued
    assert ipa("get_request_id", {"template-hostname": ["mail.example.org"], "cert-file": certificate}) is None
    assert ipa("get_request_id", {"nickname": "nobody"}) is None
    assert ipa("get_request_value", "nobody", "status") is None
    assert ipa("get_requests_for_dir", "/nowhere") == []
    assert ipa("check_state", ["/nowhere"]) == []


def test_a_request_is_modified_and_resubmitted(daemon: DaemonUnderTest, ipa: Ipalib, issued: str) -> None:
    certificate, key = map(Path, files(daemon, "test_a_request_is_modified_and_resubmitted"))
    before = certificate.read_bytes()

    ipa("modify", issued, ca="SelfSign", profile="caServerCert", template_v2="1.2.3.4:5:6")
    ipa("add_principal", issued, "ldap/other@EXAMPLE.ORG")
    ipa("add_subject", issued, "CN=other.example.org")
    ipa("resubmit_request", issued, ca="local", profile="caOther", is_ca=True)
    assert ipa("wait_for_request", issued, WAIT_S) == "MONITORING"

    assert ipa("get_request_value", issued, "template-profile") == "caOther"
    assert ipa("get_request_value", issued, "template-ms-certificate-template") == "1.2.3.4:5:6"
    assert ipa("get_request_value", issued, "template-principal") == ["ldap/other@EXAMPLE.ORG"]
    assert ipa("get_request_value", issued, "ca-name") == "local"
    assert ipa("get_request_value", issued, "template-is-ca") == 1
    assert certificate.read_bytes() != before
    assert_pair(certificate, key)
    assert "CN = other.example.org" in openssl("x509", "-in", certificate, "-noout", "-subject")


def test_a_post_quantum_key_is_kept_through_a_resubmission(daemon: DaemonUnderTest, ipa: Ipalib) -> None:
    """`resubmit_request` sends the key's type, and its size where that is not 0, back to the daemon."""
    assert daemon.request("quantum", "-G", "ML-DSA-65").returncode == 0

    ipa("resubmit_request", "quantum", ca="SelfSign")

    assert ipa("wait_for_request", "quantum", WAIT_S) == "MONITORING"
    assert ipa("get_request_value", "quantum", "key-type") == "ML-DSA-65"
    ipa("stop_tracking", request_id="quantum")


def test_a_certificate_that_exists_is_tracked(daemon: DaemonUnderTest, ipa: Ipalib, issued: str) -> None:
    certificate, key = files(daemon, "test_a_certificate_that_exists_is_tracked")
    ipa("stop_tracking", certfile=certificate)
    assert ipa("get_request_id", {"nickname": issued}) is None
    assert Path(certificate).exists()

    ran = daemon.root / "ran"
    tracked = ipa(
        "start_tracking",
        certpath=(certificate, key),
        ca="local",
        storage="FILE",
        post_command=f"/usr/bin/touch {ran}",
        profile="caServerCert",
        dns=["www.example.org"],
    )

    assert ipa("wait_for_request", tracked, WAIT_S) == "MONITORING"
    assert ipa("get_request_value", tracked, "cert-postsave-command") == f"/usr/bin/touch {ran}"
    assert not ran.exists()
    ipa("resubmit_request", tracked)
    assert ipa("wait_for_request", tracked, WAIT_S) == "MONITORING"
    assert ran.exists()
    ipa("stop_tracking", request_id=tracked)


def test_the_helper_of_a_ca_is_changed_and_told(daemon: DaemonUnderTest, ipa: Ipalib) -> None:
    before = ipa("modify_ca_helper", "IPA", "/bin/false -x")
    assert before
    ipa("add_principal_to_cas", "host/other@EXAMPLE.ORG")
    assert ipa("modify_ca_helper", "IPA", "/bin/false") == "/bin/false -x -k host/other@EXAMPLE.ORG"
    ipa("add_principal_to_cas", "host/other@EXAMPLE.ORG")
    ipa("remove_principal_from_cas")

    assert ipa("modify_ca_helper", "IPA", before) == "/bin/false"
    with pytest.raises(Raised, match="nobody is not configured"):
        ipa("modify_ca_helper", "nobody", "/bin/false")


def test_an_unknown_ca_is_refused_before_anything_is_added(daemon: DaemonUnderTest, ipa: Ipalib) -> None:
    with pytest.raises(Raised, match="nobody CA not found"):
        ipa("request_cert", certpath=files(daemon, "none"), subject="CN=x", principal=None, ca="nobody", storage="FILE")

    assert ipa("get_request_id", {"cert-file": files(daemon, "none")[0]}) is None


def test_a_rejection_is_told_with_what_the_ca_said(daemon: DaemonUnderTest, ipa: Ipalib) -> None:
    daemon.add_helper("refuser", "echo 'Not on a Thursday.'; exit 2")

    with pytest.raises(Raised, match=r"CA_REJECTED: Not on a Thursday\."):
        ipa(
            "request_and_wait_for_cert",
            certpath=files(daemon, "refused"),
            subject="CN=refused",
            principal=None,
            ca="refuser",
            storage="FILE",
            stop_tracking_on_error=True,
        )

    assert ipa("get_request_id", {"cert-file": files(daemon, "refused")[0]}) is None


@pytest.fixture
def without_bus(tmp_path: Path) -> Iterator[Ipalib]:
    """As in an installer: no system bus; the module starts a daemon on a private socket for each of its calls."""
    state = DaemonUnderTest(tmp_path)
    environment = state.environment() | {
        "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/nobus",
        "CERTMONGER": str(BIN / "certmongerd"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    with ipalib(environment) as functions:
        yield functions


def test_without_a_system_bus_it_starts_the_daemon_itself(without_bus: Ipalib, tmp_path: Path) -> None:
    certpath = str(tmp_path / "web.crt"), str(tmp_path / "web.key")

    identifier = without_bus(
        "request_cert", certpath=certpath, subject="CN=web", principal=None, ca="local", storage="FILE"
    )

    # Each look at the state is another daemon, which goes on where the one before ended.
    assert without_bus("wait_for_request", identifier, WAIT_S) == "MONITORING"
    assert without_bus("get_request_value", identifier, "ca-error") is None
    assert_pair(Path(certpath[0]), Path(certpath[1]))
    without_bus("stop_tracking", request_id=identifier)
    assert without_bus("get_request_id", {"nickname": identifier}) is None
