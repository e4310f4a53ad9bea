"""The Dogtag helpers with --jsonrpc-url: the same steps, through the IPA server's interface and with Kerberos."""

import subprocess
from pathlib import Path

import pytest
from dogtag_rig import ours
from ipa_rig import ISSUED, IpaRig, base64_of
from ipa_server import error, result
from kerberos_realm import CLIENT
from scep_material import certificate, pem, rsa_key

PROGRAMS = [ours("dogtag-submit"), ours("dogtag-ipa-renew-agent-submit")]


def run(
    rig: IpaRig, *argv: str, program: tuple[str, ...] = PROGRAMS[0], given: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run with tickets in the default cache; *given* are variables of the daemon."""
    environment = {f"CERTMONGER_{name}": value for name, value in (given or {}).items()}
    cache = {"KRB5CCNAME": rig.realm.ticket(rig.root / "cache")}
    known = ("--jsonrpc-url", rig.server.url, "--cafile", str(rig.ca_file))
    return rig.run(*known, *argv, program=program, environment=cache | environment)


def poll(step: str) -> dict[str, str]:
    """The variables for going on with a request."""
    return {"OPERATION": "POLL", "CA_COOKIE": f"state={step}&requestId=12"}


def sent(rig: IpaRig) -> list[tuple[str, list[object]]]:
    return [(call["body"]["method"], call["body"]["params"]) for call in rig.server.calls]


def test_a_certificate_that_is_issued_at_once(rig: IpaRig) -> None:
    done = run(rig, "--force-new", "-T", "caIPAserviceCert")
    assert (done.returncode, done.stdout) == (0, pem(ISSUED))
    ((method, (arguments, options)),) = sent(rig)
    assert method == "cert_request"
    assert isinstance(arguments, list)
    assert isinstance(options, dict)
    assert options["profile_id"] == "caIPAserviceCert"
    assert options["principal"].startswith("host/")
    assert rig.server.calls[0]["user"] == f"{CLIENT}@TEST.EXAMPLE"


def test_freeipas_wrapper_calls_it_with_all_of_its_options(rig: IpaRig) -> None:
    config = rig.root / "default.conf"
    config.write_text("[global]\nhost = ipa.test.example\n")
    (rig.root / "agent.pem").write_text(pem(certificate("IPA RA", rsa_key("agent"))))
    files = ("--certfile", str(rig.root / "agent.pem"), "--keyfile", str(rig.root / "agent.pem"))
    options = ("--submit-option", "requestor_name=IPA", "--force-new", "--approval-option", "bypassCAnotafter=true")
    held = {"CERTIFICATE": pem(ISSUED), "CA_PROFILE": "caServerCert"}
    done = run(rig, "--config", str(config), *files, *options, program=PROGRAMS[1], given=held)
    assert (done.returncode, done.stdout) == (0, pem(ISSUED))
    ((_, (_, sent_options)),) = sent(rig)
    assert sent_options == {"principal": "host/ipa.test.example", "profile_id": "caServerCert"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_request_is_checked_and_fetched_by_its_number(rig: IpaRig, program: tuple[str, ...]) -> None:
    rig.server.by_method |= {
        "cert_request": result(request_id=12),
        "cert_status": result(cert_request_status="pending", request_id=12),
    }
    waiting = run(rig, program=program)
    assert (waiting.returncode, waiting.stdout) == (1, "state=check&requestId=12\n")
    cookie = {"OPERATION": "POLL", "CA_COOKIE": waiting.stdout.strip()}
    assert run(rig, program=program, given=cookie).stdout == waiting.stdout
    rig.server.by_method |= {
        "cert_status": result(cert_request_status="complete", serial_number="0xd"),
        "cert_show": result(certificate=base64_of(ISSUED)),
    }
    ready = run(rig, program=program, given=cookie)
    assert (ready.returncode, ready.stdout) == (5, "0\nstate=retrieve&requestId=12\n")
    done = run(rig, program=program, given=poll("retrieve"))
    assert (done.returncode, done.stdout) == (0, pem(ISSUED))
    assert sent(rig)[-1] == ("cert_show", [["0xd"], {}])


def test_an_agent_approves(rig: IpaRig) -> None:
    rig.server.by_method |= {"cert_request": result(request_id=12), "cert_approve": result()}
    agent = ("-c", str(rig.ca_file), "-k", str(rig.ca_file))
    assert run(rig, *agent).stdout == "0\nstate=approve&requestId=12\n"
    done = run(rig, *agent, given=poll("approve"))
    assert (done.returncode, done.stdout) == (5, "0\nstate=retrieve&requestId=12\n")


def test_profiles_are_listed(rig: IpaRig) -> None:
    found = b'[{"cn": ["caIPAserviceCert"]}, {"cn": ["IECUserRoles"]}, 7]'
    rig.server.by_method["certprofile_find"] = b'{"result": {"result": %s, "count": 2}, "error": null}' % found
    done = run(rig, given={"OPERATION": "GET-SUPPORTED-TEMPLATES"})
    assert (done.returncode, done.stdout) == (0, "caIPAserviceCert\nIECUserRoles\n")


@pytest.mark.parametrize(
    ("answer", "variables", "status", "words"),
    [
        (error(2100, "Insufficient access"), {}, 2, "2100 (Insufficient access)"),
        (error(4301, "CA is down"), {}, 3, "4301 (CA is down)"),
        (b"[]", {}, 3, "not a JSON object"),
        (result(), {}, 2, "neither issued a certificate"),
        (result(cert_request_status="rejected"), {"CA_COOKIE": "state=check&requestId=12"}, 2, "12 is rejected"),
        (result(), {"OPERATION": "GET-SUPPORTED-TEMPLATES"}, 3, "without a list"),
    ],
)
def test_what_goes_wrong_is_told(
    rig: IpaRig, answer: bytes, variables: dict[str, str], status: int, words: str
) -> None:
    rig.server.answers = [answer]
    done = run(rig, given=variables)
    assert done.returncode == status, done.stdout
    assert words in done.stdout


@pytest.mark.parametrize(
    ("argv", "variables", "words"),
    [
        (("-u", "joe"), {}, "user names"),
        (("-s", "1F"), {}, "add -N"),
        ((), {"CERTIFICATE": pem(ISSUED)}, "add -N"),
        (("-O", "nothing"), {}, "param=value"),
        ((), {"CSR": "nonsense"}, "signing request"),
    ],
)
def test_what_ipas_interface_cannot_do_is_refused(
    rig: IpaRig, argv: tuple[str, ...], variables: dict[str, str], words: str
) -> None:
    done = run(rig, *argv, given=variables)
    assert done.returncode == 4, done.stdout
    assert words in done.stdout
    assert not rig.server.calls


def test_without_tickets_nothing_is_sent(rig: IpaRig, tmp_path: Path) -> None:
    known = ("-J", rig.server.url, "-i", str(rig.ca_file))
    done = rig.run(*known, program=PROGRAMS[0], environment={"KRB5CCNAME": f"FILE:{tmp_path}/none"})
    assert done.returncode == 3
    assert "default cache" in done.stdout
    assert not rig.server.calls
