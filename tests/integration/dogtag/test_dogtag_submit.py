"""dogtag-submit beside certmonger's own: the same requests on the wire, the same ends."""

from pathlib import Path

import pytest
from cryptography import x509
from dogtag_rig import BASE64, ISSUED, DogtagRig, originals, ours
from dogtag_server import DEFERRED, checked, issued, processed, profile_list, refused, retrieved, review
from scep_material import pem

NAME = "dogtag-submit"
DEFAULTS = (
    ("name", "CN=www & co", "-", "string"),
    ("fixed", "yes", "readonly", "string"),
    ("keyType", None, "RSA,EC", "choice"),
    ("absent", None, "-", "string"),
)


def assert_alike(rig: DogtagRig, *argv: str, status: int, output: str | None = None, **variables: str) -> str:
    """Both programs send the same and end with the same status and output; ours is returned."""
    rig.server.seen.clear()
    done = rig.run(*argv, program=ours(NAME), **variables)
    sent = list(rig.server.seen)
    rig.server.seen.clear()
    original = rig.run(*argv, program=originals(NAME), **variables)
    assert sent == rig.server.seen
    assert (done.returncode, original.returncode) == (status, status), done.stdout
    if output is not None:
        assert (done.stdout, original.stdout) == (output, output)
    return done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("-T", "caOther"),
        ("-s", "1F"),
        ("-D", "31"),
        ("-s", "1F", "-N"),
        ("-D", "31", "-R"),
        ("-u", "joe", "-U", "uid=joe", "-W", "pass word", "-Y", "1+1"),
        ("-u", "joe", "-W", "x", "-o", "uid=other", "-o", "more=a b&c=ü"),
    ],
)
def test_submissions_are_alike(rig: DogtagRig, argv: tuple[str, ...]) -> None:
    rig.server.answers["profileSubmit"] = DEFERRED
    assert_alike(rig, *rig.ee, *argv, status=1, output="state=check&requestId=12\n")


@pytest.mark.parametrize("argv", [(), ("-N",)])
def test_a_certificate_that_is_held_is_renewed_by_its_number(rig: DogtagRig, argv: tuple[str, ...]) -> None:
    rig.server.answers["profileSubmit"] = DEFERRED
    assert_alike(rig, *rig.ee, *argv, status=1, CERTIFICATE=pem(ISSUED), CA_PROFILE="caVariable")
    form = dict(rig.server.seen[0].form)
    assert form["profileId"] == "caVariable"
    assert form.get("serial_num") == (None if argv else str(ISSUED.serial_number))


def test_a_certificate_that_is_issued_at_once(rig: DogtagRig) -> None:
    rig.server.answers["profileSubmit"] = issued(BASE64)
    assert_alike(rig, *rig.ee, status=0, output=pem(ISSUED))


def test_the_whole_way_with_an_agent(rig: DogtagRig) -> None:
    rig.server.answers |= {
        "profileSubmit": DEFERRED,
        "profileReview": review(*DEFAULTS),
        "profileProcess": processed("complete"),
        "displayCertFromRequest": retrieved(pem(ISSUED)),
    }
    cookie = ""
    for expected in ("0\nstate=approve&requestId=12\n", "0\nstate=retrieve&requestId=12\n"):
        operation = {"OPERATION": "POLL", "CA_COOKIE": cookie} if cookie else {}
        assert_alike(rig, *rig.agent, status=5, output=expected, **operation)
        cookie = expected.split("\n")[1]
    assert_alike(rig, *rig.agent, status=0, output=pem(ISSUED), OPERATION="POLL", CA_COOKIE=cookie)


def test_only_the_agents_services_see_the_agents_certificate(rig: DogtagRig) -> None:
    rig.server.answers |= {"profileReview": review(*DEFAULTS), "profileProcess": processed("complete")}
    assert_alike(rig, *rig.agent, "-S", "state=approve&requestId=12", status=5)
    review_seen, process_seen = rig.server.seen
    assert review_seen.has_client_certificate
    assert process_seen.has_client_certificate
    assert process_seen.form[3:] == (("name", "CN=www & co"), ("keyType", "RSA"))
    rig.server.seen.clear()
    rig.server.answers["checkRequest"] = checked("complete")
    assert_alike(rig, *rig.agent, "-E", rig.server.secure_ee_url, "-S", "state=check&requestId=12", status=5)
    assert not rig.server.seen[0].has_client_certificate


def test_approval_options_replace_defaults_and_add(rig: DogtagRig) -> None:
    rig.server.answers |= {"profileReview": review(*DEFAULTS), "profileProcess": processed("complete")}
    options = ("-S", "state=review&requestId=12", "-O", "name=CN=new", "-O", "more=1")
    assert_alike(rig, *rig.agent, *options, status=5)
    assert rig.server.seen[1].form[3:] == (("keyType", "RSA"), ("name", "CN=new"), ("more", "1"))


def test_an_agent_can_submit_as_such(rig: DogtagRig) -> None:
    rig.server.answers["profileSubmitSSLClient"] = DEFERRED
    assert_alike(rig, *rig.agent, "-E", rig.server.secure_ee_url, "-a", status=5)
    assert rig.server.seen[0].has_client_certificate


@pytest.mark.parametrize(
    ("status", "is_agent", "code", "output"),
    [
        ("pending", False, 1, "state=check&requestId=12\n"),
        ("pending", True, 5, "0\nstate=approve&requestId=12\n"),
        ("complete", False, 5, "0\nstate=retrieve&requestId=12\n"),
        ("rejected", False, 2, None),
        ("canceled", True, 2, None),
        ("odd", False, 2, None),
    ],
)
def test_polling(rig: DogtagRig, status: str, is_agent: bool, code: int, output: str | None) -> None:
    rig.server.answers["checkRequest"] = checked(status)
    known = rig.agent if is_agent else rig.ee
    variables = {"OPERATION": "POLL", "CA_COOKIE": "state=check&requestId=12"}
    told = assert_alike(rig, *known, status=code, output=output, **variables)
    if output is None:
        assert status in told


