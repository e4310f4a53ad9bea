"""The exact variables of helpers and hooks."""

from dataclasses import replace
from pathlib import Path

import pytest

from certmongerd.config.paths import Paths
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import (
    Ca,
    CertStorage,
    KeyAlgorithm,
    KeyRecord,
    KeyStorage,
    Request,
    ScepMessages,
    StorageType,
    Template,
)
from certmongerd.core.secret import Secret
from certmongerd.runner.environment import (
    HookMoment,
    base_environment,
    ca_data_environment,
    hook_environment,
    submission_environment,
)

PATHS = Paths(
    config_dir=Path("/etc/certmonger"),
    requests_dir=Path("/requests"),
    cas_dir=Path("/cas"),
    local_ca_dir=Path("/local"),
    tmpdir=Path("/tmp-dir"),
    lock_file=Path("/lock"),
    run_dir=Path("/run"),
)
BASE = {"PATH": "/bin"}
CA = Ca(id=CaName("corp"))
REQUEST = Request(id=Nickname("web"), key=KeyRecord(type=KeyAlgorithm.RSA, pubkey_info=b"\x30\x00"), csr="CSR\n")

FIXED = {
    "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/run/certmonger",
    "SHELL": "/bin/sh",
    "TERM": "dumb",
    "TMPDIR": "/tmp-dir",
    "CERTMONGER_CONFIG_DIR": "/etc/certmonger",
    "CERTMONGER_LOCAL_CA_DIR": "/local",
}


def test_nothing_is_passed_on_that_is_not_listed() -> None:
    removed = (
        "LD_LIBRARY_PATH LD_PRELOAD KRB5CCNAME KRB5_CONFIG SSL_CERT_FILE SSL_CERT_DIR OPENSSL_CONF NSS_X TZ LANGUAGE "
        "NLSPATH USER LOGNAME IFS ENV BASH_ENV TMP PYTHONPATH PYTHONHOME CERTMONGER_REQUESTS_DIR CERTMONGER_FOO FOO "
        "NOTIFY_SOCKET LISTEN_FDS CREDENTIALS_DIRECTORY"
    )
    assert base_environment(dict.fromkeys(removed.split(), "x"), paths=PATHS) == FIXED


def test_language_proxies_and_session_bus_are_passed_on() -> None:
    passed = {
        "LANG": "de_DE.UTF-8",
        "LC_MESSAGES": "C",
        "http_proxy": "a",
        "https_proxy": "b",
        "no_proxy": "c",
        "HTTP_PROXY": "d",
        "ALL_PROXY": "e",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/bus",
    }
    assert base_environment(passed, paths=PATHS) == FIXED | passed


def test_the_daemons_values_of_fixed_variables_are_not_used() -> None:
    assert base_environment(dict.fromkeys(FIXED, "x"), paths=PATHS) == FIXED


def test_the_private_address_is_passed_on_when_there_is_one() -> None:
    env = base_environment({}, paths=PATHS, private_address="unix:path=/p")
    assert env == FIXED | {"CERTMONGER_PVT_ADDRESS": "unix:path=/p"}


def test_questions_about_a_ca_name_the_operation_and_the_ca() -> None:
    assert ca_data_environment(BASE, CA, "FETCH-ROOTS") == BASE | {
        "CERTMONGER_OPERATION": "FETCH-ROOTS",
        "CERTMONGER_CA_NICKNAME": "corp",
    }


@pytest.mark.parametrize(
    ("operation", "is_set"), [("FETCH-SCEP-CA-CAPS", True), ("FETCH-SCEP-CA-CERTS", True), ("IDENTIFY", False)]
)
def test_scep_fetches_know_the_identifier(operation: str, is_set: bool) -> None:
    env = ca_data_environment(BASE, replace(CA, scep_ca_identifier="dept"), operation)
    assert env.get("CERTMONGER_SCEP_CA_IDENTIFIER") == ("dept" if is_set else None)


def test_a_submission_has_only_variables_with_a_value() -> None:
    assert submission_environment(BASE, REQUEST, CA, "SUBMIT") == BASE | {
        "CERTMONGER_OPERATION": "SUBMIT",
        "CERTMONGER_CA_NICKNAME": "corp",
        "CERTMONGER_CSR": "CSR\n",
        "CERTMONGER_SPKI": "MAA=",
        "CERTMONGER_KEY_TYPE": "RSA",
    }


def test_a_submission_has_everything_that_is_known() -> None:
    template = Template(
        subject="CN=web",
        hostname=("a", "b"),
        email=("m@x",),
        principal=("p@X", "q@X"),
        ip_address=("192.0.2.1",),
        profile="server",
        issuer="sub",
        challenge_password=Secret("never"),
    )
    request = replace(REQUEST, template=template, spkac="SPKAC", cert="PEM", ca_cookie="cookie")
    env = submission_environment({}, request, CA, "POLL")
    assert env == {
        "CERTMONGER_OPERATION": "POLL",
        "CERTMONGER_CA_NICKNAME": "corp",
        "CERTMONGER_CA_PROFILE": "server",
        "CERTMONGER_CA_ISSUER": "sub",
        "CERTMONGER_CA_COOKIE": "cookie",
        "CERTMONGER_CSR": "CSR\n",
        "CERTMONGER_SPKAC": "SPKAC",
        "CERTMONGER_SPKI": "MAA=",
        "CERTMONGER_KEY_TYPE": "RSA",
        "CERTMONGER_CERTIFICATE": "PEM",
        "CERTMONGER_REQ_SUBJECT": "CN=web",
        "CERTMONGER_REQ_HOSTNAME": "a\nb",
        "CERTMONGER_REQ_EMAIL": "m@x",
        "CERTMONGER_REQ_PRINCIPAL": "p@X\nq@X",
        "CERTMONGER_REQ_IP_ADDRESS": "192.0.2.1",
    }


