"""What the daemon does around SCEP: servers that come late or change, keys that do not fit, fingerprints, secrets."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from daemon_under_test import DaemonUnderTest, openssl
from fakes.scep_authority import Authority, Identity, ReplyPlan, ca_with_ra, single_ca
from fakes.scep_cms import certificates_only, sign
from fakes.scep_responder import Answer, Responder, Scenario
from scep_material import certificate, rsa_key
from scep_rig import ScepRig, running_rig, until

ALGORITHMS = {"MD5": "-md5", "SHA1": "-sha1", "SHA256": "-sha256"}


def grouped(hexadecimal: str) -> str:
    text = hexadecimal.replace(":", "").upper()
    return " ".join(text[start : start + 8] for start in range(0, len(text), 8))


def test_a_request_made_before_its_server_is_up_goes_on_by_itself(tmp_path: Path) -> None:
    with running_rig(tmp_path) as rig:
        with Responder() as probe:
            port = probe.port
        rig.daemon.getcert("add-scep-ca", "-c", "M1", "-u", f"http://127.0.0.1:{port}/M1/scep")
        shown = rig.request("M1")
        assert (shown["status"], shown["stuck"]) == ("NEED_SCEP_ENCRYPTION_CERT", "no")
        with Responder(port=port) as late:
            late.add("M1", Scenario(authority=ca_with_ra()))
            assert rig.daemon.getcert("refresh-ca", "-c", "M1").returncode == 0
            until(lambda: rig.daemon.listing("M1")["status"] == "MONITORING")
        rig.assert_issued("M1")


@pytest.mark.parametrize("key_type", ["EC", "Ed25519", "ML-DSA-44"])
def test_a_key_that_is_not_rsa_is_refused_before_anything_is_sent(rig: ScepRig, key_type: str) -> None:
    scenario = Scenario(authority=ca_with_ra())
    name = f"M2-{key_type}"
    rig.add_ca(name, scenario)
    rig.daemon.request(name, "-G", key_type, ca=name)
    shown = rig.daemon.listing(name)
    assert (shown["status"], shown["stuck"]) == ("NEED_SCEP_RSA_CLIENT_KEY", "yes")
    assert "PKIOperation" not in scenario.operations


def test_a_helper_that_does_not_speak_scep_gets_no_scep_variables_and_no_messages_are_made(rig: ScepRig) -> None:
    seen = rig.daemon.root / "M3.env"
    rig.daemon.add_helper("M3", f"env > {seen}; echo no; exit 2")
    rig.request("M3")
    assert "CERTMONGER_CSR=" in seen.read_text()
    assert not [
        line for line in seen.read_text().splitlines() if line.startswith(("CERTMONGER_SCEP", "CERTMONGER_PKCS"))
    ]
    assert "scep_" not in rig.daemon.state_file("requests", "M3").read_text()


def test_fingerprints_are_those_of_the_server_and_of_openssl(rig: ScepRig, tmp_path: Path) -> None:
    scenario = Scenario(authority=ca_with_ra())
    rig.enrol("M4", scenario)
    shown = rig.daemon.listing("M4")
    request = scenario.received[0].csr.public_bytes(Encoding.DER)
    (tmp_path / "csr").write_bytes(request)
    for name, option in ALGORITHMS.items():
        line = openssl("dgst", option, "-r", tmp_path / "csr")
        assert shown[f"signing request thumbprint ({name})"] == grouped(line.split()[0])
    listed = rig.daemon.getcert("list-cas", "-c", "M4").stdout
    for role, each in (("CA", scenario.authority.ca), ("RA", scenario.authority.ra)):
        (tmp_path / role).write_bytes(each.certificate.public_bytes(Encoding.PEM))
        for name, option in ALGORITHMS.items():
            line = openssl("x509", "-in", tmp_path / role, "-noout", "-fingerprint", option)
            assert (
                f"\tSCEP {role} certificate thumbprint ({name}): {grouped(line.strip().partition('=')[2])}\n" in listed
            )


def test_a_single_certificate_is_shown_once_as_the_cas(rig: ScepRig) -> None:
    rig.enrol("M5", Scenario(authority=single_ca()))
    listed = rig.daemon.getcert("list-cas", "-c", "M5").stdout
    assert listed.count("SCEP CA certificate thumbprint (SHA256)") == 1
    assert "SCEP RA" not in listed


def test_what_the_server_says_of_itself_is_stored_nowhere_else(rig: ScepRig, tmp_path: Path) -> None:
    scenario = Scenario(authority=ca_with_ra())
    rig.add_ca("M6", scenario)
    rig.request("M6", "-F", str(tmp_path / "roots.pem"))
    rig.assert_issued("M6")
    assert list(tmp_path.iterdir()) == []


def test_other_certificates_of_the_server_are_used_and_told_and_requests_in_trouble_go_on(rig: ScepRig) -> None:
    """The server changes its RA's key; the old one is still what the daemon knows."""
    scenario = Scenario(authority=ca_with_ra())
    rig.enrol("M7", scenario)
    old = scenario.authority.ra.certificate
    key = rsa_key("new RA")
    ca = scenario.authority.ca
    new = Identity(key=key, certificate=certificate("New RA", key, issuer=ca.certificate, issuer_key=ca.key, ca=False))
    scenario.authority = Authority(ca=ca, ra=new)
    assert rig.daemon.getcert("refresh-ca", "-c", "M7").returncode == 0
    until(lambda: "has another key now" in rig.daemon.log.read_text())
    line = next(line for line in rig.daemon.log.read_text().splitlines() if "has another key now" in line)
    for each in (old, new.certificate):
        assert each.fingerprint(hashes.SHA256()).hex(" ", 4).upper() in line
    rig.again("resubmit", "M7")
    rig.assert_issued("M7")


