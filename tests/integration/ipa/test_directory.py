"""CA certificates from the LDAP directory, which has more of them than the API: a real slapd with Kerberos."""

import subprocess
from datetime import timedelta
from pathlib import Path

from ipa_rig import IpaRig, base64_of
from ipa_server import error, result
from ldap_server import BASE, ancient, modern, running_slapd
from scep_material import NOW, certificate, pem, rsa_key

DAY = timedelta(days=1)
CA = certificate("IPA CA", rsa_key("ipa ca"), ca=True, not_before=NOW - 3 * DAY)
RENEWED = certificate("IPA CA", rsa_key("ipa ca, renewed"), ca=True, not_before=NOW - DAY)
OUTER = certificate("Installed by ipa-cacert-manage", rsa_key("outer"), ca=True, not_before=NOW - 2 * DAY)
BAD = certificate("Not any more", rsa_key("bad"), ca=True)
TREE = modern(("old", CA, "trusted"), ("new", RENEWED, "trusted"), ("outer", OUTER, ""), ("bad", BAD, "distrusted"))


def fetch(rig: IpaRig, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"CERTMONGER_OPERATION": "FETCH-ROOTS", **environment}
    return rig.submit("-d", "test.example", *argv, environment=variables)


def named(*blocks: str) -> str:
    return "".join(f"TEST.EXAMPLE IPA CA\n{block}" for block in blocks)


def test_what_the_api_tells_is_completed_by_the_directory(rig: IpaRig, tmp_path: Path) -> None:
    rig.server.answers = [result(cn=["ipa"], certificate=base64_of(RENEWED), certificate_chain=[])]
    with running_slapd(tmp_path, rig.realm, TREE) as url:
        done = fetch(rig, "-L", url)
    assert done.returncode == 0, done.stdout
    assert done.stdout == named(pem(RENEWED), pem(OUTER), pem(CA)), done.stderr


def test_the_directory_is_enough(rig: IpaRig, tmp_path: Path) -> None:
    rig.server.answers = [error(4001, "ipa: Certificate Authority not found")]
    with running_slapd(tmp_path, rig.realm, TREE) as url:
        done = fetch(rig, "-L", url, "-b", BASE)
        of_tickets = rig.run(
            "-J", rig.server.url, "-c", str(rig.ca_file), "-K", "-L", url, "-d", "test.example",
            environment={
                "CERTMONGER_OPERATION": "FETCH-ROOTS", "KRB5CCNAME": rig.realm.ticket(rig.root / "cache"),
            },
        )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert done.stdout == named(pem(RENEWED), pem(OUTER), pem(CA))
    assert of_tickets.stdout == done.stdout


def test_an_old_server_has_one_certificate_elsewhere(rig: IpaRig, tmp_path: Path) -> None:
    rig.server.answers = [error(905, "unknown command 'ca_show'")]
    with running_slapd(tmp_path, rig.realm, ancient(CA)) as url:
        done = fetch(rig, "-L", url)
    assert done.stdout == named(pem(CA)), done.stderr


def test_without_both_the_apis_error_is_told(rig: IpaRig, tmp_path: Path) -> None:
    rig.server.answers = [error(4001, "ipa: Certificate Authority not found")]
    with running_slapd(tmp_path, rig.realm, "") as url:
        done = fetch(rig, "-v", "-L", url)
    assert done.returncode == 3
    assert "4001" in done.stdout
    assert "has no CA certificates" in done.stderr
    away = fetch(rig, "-v", "-L", url)
    assert away.returncode == 3
    assert "cannot be asked for CA certificates" in away.stderr


def test_a_host_without_the_program_is_told_what_to_install(rig: IpaRig, tmp_path: Path) -> None:
    rig.server.answers = [result(cn=["ipa"], certificate=base64_of(CA), certificate_chain=[])]
    done = fetch(rig, "-v", "-L", "ldap://localhost", PATH=str(tmp_path))
    assert done.stdout == named(pem(CA))
    assert "ldap-utils" in done.stderr
