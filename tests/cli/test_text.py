"""Text output against the recorded lines, from properties that are written down here."""

import base64
import hashlib
import time
from collections.abc import Iterator

import pytest
from cli.transcripts import Transcript, load_transcripts

from getcert.entries import CaEntry, Properties, RequestEntry
from getcert.text import ca_lines, request_lines, thumbprint, time_text

TRANSCRIPTS = {transcript.number: transcript for transcript in load_transcripts()}
LOCAL = CaEntry("/org/fedorahosted/certmonger/cas/CA4", Properties({"nickname": "local"}))
NOT_BEFORE, NOT_AFTER = 1705320000, 2352198659
FULL = {
    "nickname": "full",
    "status": "MONITORING",
    "stuck": False,
    "key-storage": "FILE",
    "key-file": "<DIR>/full.key",
    "key-pin-file": "<DIR>/pin",
    "cert-storage": "FILE",
    "cert-file": "<DIR>/full.crt",
    "ca": "/org/fedorahosted/certmonger/requests/CA4",
    "issuer": "CN=<UUID>,CN=Local Signing Authority",
    "subject": "O=Example Org,CN=full.example.org",
    "not-valid-before": NOT_BEFORE,
    "not-valid-after": NOT_AFTER,
    "email": ("a@example.org", "b@example.org"),
    "hostname": ("full.example.org", "alt.example.org"),
    "principal": ("HTTP/full.example.org@<REALM>", "other@OTHER.ORG"),
    "ku": "111",
    "eku": ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"),
    "template-profile": "profile1",
    "template-ms-certificate-template": "1.2.3.4:5:6",
    "template-issuer": "issuer1",
    "template-ip-address": ("192.0.2.1", "2001:db8::1"),
    "root-cert-files": ("<DIR>/ca.pem",),
    "cert-presave-command": "/bin/echo pre",
    "cert-postsave-command": "/bin/echo post",
    "monitoring": True,
    "autorenew": False,
}
NSS = {
    "nickname": "pin",
    "status": "NEWLY_ADDED_NEED_KEYINFO_READ_PIN",
    "stuck": True,
    "key-storage": "NSSDB",
    "key-database": "sql:/d",
    "key-nickname": "web",
    "key-token": "T",
    "key-pin": "secret",
    "cert-storage": "NSSDB",
    "cert-database": "sql:/d",
    "cert-nickname": "web",
    "cert-token": "",
}


def entry_of(values: dict[str, object]) -> RequestEntry:
    return RequestEntry("/org/fedorahosted/certmonger/requests/Request1", Properties(values))


def recorded_block(transcript: Transcript, head: str) -> list[str]:
    """The lines of one entry in a recorded list."""
    start = transcript.stdout.index(head)
    rest = transcript.stdout[start + 1 :]
    length = next((number for number, line in enumerate(rest) if not line.startswith("\t")), len(rest))
    return [head, *rest[:length]]


def test_a_request_with_everything_is_shown_as_recorded() -> None:
    shown = list(request_lines(entry_of(FULL), LOCAL, utc=True, verbose=False))
    recorded = recorded_block(TRANSCRIPTS[54], "Request ID 'full':")
    dates = iter((time_text(NOT_BEFORE, utc=True), time_text(NOT_AFTER, utc=True)))
    assert shown == [line.replace("<DATE>", next(dates)) if "<DATE>" in line else line for line in recorded]


def test_verbose_adds_requested_addresses_and_the_places_of_ca_certificates() -> None:
    plain = list(request_lines(entry_of(FULL), LOCAL, utc=True, verbose=False))
    verbose = list(request_lines(entry_of(FULL), LOCAL, utc=True, verbose=True))
    added = [line for line in verbose if line not in plain]
    assert added == [
        "\tIP address: 192.0.2.1,2001:db8::1",
        "\troot certificates saved to files:",
        "\t\t<DIR>/ca.pem",
    ]


def test_owner_and_permissions_are_shown_where_they_are_set() -> None:
    plain = list(request_lines(entry_of(FULL), LOCAL, utc=True, verbose=False))
    values = {**FULL, "key-owner": "root:ssl", "key-perms": 0o640, "cert-owner": "root", "cert-perms": 0o644}
    shown = list(request_lines(entry_of(values), LOCAL, utc=True, verbose=False))
    assert [line for line in shown if line not in plain] == [
        "\tkey owner: root:ssl",
        "\tkey permissions: 0640",
        "\tcertificate owner: root",
        "\tcertificate permissions: 0644",
    ]


