"""Every way to deliver a notification, and what happens when it fails."""

import logging
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certmongerd.core.effects import Notice
from certmongerd.core.ids import Nickname
from certmongerd.core.model import CertStorage, Request
from certmongerd.runner.notify import Notifier
from certmongerd.runner.process import Launcher

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = Request(id=Nickname("web"), cert_storage=CertStorage(location="/etc/web.crt"))


@dataclass(frozen=True)
class Wish:
    notification_method: str
    notification_destination: str


@pytest.fixture
def notifier(launcher: Launcher, tmp_path: Path) -> Notifier:
    """Finds programs in the test's own folder first."""
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "OUT": str(tmp_path / "out")}
    return Notifier(launcher, environment, now=lambda: NOW, timeout_s=30, syslog_socket=str(tmp_path / "log"))


async def test_a_command_gets_the_message_in_its_environment(notifier: Notifier, tmp_path: Path) -> None:
    command = """sh -c 'printf "%s|%s|%s" "$CERTMONGER_NOTIFICATION" "$CERTMONGER_REQUEST_NICKNAME" """
    command += """"$CERTMONGER_NOTIFICATION_EVENT" > "$OUT"'"""
    delivery = await notifier.notify(REQUEST, Notice.ISSUED_SAVED, Wish("command", command))
    assert delivery.delivered
    assert (tmp_path / "out").read_text() == (
        'The certificate in file "/etc/web.crt" was issued and saved.|web|issued-saved'
    )


async def test_a_command_that_fails_is_reported(notifier: Notifier, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    delivery = await notifier.notify(REQUEST, Notice.ISSUED_SAVED, Wish("command", "false"))
    assert not delivery.delivered
    assert delivery.reason == '"false" ended with status 1'
    assert '"web": notification not delivered' in caplog.text


@pytest.mark.parametrize("command", ["", "'open", "/nonexistent"])
async def test_an_unusable_command_is_reported(notifier: Notifier, command: str) -> None:
    delivery = await notifier.deliver("text", method="command", destination=command)
    assert not delivery.delivered
    assert delivery.reason


async def test_mail_has_the_message_as_subject_and_body(notifier: Notifier, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "mail"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s|" "$@" > "$OUT"\ncat >> "$OUT"\n')
    program.chmod(0o755)
    delivery = await notifier.deliver("It expires.", method="mail", destination="root@example.org")
    assert delivery.delivered
    assert (tmp_path / "out").read_text() == "-s|It expires.|root@example.org|It expires.\n"


async def test_an_option_is_no_mail_address(notifier: Notifier) -> None:
    delivery = await notifier.deliver("text", method="mail", destination="-Sprogram")
    assert not delivery.delivered


async def test_syslog_gets_priority_and_message(notifier: Notifier, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        log.settimeout(10)
        delivery = await notifier.deliver("It expires.", method="syslog", destination="local3.err")
        message = log.recv(1000).decode()
    assert delivery.delivered
    assert message.startswith("<155>")
    assert message.endswith("]: It expires.")


async def test_a_missing_system_log_is_reported(notifier: Notifier) -> None:
    delivery = await notifier.deliver("text", method="syslog", destination="daemon.notice")
    assert not delivery.delivered
    assert "No such file" in delivery.reason


async def test_standard_output_gets_one_line(notifier: Notifier, capfd: pytest.CaptureFixture[str]) -> None:
    delivery = await notifier.deliver("It expires.", method="stdout", destination="")
    assert delivery.delivered
    assert capfd.readouterr().out == "It expires.\n"


async def test_none_is_silence(notifier: Notifier, capfd: pytest.CaptureFixture[str]) -> None:
    delivery = await notifier.deliver("It expires.", method="none", destination="daemon.notice")
    assert delivery.delivered
    assert capfd.readouterr().out == ""
