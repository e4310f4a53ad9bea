"""What can go wrong between ipa-submit, Kerberos and the server, and that each of it is told as it is."""

import subprocess
import threading
import time
from pathlib import Path

import pytest
from ipa_rig import OURS, PRINCIPAL, IpaRig
from kerberos_realm import CLIENT, KerberosRealm, free_port
from scep_material import certificate as make_certificate
from scep_material import pem, rsa_key

from certmonger_helpers.ipa.rpc import MAX_ANSWER_BYTES, ca_show_call
from certmonger_helpers.ipa.server import call
from certmonger_helpers.kerberos.client import from_keytab
from certmonger_helpers.outcome import Unreachable
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpClient, Limits


def with_cache(rig: IpaRig, cache: str) -> subprocess.CompletedProcess[str]:
    known = ("-J", rig.server.url, "-c", str(rig.ca_file), "-K", "-P", PRINCIPAL)
    return rig.run(*known, environment={"KRB5CCNAME": cache})


def assert_told(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """One line with all *words*, and *status*."""
    assert done.returncode == status, done.stdout
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stdout


def test_the_tickets_of_the_cache_are_used_when_asked_for(rig: IpaRig) -> None:
    assert with_cache(rig, rig.realm.ticket(rig.root / "cache")).returncode == 0
    assert rig.server.calls[0]["user"] == f"{CLIENT}@TEST.EXAMPLE"


def test_an_expired_ticket(rig: IpaRig) -> None:
    cache = rig.realm.ticket(rig.root / "cache", "-l", "2s")
    environment = {**rig.realm.environment, "PATH": "/usr/bin"}
    deadline = time.monotonic() + 60
    while subprocess.run(["klist", "-s", "-c", cache], env=environment, check=False).returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert_told(with_cache(rig, cache), 3, "default cache", "expired")
    assert not rig.server.calls


def test_no_tickets(rig: IpaRig) -> None:
    assert_told(with_cache(rig, f"FILE:{rig.root}/none"), 3, "default cache")


def test_a_missing_keytab(rig: IpaRig) -> None:
    done = rig.submit("-t", str(rig.root / "none.keytab"))
    assert_told(done, 4, f"{rig.root}/none.keytab", "No such file or directory", CLIENT)


def test_a_keytab_without_the_key(rig: IpaRig) -> None:
    assert_told(rig.submit("-k", "host/other.test.example@TEST.EXAMPLE"), 4, "host/other.test.example", "keytab")


def test_a_principal_of_another_realm(rig: IpaRig) -> None:
    assert_told(rig.submit("-k", f"{CLIENT}@OTHER.EXAMPLE"), 4, "OTHER.EXAMPLE", "keytab")


def test_a_key_that_is_not_the_right_one_any_more(rig: IpaRig) -> None:
    name = "host/rekeyed.test.example"
    keytab = rig.root / "old.keytab"
    rig.realm.administer(f"addprinc -randkey {name}", f"ktadd -k {keytab} {name}", f"cpw -randkey {name}")
    assert_told(rig.submit("-k", name, "-t", str(keytab)), 4, name, "keytab")


def test_a_principal_that_was_removed(rig: IpaRig) -> None:
    name = "host/removed.test.example"
    keytab = rig.root / "removed.keytab"
    rig.realm.administer(f"addprinc -randkey {name}", f"ktadd -k {keytab} {name}", f"delprinc -force {name}")
    assert_told(rig.submit("-k", name, "-t", str(keytab)), 4, name, "not found in Kerberos database")


def test_no_kdc(rig: IpaRig) -> None:
    config = rig.realm.write_config("away.conf", free_port())
    done = rig.submit(environment={"KRB5_CONFIG": str(config)})
    assert_told(done, 3, "Cannot contact any KDC", "TEST.EXAMPLE")


def test_a_server_that_the_realm_does_not_know(rig: IpaRig) -> None:
    config = rig.root / "foreign.conf"
    config.write_text(rig.realm.config.read_text().replace("localhost = TEST", "localhost = FOREIGN"))
    done = rig.submit(environment={"KRB5_CONFIG": str(config)})
    assert_told(done, 3, rig.server.url, "Kerberos authentication failed", "FOREIGN.EXAMPLE")
    assert not rig.server.calls


def test_a_server_that_refuses_the_ticket(rig: IpaRig) -> None:
    other = rig.root / "other.keytab"
    rig.realm.administer("addprinc -randkey HTTP/elsewhere", f"ktadd -k {other} HTTP/elsewhere")
    rig.server.keytab = other
    assert_told(rig.submit(), 3, rig.server.url, "401")
    assert rig.server.refused == 1


def test_a_server_that_proves_to_be_another_one(rig: IpaRig) -> None:
    rig.server.spoils_its_token = True
    assert_told(rig.submit(), 3, rig.server.url, "Kerberos authentication failed")


def test_a_server_that_proves_itself_by_its_certificate_only(rig: IpaRig) -> None:
    rig.server.forgets_its_token = True
    assert rig.submit().returncode == 0


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_http_error(rig: IpaRig, status: int) -> None:
    rig.server.status, rig.server.answers = status, [b"out of order"]
    assert_told(rig.submit(), 3, rig.server.url, str(status), "out of order")


def test_a_huge_answer(rig: IpaRig) -> None:
    rig.server.answers = [b'"' + b"x" * (MAX_ANSWER_BYTES + 1) + b'"']
    assert_told(rig.submit(), 3, rig.server.url, "sent more than")


def test_deeply_nested_json(rig: IpaRig) -> None:
    rig.server.answers = [b"[" * 200_000]
    assert_told(rig.submit(), 3, rig.server.url)


def test_an_untrusted_server(rig: IpaRig) -> None:
    (rig.root / "foreign.pem").write_text(pem(make_certificate("Foreign CA", rsa_key("foreign"), ca=True)))
    assert_told(rig.submit("-c", str(rig.root / "foreign.pem")), 3, "cannot be reached", "certificate verify failed")
    assert not rig.server.calls
    assert not rig.server.refused


def test_a_server_under_another_name(rig: IpaRig) -> None:
    assert_told(rig.submit("-J", rig.server.url.replace("localhost", "127.0.0.1")), 3, "127.0.0.1")
    assert not rig.server.calls


def test_a_missing_ca_file(rig: IpaRig) -> None:
    assert_told(rig.submit("-c", str(rig.root / "none.pem")), 4, "none.pem")


def test_nobody_listens(rig: IpaRig) -> None:
    assert_told(rig.submit("-J", f"https://localhost:{free_port()}/ipa/json"), 3, "cannot be reached")


def test_an_address_that_is_none(rig: IpaRig) -> None:
    assert_told(rig.submit("-J", "ldap://localhost/"), 4, "ldap://localhost/")


def test_a_configuration_that_cannot_be_read(rig: IpaRig) -> None:
    (rig.root / "broken.conf").write_text("[global\nhost = x\n")
    done = rig.run(*rig.kerberos, "-P", PRINCIPAL, "--config", str(rig.root / "broken.conf"))
    assert_told(done, 4, "broken.conf")


async def test_a_server_that_does_not_answer(
    rig: IpaRig, realm: KerberosRealm, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.server.stall = threading.Event()
    monkeypatch.setenv("KRB5_CONFIG", str(realm.config))
    limits = Limits(exchange_s=0.5)
    with from_keytab(str(realm.keytab), CLIENT) as identity:
        async with HttpClient(tls=TlsSettings(ca_file=str(rig.ca_file)), limits=limits) as client:
            with pytest.raises(Unreachable, match="did not answer within the time limit"):
                await call(client, rig.server.url, ca_show_call(), identity)


def test_without_the_kerberos_library_the_missing_package_is_named(rig: IpaRig, tmp_path: Path) -> None:
    program = (
        "import certmonger_helpers.kerberos.library as library; library.LIBRARY = 'libabsent.so.2'\n"
        "import sys; from certmonger_helpers.ipa_submit import main; sys.exit(main())"
    )
    done = rig.submit(program=(OURS[0], "-c", program))
    assert_told(done, 4, "libgssapi-krb5-2")
