"""ipa-submit against a stand-in of FreeIPA whose Kerberos is real, and beside certmonger's own helper."""

import json
from pathlib import Path

import pytest
from cryptography import x509
from ipa_rig import ISSUED, ORIGINAL, OURS, PRINCIPAL, IpaRig, base64_of
from ipa_server import PASSWORD, USER, error, result
from kerberos_realm import CLIENT
from scep_material import certificate, pem, rsa_key

from certmonger_helpers.protocol import Operation


def sent(rig: IpaRig) -> list[dict[str, object]]:
    return [call["body"] for call in rig.server.calls]


def test_a_certificate_is_issued_to_who_has_the_keytab(rig: IpaRig) -> None:
    done = rig.submit()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert x509.load_pem_x509_certificate(done.stdout.encode()) == ISSUED
    (call,) = rig.server.calls
    assert call["user"] == f"{CLIENT}@TEST.EXAMPLE"
    assert rig.server.refused == 0


@pytest.mark.parametrize("options", [(), ("-T", "caIPAserviceCert"), ("-T", "p", "-X", "sub")])
def test_both_programs_send_the_same_call(rig: IpaRig, options: tuple[str, ...]) -> None:
    outputs = [rig.submit(*options, program=program) for program in (OURS, (ORIGINAL,))]
    assert [done.returncode for done in outputs] == [0, 0]
    assert outputs[0].stdout == outputs[1].stdout
    ours, original = rig.server.calls
    assert ours["body"] == original["body"]
    assert ours["user"] == original["user"]
    for name in ("Content-Type", "Accept", "Referer", "Host"):
        assert ours["headers"][name] == original["headers"][name]


@pytest.mark.parametrize(
    ("answer", "status", "first_line"),
    [
        (error(2100, "Insufficient access"), 2, "denied our request, giving up: 2100 (Insufficient access)."),
        (error(3009, "invalid 'csr'"), 2, "denied our request, giving up: 3009 (invalid 'csr')."),
        (error(4301, "Certificate operation failed"), 3, "failed request, will retry: 4301 (Certificate operation"),
        (error(907, "cannot connect"), 3, "failed request, will retry: 907 (cannot connect)."),
        (result(certificate=None), 2, None),
        (result(), 3, None),
        (b'{"result": null, "error": null}', 3, None),
        (b"not json", 3, None),
        (b"[]", 3, None),
    ],
)
def test_answers_end_as_with_the_original(rig: IpaRig, answer: bytes, status: int, first_line: str | None) -> None:
    rig.server.answers = [answer]
    done, original = rig.submit(), rig.submit(program=(ORIGINAL,))
    assert (done.returncode, original.returncode) == (status, status)
    line = done.stdout.splitlines()[0]
    assert line.startswith(f"Server at {rig.server.url} ")
    if first_line is not None:
        assert first_line in line
        assert original.stdout.splitlines()[0] == line


def test_a_server_that_knows_no_issuers_and_profiles_is_asked_without(rig: IpaRig) -> None:
    rig.server.answers = [error(3005, "Unknown option: cacn"), error(3005, "Unknown option: profile_id")]
    rig.server.answers.append(result(certificate=base64_of(ISSUED)))
    assert rig.submit("-T", "p", "-X", "sub").returncode == 0
    assert [set(body["params"][1]) for body in sent(rig)] == [  # type: ignore[index]
        {"principal", "profile_id", "cacn", "add"},
        {"principal", "profile_id", "add"},
        {"principal", "add"},
    ]


def test_an_unknown_option_that_nothing_can_be_done_about_is_a_refusal(rig: IpaRig) -> None:
    rig.server.answers = [error(3005, "Unknown option: add")]
    assert rig.submit("-T", "p").returncode == 2
    assert len(rig.server.calls) == 2


def test_the_variables_of_the_daemon_stand_in_for_options(rig: IpaRig) -> None:
    known = ("-J", rig.server.url, "-c", str(rig.ca_file), *rig.kerberos)
    variables = {
        "CERTMONGER_REQ_PRINCIPAL": f"{PRINCIPAL}\nHTTP/other@TEST.EXAMPLE",
        "CERTMONGER_CA_PROFILE": "from-variable",
        "CERTMONGER_CA_ISSUER": "sub",
    }
    assert rig.run(*known, environment=variables).returncode == 0
    assert sent(rig)[0]["params"][1] == {  # type: ignore[index]
        "principal": PRINCIPAL,
        "profile_id": "from-variable",
        "cacn": "sub",
        "add": True,
    }


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("jsonrpc_uri = {url}\n", ()),
        ("xmlrpc_uri = {xml}\nhost = nowhere.test.example\n", ()),
        ("server = {host}\nxmlrpc_uri = https://nowhere.test.example/ipa/xml\n", ()),
        ("host = {host}\n", ()),
        ("jsonrpc_uri = https://nowhere.test.example/ipa/json\n", ("-h", "{host}")),
        ("jsonrpc_uri = https://nowhere.test.example/ipa/json\n", ("-H", "{url}")),
    ],
)
def test_the_configuration_says_where_the_server_is(rig: IpaRig, text: str, options: tuple[str, ...]) -> None:
    url = rig.server.url
    places = {"url": url, "xml": url.replace("/json", "/xml"), "host": url.split("/")[2]}
    config = rig.root / "default.conf"
    config.write_text("[global]\nbasedn = dc=test\n" + text.format(**places))
    known = ("--config", str(config), "-c", str(rig.ca_file), *rig.kerberos, "-P", PRINCIPAL)
    done = rig.run(*known, *(option.format(**places) for option in options))
    assert done.returncode == 0, done.stdout


