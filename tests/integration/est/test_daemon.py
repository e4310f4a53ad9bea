"""The daemon with CAs that `getcert add-est-ca` makes, and an EST server that issues."""

from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from daemon_under_test import DaemonUnderTest, assert_pair, openssl, wait_until
from est_rig import FACTORY, EstRig
from est_server import CERTS_ONLY, PASSWORD, ROOT, USER, Answer, Scenario
from scep_material import pem

from certmongerd.pki import der


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"))
    under_test.start()
    yield under_test
    under_test.close()


def add_ca(daemon: DaemonUnderTest, rig: EstRig, name: str, scenario: Scenario, *options: str) -> Scenario:
    """A CA called *name*, by *options* if there are any."""
    known = options or rig.known(name)
    rig.server.add(name, scenario)
    added = daemon.getcert("add-est-ca", "-c", name, *known)
    assert added.returncode == 0, added.stdout + added.stderr
    return scenario


def test_a_certificate_is_enrolled_with_a_password_and_renewed_with_itself(
    daemon: DaemonUnderTest, rig: EstRig
) -> None:
    options = (*rig.known("life"), *rig.login, "--renewal-keys", str(daemon.certs))
    scenario = add_ca(daemon, rig, "life", Scenario(login="Basic"), *options)
    roots, chain = daemon.certs / "life-roots.pem", daemon.certs / "life-chain.pem"
    certificate, key = daemon.certs / "life.crt", daemon.certs / "life.key"
    done = daemon.request("life", "-D", "life.example.org", "-F", str(roots), "--chain-file", str(chain), ca="life")
    assert "State MONITORING" in done.stdout, daemon.listing("life")
    scenario.login = ""
    for command in ("resubmit", "rekey"):
        before = certificate.read_bytes()
        assert daemon.getcert(command, "-i", "life", "-w").returncode == 0
        assert daemon.listing("life")["status"] == "MONITORING", daemon.listing("life")
        assert certificate.read_bytes() != before
        assert_pair(certificate, key)
    openssl("verify", "-CAfile", roots, "-untrusted", chain, certificate)
    assert roots.read_text() == pem(ROOT)
    enrolments = [(each.operation, each.user, each.client) for each in scenario.seen if each.csr is not None]
    assert enrolments == [
        ("simpleenroll", USER, ""),
        ("simplereenroll", "", "life.example.org"),
        ("simplereenroll", "", "life.example.org"),
    ]
    first, renewed, rekeyed = (each.public_key() for each in scenario.issued)
    assert first == renewed != rekeyed


def test_the_password_is_told_to_nobody(daemon: DaemonUnderTest, rig: EstRig) -> None:
    add_ca(daemon, rig, "secret", Scenario(login="Basic"), *rig.known("secret"), *rig.login)
    daemon.request("secret", ca="secret")
    kept = [path for folder in ("cas", "requests") for path in (daemon.root / folder).iterdir()]
    for path in (daemon.log, *kept):
        assert PASSWORD not in path.read_text()


def test_a_certificate_that_was_there_before_enrols(daemon: DaemonUnderTest, rig: EstRig) -> None:
    options = (*rig.known("factory"), *rig.factory)
    scenario = add_ca(daemon, rig, "factory", Scenario(wants_certificate=True), *options)
    assert daemon.request("factory", ca="factory").returncode == 0
    assert [each.client for each in scenario.seen if each.csr is not None] == [FACTORY]


def test_a_server_that_takes_its_time_is_asked_again(daemon: DaemonUnderTest, rig: EstRig) -> None:
    scenario = add_ca(daemon, rig, "slow", Scenario(pending=2))
    files = ("-f", str(daemon.certs / "slow.crt"), "-k", str(daemon.certs / "slow.key"))
    daemon.getcert("request", "-I", "slow", "-c", "slow", *files, "-N", "CN=slow.example.org")
    daemon.wait_for("slow")
    assert scenario.operations == ["simpleenroll"] * 3
    assert len({each.csr.public_bytes(Encoding.DER) for each in scenario.seen if each.csr is not None}) == 1