def test_a_reply_by_an_unknown_signer_has_the_certificates_fetched_again_and_the_request_goes_on(rig: ScepRig) -> None:
    scenario = Scenario(authority=single_ca())
    key = rsa_key("successor")
    successor = Identity(key=key, certificate=certificate("Test CA", key, ca=True))

    def change_over(_: dict[str, bytes]) -> None:
        scenario.authority = Authority(ca=successor, ra=successor)

    rig.enrol("M7-first", scenario)
    scenario.plans = [ReplyPlan(), ReplyPlan(signer=successor, alter=change_over), ReplyPlan()]
    rig.daemon.request("M7-next", ca="M7-first")
    until(lambda: rig.daemon.listing("M7-next")["status"] == "MONITORING")
    assert scenario.types == ["19", "19", "19"]
    assert scenario.operations.count("GetCACert") == 2


def test_a_successor_that_was_announced_is_no_news(rig: ScepRig) -> None:
    authority = single_ca()
    key = rsa_key("announced")
    successor = Identity(key=key, certificate=certificate("Test CA", key, ca=True))
    announced = sign(certificates_only([successor.certificate]), {}, authority.ca.key, authority.ca.certificate)
    scenario = Scenario(authority=authority, next_certificates=Answer(body=announced))
    rig.enrol("M7-announced", scenario)
    scenario.authority, scenario.next_certificates = Authority(ca=successor, ra=successor), Answer(status=404)
    before = rig.daemon.log.read_text().count("has another key now")
    rig.daemon.getcert("refresh-ca", "-c", "M7-announced")
    thumbprint = successor.certificate.fingerprint(hashes.SHA256()).hex(" ", 4).upper()
    until(lambda: f"CA certificate thumbprint (SHA256): {thumbprint}" in rig.daemon.getcert("list-cas").stdout)
    assert rig.daemon.log.read_text().count("has another key now") == before


@pytest.mark.parametrize(
    ("name", "options", "subject"),
    [
        ("M8-underscore", ("-N", "CN=my_host"), "CN=my_host"),
        ("M8-utf8", ("-N", "CN=Straße,O=Österreich"), "O=Österreich,CN=Straße"),
        ("M8-empty", ("-N", "", "-D", "host.example.org"), ""),
    ],
)
def test_unusual_subjects_are_read_by_strict_servers(
    rig: ScepRig, name: str, options: tuple[str, ...], subject: str
) -> None:
    scenario = Scenario(authority=ca_with_ra())
    rig.add_ca(name, scenario)
    rig.daemon.request(name, *options, ca=name)
    rig.assert_issued(name)
    request = scenario.received[0]
    if subject:
        assert set(request.csr.subject.rfc4514_string().split(",")) == set(subject.split(","))
        assert request.signer.subject == request.csr.subject


def test_many_requests_at_once_are_many_transactions(rig: ScepRig) -> None:
    scenario = Scenario(authority=ca_with_ra())
    rig.add_ca("M9", scenario)
    names = [f"M9-{number}" for number in range(20)]
    for name in names:
        files = ("-f", str(rig.daemon.certs / f"{name}.crt"), "-k", str(rig.daemon.certs / f"{name}.key"))
        assert rig.daemon.getcert("request", "-I", name, "-c", "M9", "-N", f"CN={name}", *files).returncode == 0
    until(lambda: all(rig.daemon.listing(name)["status"] == "MONITORING" for name in names))
    assert scenario.types == ["19"] * 20
    assert len({each.transaction_id for each in scenario.received}) == 20
    assert len({each.sender_nonce for each in scenario.received}) == 20


