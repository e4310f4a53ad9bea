"""Every way to deliver a notification, and what happens when it fails."""

import asyncio
import email
import email.policy
import logging
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from fakes.smtp_server import SmtpServer
from pki_material import server_identity

from certmongerd.config.settings import MailSettings, MailTls
from certmongerd.core.effects import Notice
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import CertStorage, Notification, Request
from certmongerd.runner.notify import Delivery, Notifier
from certmongerd.runner.process import Launcher

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = Request(id=Nickname("web"), ca_name=CaName("corp"), cert_storage=CertStorage(location="/etc/web.crt"))
NO_SENDMAIL = MailSettings(sendmail="/nonexistent")
SAVED = 'The certificate in file "/etc/web.crt" was issued and saved.'


@dataclass(frozen=True)
class Wish:
    notification_method: str
    notification_destination: str
    mail: MailSettings = NO_SENDMAIL


@pytest.fixture
def notifier(launcher: Launcher, tmp_path: Path) -> Notifier:
    """Finds programs in the test's own folder first."""
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "OUT": str(tmp_path / "out")}
    return Notifier(
        launcher,
        environment,
        now=lambda: NOW,
        timeout_s=30,
        syslog_socket=str(tmp_path / "log"),
        journal_socket=str(tmp_path / "journal"),
    )


async def saved(notifier: Notifier, method: str, destination: str, mail: MailSettings | None = None) -> Delivery:
    """Tell that the certificate was saved."""
    wish = Wish(method, destination, mail) if mail is not None else Wish(method, destination)
    return await notifier.notify(REQUEST, Notice.ISSUED_SAVED, wish)