def test_a_renewal_that_takes_its_time_is_a_renewal_when_it_is_asked_again(
    daemon: DaemonUnderTest, rig: EstRig
) -> None:
    scenario = add_ca(daemon, rig, "again", Scenario())
    assert daemon.request("again", ca="again").returncode == 0
    scenario.pending, scenario.retry_after = 1, "3600"
    daemon.getcert("resubmit", "-i", "again")
    daemon.wait_for("again", "CA_WORKING")
    assert daemon.getcert("refresh", "-i", "again").returncode == 0
    wait_until(lambda: len(scenario.issued) == 2, daemon.log)
    daemon.wait_for("again")
    assert scenario.operations == ["simpleenroll", "simplereenroll", "simplereenroll"]


def test_a_server_without_renewals_enrols_again(daemon: DaemonUnderTest, rig: EstRig) -> None:
    scenario = add_ca(daemon, rig, "plain", Scenario(has_reenrolment=False))
    assert daemon.request("plain", ca="plain").returncode == 0
    assert daemon.getcert("resubmit", "-i", "plain", "-w").returncode == 0
    assert scenario.operations == ["simpleenroll", "simplereenroll", "simpleenroll"]
    assert len(scenario.issued) == 2


def test_other_names_are_a_new_enrolment(daemon: DaemonUnderTest, rig: EstRig) -> None:
    scenario = add_ca(daemon, rig, "names", Scenario())
    assert daemon.request("names", ca="names").returncode == 0
    assert daemon.getcert("resubmit", "-i", "names", "-D", "other.example.org", "-w").returncode == 0
    assert scenario.operations == ["simpleenroll", "simpleenroll"]


def test_a_ca_can_be_known_by_its_fingerprint(daemon: DaemonUnderTest, rig: EstRig) -> None:
    tls_ca = x509.load_pem_x509_certificate(rig.ca_file.read_bytes())
    fingerprint = tls_ca.fingerprint(SHA256()).hex(":").upper()
    options = ("-u", rig.server.url, "--label", "print", "--root-fingerprint", fingerprint, *rig.login)
    scenario = add_ca(daemon, rig, "print", Scenario(login="Basic", ca_certificates=(tls_ca, ROOT)), *options)
    assert daemon.request("print", ca="print").returncode == 0, daemon.listing("print")
    assert scenario.operations == ["simpleenroll"]


def test_what_the_server_wants_in_a_request_is_kept_with_the_ca(daemon: DaemonUnderTest, rig: EstRig) -> None:
    wanted = der.sequence(der.oid("2.5.4.3"), der.sequence(der.oid("1.2.840.113549.1.9.14"), der.set_of(
        der.sequence(der.sequence(der.oid("2.5.29.17"), der.octet_string(b"")))
    )))  # fmt: skip
    add_ca(daemon, rig, "wants", Scenario(attributes=wanted))
    state = daemon.state_file("cas", "wants")
    for line in ("ca_required_enroll_attributes", "ca_required_renewal_attributes"):
        wait_until(lambda line=line: f"{line}=template-subject,template-hostname" in state.read_text(), daemon.log)  # type: ignore[misc]  # bound early


HUGE = Answer(200, b"A" * 3_000_000, CERTS_ONLY)