def test_a_request_without_key_and_certificate_is_shown_as_recorded() -> None:
    values = {
        "nickname": "nokey",
        "status": "NEED_GUIDANCE",
        "stuck": True,
        "key-storage": "NONE",
        "cert-storage": "FILE",
        "cert-file": "<DIR>/nokey.crt",
        "monitoring": True,
        "autorenew": True,
    }
    shown = list(request_lines(entry_of(values), LOCAL, utc=False, verbose=False))
    assert shown == recorded_block(TRANSCRIPTS[66], "Request ID 'nokey':")


def test_a_database_is_shown_without_its_pin_and_without_an_unknown_token() -> None:
    shown = list(request_lines(entry_of(NSS), None, utc=False, verbose=False))
    assert "\tkey pair storage: type=NSSDB,location='sql:/d',nickname='web',token='T',pin set" in shown
    assert "\tcertificate: type=NSSDB,location='sql:/d',nickname='web'" in shown
    assert not any("secret" in line for line in shown)


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("new_york")
@pytest.mark.parametrize(
    ("seconds", "utc", "text"),
    [
        (NOT_BEFORE, False, "2024-01-15 07:00:00 EST"),
        (NOT_AFTER, False, "2044-07-15 08:30:59 EDT"),
        (NOT_BEFORE, True, "2024-01-15 12:00:00 UTC"),
        (0, False, "unknown"),
    ],
)
def test_times_are_shown_in_the_zone_of_the_user_or_in_utc(seconds: int, utc: bool, text: str) -> None:
    assert time_text(seconds, utc=utc) == text


def pem_of(content: bytes, *, newline: str = "\n") -> str:
    body = base64.b64encode(content).decode()
    return newline.join(("-----BEGIN X-----", body[:20], body[20:], "-----END X-----", ""))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_thumbprint_is_the_digest_of_the_content_in_groups(newline: str) -> None:
    content = b"x" * 40
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest().upper()
    grouped = " ".join(digest[start : start + 8] for start in range(0, 40, 8))
    assert thumbprint(pem_of(content, newline=newline), "sha1") == grouped


def test_text_without_a_pem_block_has_no_thumbprint() -> None:
    assert thumbprint("nothing", "sha1") is None


def test_a_request_to_a_scep_ca_shows_the_thumbprints_of_its_signing_request() -> None:
    ca = CaEntry(LOCAL.path, Properties({"nickname": "scep", "scep-ca-cert": pem_of(b"c" * 30)}))
    shown = list(request_lines(entry_of({**FULL, "csr": pem_of(b"r" * 40)}), ca, utc=True, verbose=False))
    digest = thumbprint(pem_of(b"r" * 40), "md5")
    assert f"\tsigning request thumbprint (MD5): {digest}" in shown
    assert shown.index(f"\tsigning request thumbprint (MD5): {digest}") < shown.index("\tCA: scep")


def test_an_external_ca_is_shown_as_recorded() -> None:
    values = {"nickname": "fake", "aka": "Fake CA (reject)", "external-helper": "<DIR>/fake-helper reject"}
    shown = ca_lines(
        CaEntry(LOCAL.path, Properties(values)),
        kind="EXTERNAL",
        serial="",
        config_path="<CASDIR>/<FILE>",
        verbose=True,
    )
    assert list(shown) == list(TRANSCRIPTS[34].stdout)


def test_the_internal_ca_is_shown_as_recorded() -> None:
    shown = ca_lines(
        CaEntry(LOCAL.path, Properties({"nickname": "SelfSign", "aka": "not shown"})),
        kind="INTERNAL:SELF",
        serial="01",
        config_path="",
        verbose=False,
    )
    assert list(shown) == recorded_block(TRANSCRIPTS[30], "CA 'SelfSign':")


def test_the_ca_of_a_request_is_found_below_the_right_node() -> None:
    assert entry_of(FULL).ca_path == LOCAL.path
    assert entry_of({"ca": LOCAL.path}).ca_path == LOCAL.path
    assert entry_of({}).ca_path == ""


def test_what_goes_on_by_itself_says_when() -> None:
    failed = RequestEntry("", Properties(FULL), Properties({"next-attempt": NOT_BEFORE, "attempts": 3}))
    renewed = RequestEntry("", Properties(FULL), Properties({"next-attempt": NOT_BEFORE, "attempts": 0}))
    rests = RequestEntry("", Properties(FULL), Properties({"next-attempt": 0, "attempts": 3}))
    line = "\tnext attempt: 2024-01-15 12:00:00 UTC"
    assert f"{line} (failed so far: 3)" in request_lines(failed, LOCAL, utc=True, verbose=False)
    assert line in request_lines(renewed, LOCAL, utc=True, verbose=False)
    assert "next attempt" not in "".join(request_lines(rests, LOCAL, utc=True, verbose=False))