def test_a_submission_has_no_cookie() -> None:
    env = submission_environment({}, replace(REQUEST, ca_cookie="cookie"), CA, "SUBMIT")
    assert "CERTMONGER_CA_COOKIE" not in env


def test_a_pending_rekey_describes_the_candidate_key() -> None:
    request = replace(REQUEST, key_next_marker="m", key_next=KeyRecord(type=KeyAlgorithm.EC, pubkey_info=b"\x31\x00"))
    env = submission_environment({}, request, CA, "SUBMIT")
    assert (env["CERTMONGER_SPKI"], env["CERTMONGER_KEY_TYPE"]) == ("MQA=", "EC")


SCEP = ScepMessages(nonce=b"n", req="REQ", gic="GIC", req_next="REQ2", gic_next="GIC2")
SCEP_CA = replace(
    CA, scep_ca_identifier="dept", encryption_cert="RA", encryption_issuer_cert="ROOT", encryption_cert_pool="POOL"
)


def scep_variables(request: Request) -> dict[str, str]:
    env = submission_environment({}, request, SCEP_CA, "SUBMIT")
    words = ("SCEP", "PKCSREQ", "GETCERTINITIAL")
    return {name: value for name, value in env.items() if any(word in name for word in words)}


CERTIFICATES = {
    "CERTMONGER_SCEP_CA_IDENTIFIER": "dept",
    "CERTMONGER_SCEP_RA_CERTIFICATE": "RA",
    "CERTMONGER_SCEP_CA_CERTIFICATE": "ROOT",
    "CERTMONGER_SCEP_CERTIFICATES": "POOL",
}


def test_fresh_scep_messages_are_passed() -> None:
    request = replace(REQUEST, scep=SCEP)
    assert scep_variables(request) == CERTIFICATES | {
        "CERTMONGER_PKCSREQ": "REQ",
        "CERTMONGER_GETCERTINITIAL": "GIC",
    }


def test_used_scep_messages_are_not_passed_again() -> None:
    request = replace(REQUEST, scep=replace(SCEP, last_nonce=b"n"))
    assert scep_variables(request) == CERTIFICATES


def test_messages_of_a_candidate_key_are_passed_while_a_rekey_is_pending() -> None:
    assert scep_variables(replace(REQUEST, scep=SCEP, key_next_marker="m")) == CERTIFICATES | {
        "CERTMONGER_PKCSREQ": "REQ",
        "CERTMONGER_GETCERTINITIAL": "GIC",
        "CERTMONGER_PKCSREQ_REKEY": "REQ2",
        "CERTMONGER_GETCERTINITIAL_REKEY": "GIC2",
    }


def test_a_candidate_key_has_messages_of_its_own_when_the_old_certificate_cannot_sign() -> None:
    messages = replace(SCEP, req="", gic="")
    assert scep_variables(replace(REQUEST, scep=messages, key_next_marker="m")) == CERTIFICATES | {
        "CERTMONGER_PKCSREQ_REKEY": "REQ2",
        "CERTMONGER_GETCERTINITIAL_REKEY": "GIC2",
    }


def test_pins_and_challenge_passwords_are_nowhere() -> None:
    request = replace(
        REQUEST,
        key_storage=KeyStorage(type=StorageType.FILE, location="/k", pin=Secret("pin-word"), pin_file="/pin-file"),
        template=Template(challenge_password=Secret("challenge-word"), challenge_password_file="/challenge-file"),
    )
    env = submission_environment({}, request, CA, "SUBMIT") | hook_environment({}, HookMoment.PRE_SAVE, request=request)
    for word in ("pin-word", "pin-file", "challenge-word", "challenge-file"):
        assert word not in repr(env)


def test_a_hook_knows_what_is_saved() -> None:
    request = replace(
        REQUEST,
        ca_name=CaName("corp"),
        cert_storage=CertStorage(type=StorageType.NSSDB, location="/db", nickname="n", token="t"),
        key_storage=KeyStorage(type=StorageType.FILE, location="/key.pem"),
    )
    assert hook_environment(BASE, HookMoment.POST_SAVE, request=request) == BASE | {
        "CERTMONGER_HOOK": "post-save",
        "CERTMONGER_REQUEST_NICKNAME": "web",
        "CERTMONGER_CA_NICKNAME": "corp",
        "CERTMONGER_CERT_STORAGE": "NSSDB",
        "CERTMONGER_CERT_LOCATION": "/db",
        "CERTMONGER_CERT_NICKNAME": "n",
        "CERTMONGER_CERT_TOKEN": "t",
        "CERTMONGER_KEY_STORAGE": "FILE",
        "CERTMONGER_KEY_LOCATION": "/key.pem",
    }


def test_a_hook_of_a_ca_knows_the_ca() -> None:
    env = hook_environment({}, HookMoment.PRE_SAVE, ca=CA)
    assert env == {"CERTMONGER_HOOK": "pre-save", "CERTMONGER_CA_NICKNAME": "corp"}