def recording_helper(daemon: DaemonUnderTest, url: str, record: Path) -> None:
    """A CA whose helper writes down all it is given, then runs scep-submit."""
    listed = daemon.getcert("list-cas", "-c", "local").stdout
    (location,) = [line.split(": ")[1] for line in listed.splitlines() if "helper-location" in line]
    script = daemon.root / "recording"
    script.write_text(
        f'#!/bin/sh\n{{ env; echo "$@"; ls -l /proc/self/fd; }} >>{record}\n'
        f'exec {location.replace("local-submit", "scep-submit")} -u {url} "$@"\n'
    )
    script.chmod(stat.S_IRWXU)
    assert daemon.getcert("add-ca", "-c", "recorded", "-e", str(script)).returncode == 0


def test_a_helper_is_given_neither_keys_nor_passwords(rig: ScepRig, tmp_path: Path) -> None:
    scenario = Scenario(authority=ca_with_ra())
    url = rig.responder.add("recorded", scenario)
    recording_helper(rig.daemon, url, tmp_path / "record")
    rig.request("recorded", "-L", "correct-horse")
    rig.assert_issued("recorded")
    rig.again("rekey", "recorded")
    rig.assert_issued("recorded")
    record = (tmp_path / "record").read_text()
    assert "CERTMONGER_PKCSREQ=-----BEGIN PKCS7-----" in record
    assert "CERTMONGER_PKCSREQ_REKEY=-----BEGIN PKCS7-----" in record
    assert "PRIVATE KEY" not in record
    assert "recorded.key" not in record
    assert "correct-horse" not in record
    assert scenario.received[0].challenge == "correct-horse"


def test_a_password_file_is_read_when_the_request_is_made_without_its_line_end(rig: ScepRig, tmp_path: Path) -> None:
    scenario = Scenario(authority=ca_with_ra())
    (tmp_path / "password").write_text("from a file\r\n")
    rig.enrol("S2", scenario, "-l", str(tmp_path / "password"))
    rig.assert_issued("S2")
    assert scenario.received[0].challenge == "from a file"
    assert x509.load_pem_x509_certificate((rig.daemon.certs / "S2.crt").read_bytes()) == rig.certificate("S2")
    (tmp_path / "password").write_text("another")
    rig.again("resubmit", "S2")
    assert scenario.received[1].challenge == "another"


def test_a_ca_in_use_stays_until_somebody_insists(rig: ScepRig) -> None:
    rig.enrol("used", Scenario(authority=ca_with_ra()))
    refused = rig.daemon.getcert("remove-ca", "-c", "used")
    assert (refused.returncode, '"used"' in refused.stdout, "--force" in refused.stdout) == (1, True, True)
    assert "CA 'used'" in rig.daemon.getcert("list-cas").stdout
    assert rig.daemon.getcert("remove-ca", "-c", "used", "--force").returncode == 0
    assert "CA 'used'" not in rig.daemon.getcert("list-cas").stdout


def test_the_scep_settings_of_a_ca_can_be_changed_and_taken_back(rig: ScepRig) -> None:
    scenario = Scenario(authority=ca_with_ra())
    rig.add_ca("changed", scenario)
    assert rig.daemon.getcert("modify-ca", "-c", "changed", "--scep-cipher", "AES256", "--scep-digest", "sha512").stdout
    rig.request("changed")
    assert (scenario.received[0].cipher, scenario.received[0].digest) == ("aes256", "sha512")
    assert rig.daemon.getcert("modify-ca", "-c", "changed", "--scep-cipher", "", "--scep-digest", "").returncode == 0
    rig.again("resubmit", "changed")
    assert (scenario.received[1].cipher, scenario.received[1].digest) == ("aes128", "sha256")


def test_a_wrong_and_a_right_pin_of_the_key(rig: ScepRig, tmp_path: Path) -> None:
    """The key opens the reply, so its PIN is needed then too."""
    scenario = Scenario(authority=ca_with_ra())
    rig.add_ca("E18", scenario)
    (tmp_path / "pin").write_text("wrong\n")
    key = rig.daemon.certs / "E18.key"
    openssl("genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:right", "-out", key)
    rig.daemon.request("E18", "-p", str(tmp_path / "pin"), ca="E18")
    assert rig.daemon.listing("E18")["status"].endswith("_PIN")
    (tmp_path / "pin").write_text("right\n")
    rig.again("resubmit", "E18")
    shown = rig.daemon.listing("E18")
    assert shown["status"] == "MONITORING", shown
    assert "ENCRYPTED" in key.read_text()
    before = key.read_bytes()
    (tmp_path / "pin").write_text("wrong\n")
    rig.daemon.getcert("resubmit", "-i", "E18", "-w")
    assert rig.daemon.listing("E18")["status"].endswith("_PIN")
    assert key.read_bytes() == before