@pytest.mark.parametrize("cookie", ["nonsense", "state=odd&requestId=12"])
def test_a_cookie_that_is_not_understood_begins_anew(rig: DogtagRig, cookie: str) -> None:
    rig.server.answers["profileSubmit"] = DEFERRED
    assert_alike(rig, *rig.ee, "-S", cookie, status=1, output="state=check&requestId=12\n")


@pytest.mark.parametrize(
    ("service", "answer", "argv", "reason"),
    [
        ("profileSubmit", refused("Profile caX Not Found"), (), "Profile caX Not Found"),
        ("profileSubmit", processed("", "1", "Missing"), (), "1: Missing"),
        ("checkRequest", checked("rejected", "bad luck"), ("-S", "state=check&requestId=12"), "bad luck"),
        ("displayCertFromRequest", retrieved("", "nothing"), ("-S", "state=fetch&requestId=12"), "nothing"),
    ],
)
def test_refusals_are_told_in_the_servers_words(
    rig: DogtagRig, service: str, answer: str, argv: tuple[str, ...], reason: str
) -> None:
    rig.server.answers[service] = answer
    told = assert_alike(rig, *rig.ee, *argv, status=2)
    assert told == f'Server at "{rig.server.ee_url}/{service}" replied: {reason}\n'


def test_an_approval_that_is_refused(rig: DogtagRig) -> None:
    rig.server.answers |= {"profileReview": review(*DEFAULTS), "profileProcess": processed("rejected", "1", "no")}
    told = assert_alike(rig, *rig.agent, "-S", "state=approve&requestId=12", status=2)
    assert told.endswith("replied: 1: no\n")


def test_a_review_that_is_refused_is_not_processed(rig: DogtagRig) -> None:
    rig.server.answers["profileReview"] = review(code="1", reason="Request Not Found")
    done = rig.run(*rig.agent, "-S", "state=approve&requestId=12")
    assert (done.returncode, len(rig.server.seen)) == (2, 1)
    assert "Request Not Found" in done.stdout


@pytest.mark.parametrize("variables", [{}, {"OPERATION": "GET-SUPPORTED-TEMPLATES"}])
def test_profiles_that_can_be_used_are_listed(rig: DogtagRig, variables: dict[str, str]) -> None:
    rig.server.answers["profileList"] = profile_list(
        ("caServerCert", True, True), ("caOff", False, True), ("caHidden", True, False), ("caUserCert", True, True)
    )
    argv = () if variables else ("-t",)
    assert_alike(rig, *rig.ee, *argv, status=0, output="caServerCert\ncaUserCert\n", **variables)


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("-E", "{ee}", "-R"),
        ("-E", "{ee}", "-O", "a=b"),
        ("-E", "{ee}", "-o", "ab"),
        ("-E", "{ee}", "-a"),
        ("-E", "{ee}", "-S", "state=approve&requestId=12"),
    ],
)
def test_what_is_missing_is_told(rig: DogtagRig, argv: tuple[str, ...]) -> None:
    assert_alike(rig, *(option.format(ee=rig.server.ee_url) for option in argv), status=4)
    assert not rig.server.seen


def test_no_request_at_all(rig: DogtagRig) -> None:
    assert_alike(rig, *rig.ee, status=4, CSR="")


@pytest.mark.parametrize(
    "operation", ["IDENTIFY", "GET-NEW-REQUEST-REQUIREMENTS", "GET-DEFAULT-TEMPLATE", "FETCH-ROOTS"]
)
@pytest.mark.parametrize("name", ["dogtag-submit", "dogtag-ipa-renew-agent-submit"])
def test_other_operations_are_answered_as_by_the_original(rig: DogtagRig, name: str, operation: str) -> None:
    done = rig.run(program=ours(name), OPERATION=operation)
    original = rig.run(program=originals(name), OPERATION=operation)
    assert done.returncode == original.returncode
    assert done.stdout.split("(certmonger")[0] == original.stdout.split("(certmonger")[0]


def test_the_agents_key_can_have_a_pin(rig: DogtagRig) -> None:
    rig.server.answers |= {"profileReview": review(), "profileProcess": processed("complete")}
    known = (*rig.agent, "-k", str(rig.root / "pin.key"), "-S", "state=approve&requestId=12")
    assert rig.run(*known, "-p", str(rig.root / "pin")).returncode == 5
    wrong = rig.run(*known)
    assert wrong.returncode == 4
    assert "pin.key" in wrong.stdout


def test_the_certificate_is_read_back_unchanged(rig: DogtagRig) -> None:
    rig.server.answers["displayCertFromRequest"] = retrieved(pem(ISSUED))
    done = rig.run(*rig.ee, "-S", "state=retrieve&requestId=12")
    assert x509.load_pem_x509_certificate(done.stdout.encode()) == ISSUED


def test_passwords_come_from_files(rig: DogtagRig, tmp_path: Path) -> None:
    rig.server.answers["profileSubmit"] = DEFERRED
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "user-pin").write_text("1234")
    files = ("-w", str(tmp_path / "password"), "-y", str(tmp_path / "user-pin"))
    done = rig.run(*rig.ee, "-vv", "-u", "joe", *files)
    assert rig.server.seen[0].form[-3:] == (("uid", "joe"), ("pwd", "secret"), ("pin", "1234"))
    assert "secret" not in done.stderr
    assert "1234" not in done.stderr