@pytest.mark.parametrize(
    ("name", "answer", "state", "words"),
    [
        (
            "f400",
            Answer(400, b"The subject is not yours.\nMore.\n"),
            "CA_REJECTED",
            "HTTP 400: The subject is not yours.",
        ),
        ("f403", Answer(403, b"<html>", "text/html"), "CA_REJECTED", "simpleenroll answered with HTTP 403"),
        ("f404", Answer(404), "CA_UNCONFIGURED", "simpleenroll answered with HTTP 404"),
        ("f429", Answer(429, b"too many\n"), "CA_UNREACHABLE", "HTTP 429: too many"),
        ("f500", Answer(500, b"out of order\n"), "CA_UNREACHABLE", "HTTP 500: out of order"),
        ("f503", Answer(503), "CA_UNREACHABLE", "HTTP 503"),
        ("huge", HUGE, "CA_UNREACHABLE", "sent more than"),
        ("none", Answer(200, b"", CERTS_ONLY), "CA_UNREACHABLE", "did not answer with certificates"),
        ("text", Answer(200, b"certificate? yes!", CERTS_ONLY), "CA_UNREACHABLE", "did not answer with certificates"),
        ("junk", Answer(200, b"MIIBAgME", CERTS_ONLY), "CA_UNREACHABLE", "did not answer with certificates"),
        ("f302", Answer(302, headers=(("Location", "https://elsewhere.invalid/"),)), "CA_UNREACHABLE", "redirects to"),
    ],
)
def test_what_a_server_can_answer_instead_of_a_certificate(
    daemon: DaemonUnderTest, rig: EstRig, name: str, answer: Answer, state: str, words: str
) -> None:
    add_ca(daemon, rig, name, Scenario(answers={"simpleenroll": answer}))
    daemon.request(name, ca=name)
    shown = daemon.listing(name)
    assert shown["status"] == state
    assert words in shown["ca-error"]


def test_a_failed_renewal_leaves_the_certificate_and_says_why(daemon: DaemonUnderTest, rig: EstRig) -> None:
    scenario = add_ca(daemon, rig, "kept", Scenario())
    assert daemon.request("kept", ca="kept").returncode == 0
    before = (daemon.certs / "kept.crt").read_bytes()
    scenario.answers["simplereenroll"] = Answer(400, b"not any more\n")
    daemon.getcert("resubmit", "-i", "kept", "-w")
    shown = daemon.listing("kept")
    assert "not any more" in shown["ca-error"]
    assert (daemon.certs / "kept.crt").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("nobody", (), "--user and --password-file"),
        ("wrong", ("--user", USER, "--password-file", "{root}/wrong"), f"does not accept the user name {USER}"),
    ],
)
def test_who_does_not_log_in_is_told_how(
    daemon: DaemonUnderTest, rig: EstRig, name: str, options: tuple[str, ...], words: str
) -> None:
    known = (*rig.known(name), *(option.format(root=rig.root) for option in options))
    add_ca(daemon, rig, name, Scenario(login="Basic"), *known)
    daemon.request(name, ca=name)
    shown = daemon.listing(name)
    assert shown["status"] == "CA_UNCONFIGURED"
    assert words in shown["ca-error"]


def test_an_untrusted_server_learns_nothing(daemon: DaemonUnderTest, rig: EstRig) -> None:
    options = ("-u", rig.server.url, "--label", "foreign", "-R", str(rig.root / "factory.pem"), *rig.login)
    scenario = add_ca(daemon, rig, "foreign", Scenario(login="Basic"), *options)
    daemon.request("foreign", ca="foreign")
    shown = daemon.listing("foreign")
    assert shown["status"] == "CA_UNREACHABLE"
    assert "certificate verify failed" in shown["ca-error"]
    assert not scenario.seen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "server URL not specified."),
        (("-u", "https://x", "--user", "u"), "--password-file"),
        (("-u", "https://x", "--key", "{root}/factory.key"), "no certificate"),
        (("-u", "https://x", "-R", "{root}/ca.pem", "--root-fingerprint", "00"), "Both"),
        (("-u", "https://x", "-R", "{root}/none.pem"), "none.pem does not exist or cannot be read."),
    ],
)
def test_options_that_do_not_fit_are_refused_at_once(
    daemon: DaemonUnderTest, rig: EstRig, options: tuple[str, ...], words: str
) -> None:
    done = daemon.getcert("add-est-ca", "-c", "x", *(option.format(root=rig.root) for option in options))
    assert done.returncode == 1
    assert words in done.stdout