def test_no_server_at_all_is_a_missing_setting(rig: IpaRig) -> None:
    done = rig.run("--config", str(rig.root / "none"), *rig.kerberos, "-P", PRINCIPAL)
    assert done.returncode == 4
    assert "Unable to determine location" in done.stdout


def test_roots_come_from_the_api_with_the_realms_name(rig: IpaRig) -> None:
    ca, root = certificate("IPA CA", rsa_key("ipa ca")), certificate("Outer root", rsa_key("outer"))
    chain = [{"__base64__": base64_of(each)} for each in (ca, root)]
    rig.server.answers = [result(cn=["ipa"], certificate=base64_of(ca), certificate_chain=chain)]
    done = rig.submit("-d", "test.example", environment={"CERTMONGER_OPERATION": "FETCH-ROOTS"})
    assert done.returncode == 0, done.stdout
    assert done.stdout == f"TEST.EXAMPLE IPA CA\n{pem(ca)}TEST.EXAMPLE IPA CA\n{pem(root)}"
    assert sent(rig) == [{"method": "ca_show", "params": [["ipa"], {"chain": True}]}]


@pytest.mark.parametrize(
    ("answer", "status"),
    [(error(2100, "Insufficient access"), 2), (error(4001, "ipa: CA not found"), 3), (result(certificate="AAAA"), 3)],
)
def test_roots_that_are_not_told_are_not_made_up(rig: IpaRig, answer: bytes, status: int) -> None:
    rig.server.answers = [answer]
    done = rig.submit("-d", "test.example", environment={"CERTMONGER_OPERATION": "FETCH-ROOTS"})
    assert done.returncode == status
    assert "CERTIFICATE" not in done.stdout


@pytest.mark.parametrize("is_file", [True, False])
def test_a_user_logs_in_with_a_password(rig: IpaRig, tmp_path: Path, is_file: bool) -> None:
    rig.server.takes_basic = True
    (tmp_path / "password").write_text(PASSWORD + "\n")
    how = ("-w", str(tmp_path / "password")) if is_file else ("-W", PASSWORD)
    done = rig.run("-J", rig.server.url, "-c", str(rig.ca_file), "-u", USER, *how, "-P", PRINCIPAL)
    assert done.returncode == 0, done.stdout
    assert rig.server.calls[0]["user"] == USER


def test_a_server_without_basic_is_logged_in_to_with_a_session(rig: IpaRig) -> None:
    rig.server.takes_sessions = True
    done = rig.run("-J", rig.server.url, "-c", str(rig.ca_file), "-u", USER, "-W", PASSWORD, "-P", PRINCIPAL)
    assert done.returncode == 0, done.stdout
    assert rig.server.calls[0]["path"] == "/ipa/session/json"


def test_a_wrong_password_is_told_and_not_shown(rig: IpaRig) -> None:
    rig.server.takes_sessions = rig.server.takes_basic = True
    done = rig.run("-vv", "-J", rig.server.url, "-c", str(rig.ca_file), "-u", USER, "-W", "guess", "-P", PRINCIPAL)
    assert done.returncode == 3
    assert "does not accept the credentials" in done.stdout
    assert "guess" not in done.stdout + done.stderr


def test_a_password_is_not_sent_in_clear(rig: IpaRig) -> None:
    done = rig.run("-J", rig.server.url.replace("https", "http"), "-u", USER, "-W", PASSWORD, "-P", PRINCIPAL)
    assert done.returncode == 4
    assert "not https" in done.stdout


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("-K", "-t", "x"), "The -t option can not be used with the -K option."),
        (("-K", "-k", "x"), "The -k option can not be used with the -K option."),
        (("-u", "x"), "Both -u and -W/-w options should be specified."),
        (("-W", "x"), "Both -u and -W/-w options should be specified."),
    ],
)
def test_options_that_exclude_each_other(rig: IpaRig, argv: tuple[str, ...], line: str) -> None:
    known = ("-J", rig.server.url, "-P", PRINCIPAL, *argv)
    done, original = rig.run(*known), rig.run(*known, program=(ORIGINAL,))
    assert (done.returncode, original.returncode) == (4, 4)
    assert done.stdout.splitlines()[0] == line


@pytest.mark.parametrize(("argv", "csr"), [((), "x"), (("-P", PRINCIPAL), ""), (("-P", PRINCIPAL), "no request")])
def test_what_is_missing_is_asked_for(rig: IpaRig, argv: tuple[str, ...], csr: str) -> None:
    environment = {"CERTMONGER_CSR": csr} if csr != "x" else {}
    known = ("-J", rig.server.url, "-c", str(rig.ca_file), *rig.kerberos, *argv)
    done = rig.run(*known, environment=environment)
    assert done.returncode == 4
    assert not rig.server.calls
    if csr != "no request":  # which the original would send
        assert rig.run(*known, program=(ORIGINAL,), environment=environment).returncode == 4


@pytest.mark.parametrize(
    "operation",
    [each.value for each in Operation if each.value not in {"SUBMIT", "POLL", "SCEP-QUERY"}],
)
def test_other_operations_are_answered_as_by_the_original(rig: IpaRig, operation: str) -> None:
    environment = {"CERTMONGER_OPERATION": operation}
    done, original = rig.run(environment=environment), rig.run(program=(ORIGINAL,), environment=environment)
    assert done.returncode == original.returncode
    assert done.stdout.replace("certmongerd", "certmonger").split()[:2] == original.stdout.split()[:2]


def test_polling_is_submitting(rig: IpaRig) -> None:
    assert rig.submit(environment={"CERTMONGER_OPERATION": "POLL"}).returncode == 0
    assert json.dumps(sent(rig)).count("cert_request") == 1