def parsed(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_a_command_gets_the_message_in_its_environment(notifier: Notifier, tmp_path: Path) -> None:
    command = """sh -c 'printf "%s|%s|%s" "$CERTMONGER_NOTIFICATION" "$CERTMONGER_REQUEST_NICKNAME" """
    command += """"$CERTMONGER_NOTIFICATION_EVENT" > "$OUT"'"""
    delivery = await notifier.notify(REQUEST, Notice.ISSUED_SAVED, Wish("command", command))
    assert delivery.delivered
    assert (tmp_path / "out").read_text() == f"{SAVED}|web|issued-saved"


async def test_a_command_that_fails_is_reported(notifier: Notifier, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    delivery = await notifier.notify(REQUEST, Notice.ISSUED_SAVED, Wish("command", "false"))
    assert not delivery.delivered
    assert delivery.reason == '"false" ended with status 1'
    assert '"web": notification not delivered' in caplog.text


@pytest.mark.parametrize("command", ["", "'open", "/nonexistent"])
async def test_an_unusable_command_is_reported(notifier: Notifier, command: str) -> None:
    delivery = await saved(notifier, "command", command)
    assert not delivery.delivered
    assert delivery.reason


def program(path: Path) -> None:
    """Writes its arguments and what it reads to the file that OUT names."""
    path.parent.mkdir(exist_ok=True)
    path.write_text('#!/bin/sh\nprintf "%s|" "$@" > "$OUT"\ncat >> "$OUT"\n')
    path.chmod(0o755)


async def test_sendmail_gets_a_message_with_subject_and_details(notifier: Notifier, tmp_path: Path) -> None:
    program(tmp_path / "sendmail")
    mail = MailSettings(sendmail=str(tmp_path / "sendmail"), sender="c@example.org")
    delivery = await saved(notifier, "mail", "root@example.org, admin", mail)
    assert delivery.delivered
    arguments, _, content = (tmp_path / "out").read_bytes().rpartition(b"|")
    assert arguments == b"-i|-f|c@example.org|--|root@example.org|admin"
    message = parsed(content)
    assert message["Subject"] == SAVED
    assert (message["To"], message["From"]) == ("root@example.org, admin", "c@example.org")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().splitlines()[:4] == [SAVED, "", "Request: web", "CA: corp"]


async def test_a_sendmail_that_fails_is_reported_with_what_it_said(notifier: Notifier, tmp_path: Path) -> None:
    path = tmp_path / "sendmail"
    path.write_text("#!/bin/sh\necho no route >&2\nexit 75\n")
    path.chmod(0o755)
    delivery = await saved(notifier, "mail", "root", MailSettings(sendmail=str(path)))
    assert delivery.reason == f'"{path}" ended with status 75: no route'


async def test_without_sendmail_the_mail_command_has_the_message_as_subject(notifier: Notifier, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "mail")
    delivery = await saved(notifier, "mail", "root@example.org")
    assert delivery.delivered
    assert (tmp_path / "out").read_text().startswith(f"-s|{SAVED}|root@example.org|{SAVED}\n\nRequest: web\n")


@pytest.mark.parametrize("address", ["-Sprogram", "", "a b", "root,,", "x\ny", "a@b@c", "<root>"])
async def test_what_is_no_mail_address_is_not_passed_on(notifier: Notifier, tmp_path: Path, address: str) -> None:
    program(tmp_path / "sendmail")
    delivery = await saved(notifier, "mail", address, MailSettings(sendmail=str(tmp_path / "sendmail")))
    assert "is no mail address" in delivery.reason
    assert not (tmp_path / "out").exists()


async def test_an_smtp_server_gets_the_message(notifier: Notifier) -> None:
    async with SmtpServer().serving() as server:
        mail = MailSettings(smtp_server=("127.0.0.1", server.port), sender="c@example.org")
        delivery = await saved(notifier, "mail", "root@example.org,admin@example.org", mail)
    assert delivery == Delivery(delivered=True)
    said = [line.lower() for line in server.said]
    assert any(line.startswith("mail from:<c@example.org>") for line in said)
    assert {line for line in said if line.startswith("rcpt")} == {
        "rcpt to:<root@example.org>",
        "rcpt to:<admin@example.org>",
    }
    (message,) = map(parsed, server.messages)
    assert message["Subject"] == SAVED
    assert message["To"] == "root@example.org, admin@example.org"


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of 127.0.0.1 in one file."""
    path = tmp_path_factory.mktemp("smtp") / "server.pem"
    path.write_bytes(server_identity("127.0.0.1"))
    return path


@pytest.mark.parametrize("tls", [MailTls.STARTTLS, MailTls.TLS])
@pytest.mark.parametrize("is_trusted", [True, False])
async def test_an_smtp_server_is_checked_before_it_learns_anything(
    notifier: Notifier, identity: Path, tmp_path: Path, tls: MailTls, is_trusted: bool
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity)
    (tmp_path / "password").write_text("secret\n")
    server = SmtpServer(password="secret", starttls=context if tls is MailTls.STARTTLS else None)
    async with server.serving(context if tls is MailTls.TLS else None):
        mail = MailSettings(
            smtp_server=("127.0.0.1", server.port),
            smtp_tls=tls,
            smtp_ca_file=str(identity) if is_trusted else "",
            smtp_user="u",
            smtp_password_file=str(tmp_path / "password"),
        )
        delivery = await saved(notifier, "mail", "root@example.org", mail)
    assert delivery.delivered is is_trusted, delivery.reason
    assert len(server.messages) == is_trusted
    if is_trusted:
        assert server.was_encrypted
    else:
        assert "CERTIFICATE_VERIFY_FAILED" in delivery.reason
        assert not any(line.startswith("AUTH") for line in server.said)


async def test_trouble_with_an_smtp_server_is_told(notifier: Notifier, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("guess\n")
    async with SmtpServer(password="secret", refused_recipient="nobody@").serving() as server:
        mail = MailSettings(smtp_server=("127.0.0.1", server.port))
        refused = await saved(notifier, "mail", "nobody@example.org", mail)
        login = replace(mail, smtp_user="u", smtp_password_file=str(tmp_path / "password"))
        locked_out = await saved(notifier, "mail", "root@example.org", login)
        unreadable = await saved(notifier, "mail", "root", replace(login, smtp_password_file="/nonexistent"))
    unreachable = await saved(notifier, "mail", "root", mail)
    assert refused.reason.endswith("it refused nobody@example.org")
    assert "it does not accept user and password" in locked_out.reason
    assert "guess" not in locked_out.reason
    assert "No such file or directory (/nonexistent)" in unreadable.reason
    assert "Connection refused" in unreachable.reason


async def test_syslog_gets_priority_and_message(notifier: Notifier, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        log.settimeout(10)
        delivery = await saved(notifier, "syslog", "local3.err")
        message = log.recv(1000).decode()
    assert delivery.delivered
    assert message.startswith("<155>")
    assert message.endswith(f"]: {SAVED}")


async def test_the_journal_gets_fields(notifier: Notifier, tmp_path: Path) -> None:
    request = replace(REQUEST, ca_error="first\nsecond")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(10)
        delivery = await notifier.notify(request, Notice.REJECTION, Wish("syslog", "local3.err"))
        entry = journal.recv(4000)
    assert delivery.delivered
    length = len("first\nsecond").to_bytes(8, "little")
    assert b"CERTMONGER_ERROR\n" + length + b"first\nsecond\n" in entry
    fields = dict(line.split("=", 1) for line in entry.partition(b"CERTMONGER_ERROR")[0].decode().splitlines()[3:])
    assert fields == {
        "PRIORITY": "3",
        "SYSLOG_FACILITY": "19",
        "SYSLOG_IDENTIFIER": "certmonger",
        "MESSAGE_ID": "58aa9052b4cd4d61a2e604f557c9a3d6",
        "CERTMONGER_EVENT": "rejection",
        "CERTMONGER_REQUEST": "web",
        "CERTMONGER_CA": "corp",
        "CERTMONGER_STATE": "NEWLY_ADDED",
        "CERTMONGER_CERT_LOCATION": "/etc/web.crt",
    }


def fill(path: Path) -> int:
    """Send to the socket at *path* until it is full; the number of messages."""
    sent = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, suppress(BlockingIOError):
        while True:
            other.sendto(b"full", socket.MSG_DONTWAIT, str(path))
            sent += 1
    return sent


async def test_a_full_system_log_is_waited_for_without_holding_up_anything(notifier: Notifier, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        log.settimeout(10)
        sent = fill(tmp_path / "log")
        telling = asyncio.create_task(saved(notifier, "syslog", "daemon.notice"))
        await asyncio.sleep(0.1)
        assert not telling.done()
        for _ in range(sent):
            assert log.recv(4000) == b"full"
        assert (await telling).delivered
        assert SAVED.encode() in log.recv(4000)


async def test_a_system_log_that_stays_full_is_reported(
    notifier: Notifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certmongerd.runner.notify._SYSLOG_TIMEOUT_S", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        fill(tmp_path / "log")
        delivery = await saved(notifier, "syslog", "daemon.notice")
        assert delivery == Delivery(delivered=False, reason=f"System log {tmp_path / 'log'}: timed out")


async def test_a_missing_system_log_is_reported(notifier: Notifier) -> None:
    delivery = await saved(notifier, "syslog", "daemon.notice")
    assert not delivery.delivered
    assert "No such file" in delivery.reason


async def test_standard_output_gets_one_line(notifier: Notifier, capfd: pytest.CaptureFixture[str]) -> None:
    delivery = await saved(notifier, "stdout", "")
    assert delivery.delivered
    assert capfd.readouterr().out == f"{SAVED}\n"


async def test_none_is_silence(notifier: Notifier, capfd: pytest.CaptureFixture[str]) -> None:
    delivery = await saved(notifier, "none", "daemon.notice")
    assert delivery.delivered
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (Notification(), "default"),
        (Notification(method="command", destination="sh -c 'echo own > \"$OUT\"'"), "own"),
        (Notification(destination="sh -c 'echo elsewhere > \"$OUT\"'"), "elsewhere"),
        (Notification(method="none"), ""),
    ],
)
async def test_a_request_can_have_its_own_way(
    notifier: Notifier, tmp_path: Path, own: Notification, expected: str
) -> None:
    out = tmp_path / "out"
    out.touch()
    wish = Wish("command", "sh -c 'echo default > \"$OUT\"'")
    await notifier.notify(replace(REQUEST, notification=own), Notice.ISSUED_SAVED, wish)
    assert out.read_text().strip() == expected
