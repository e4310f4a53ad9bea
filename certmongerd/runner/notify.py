"""Telling people about certificates: by syslog or journal, mail, a command, or standard output."""

import asyncio
import logging
import os
import select
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from certmongerd.config.settings import MailSettings
from certmongerd.config.syslog_priority import priority
from certmongerd.core.effects import Notice
from certmongerd.core.errors import InvalidValue, LaunchError
from certmongerd.core.model import Request
from certmongerd.journal import JOURNAL_SOCKET, send_datagram, send_entry
from certmongerd.runner.announcement import compose, details, journal_fields
from certmongerd.runner.process import Launcher
from certmongerd.runner.words import split_command

_log = logging.getLogger(__name__)

TIMEOUT_S: Final = 60.0
SYSLOG_SOCKET: Final = "/dev/log"
_SYSLOG_TIMEOUT_S: Final = 1.0
_IDENT: Final = "certmonger"


class NotificationSettings(Protocol):
    """How people want to be told."""

    @property
    def notification_method(self) -> str:
        """`syslog`, `mail`, `command`, `stdout` or `none`."""

    @property
    def notification_destination(self) -> str:
        """Syslog facility and level, mail addresses, or command."""

    @property
    def mail(self) -> MailSettings:
        """How mail leaves this host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is to be told."""

    text: str
    """One line."""
    details: str = ""
    """Further lines, for mail."""
    variables: Mapping[str, str]
    """For commands, in their environment."""
    fields: Mapping[str, str]
    """For the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of a notification."""

    delivered: bool
    reason: str = ""
    """Why it was not delivered."""


class Notifier:
    """Delivers notifications. Trouble is logged and returned, never raised."""

    def __init__(
        self,
        launcher: Launcher,
        base_environment: Mapping[str, str],
        *,
        now: Callable[[], datetime],
        timeout_s: float = TIMEOUT_S,
        syslog_socket: str = SYSLOG_SOCKET,
        journal_socket: str = JOURNAL_SOCKET,
    ) -> None:
        self._launcher = launcher
        self._base_environment = base_environment
        self._now = now
        self._timeout_s = timeout_s
        self._sockets = (journal_socket, syslog_socket)

    async def notify(self, request: Request, notice: Notice, settings: NotificationSettings) -> Delivery:
        """Tell about *notice* of *request* in the way that the request, or else *settings*, asks for."""
        message = Message(
            text=compose(request, notice, self._now()),
            details=details(request),
            variables={"CERTMONGER_REQUEST_NICKNAME": request.id, "CERTMONGER_NOTIFICATION_EVENT": notice.value},
            fields=journal_fields(request, notice),
        )
        own = request.notification
        destination = own.destination or ("" if own.method else settings.notification_destination)
        delivery = await self._deliver(message, own.method or settings.notification_method, destination, settings.mail)
        if not delivery.delivered:
            _log.warning('Request "%s": notification not delivered (%s): %s', request.id, delivery.reason, message.text)
        return delivery

    async def _deliver(self, message: Message, method: str, destination: str, mail: MailSettings) -> Delivery:
        match method:
            case "none":
                return Delivery(delivered=True)
            case "stdout":
                return _print(message.text)
            case "mail":
                return await self._mail(message, destination, mail)
            case "command":
                return await self._run_command(message, destination)
            case _:
                return await _log_message(message, destination or _DEFAULT_LOG, self._sockets)

    async def _mail(self, message: Message, destination: str, settings: MailSettings) -> Delivery:
        """By the SMTP server that is configured, else by sendmail, else by mail, as certmonger does."""
        from certmongerd.runner.mail import MailNotSent, addresses_in, compose_mail, send_by_smtp

        body = f"{message.text}\n\n{message.details}"
        try:
            recipients = addresses_in(destination)
            server = settings.smtp_server
            if server is not None:
                await asyncio.to_thread(send_by_smtp, message.text, body, recipients, server, settings, self._timeout_s)
                return Delivery(delivered=True)
        except InvalidValue as exc:
            return Delivery(delivered=False, reason=exc.reason)
        except MailNotSent as exc:
            return Delivery(delivered=False, reason=str(exc))
        if os.access(settings.sendmail, os.X_OK):
            argv = [settings.sendmail, "-i", *(["-f", settings.sender] if settings.sender else []), "--", *recipients]
            composed = compose_mail(message.text, body, recipients, settings.sender)
            return await self._run(argv, self._base_environment, stdin=composed.as_bytes())
        return await self._run(["mail", "-s", message.text, *recipients], self._base_environment, stdin=body.encode())

    async def _run_command(self, message: Message, command: str) -> Delivery:
        """Run a command with the message in its environment."""
        try:
            argv = split_command(command)
        except InvalidValue as exc:
            return Delivery(delivered=False, reason=exc.reason)
        variables = {**self._base_environment, **message.variables, "CERTMONGER_NOTIFICATION": message.text}
        return await self._run(argv, variables, stdin=None)

    async def _run(self, argv: list[str], env: Mapping[str, str], *, stdin: bytes | None) -> Delivery:
        """Run a program and judge it by its status."""
        try:
            run = await self._launcher.run(
                argv, env=env, timeout_s=self._timeout_s, stdin=stdin, keep_background=True, merge_output=True
            )
        except LaunchError as exc:
            return Delivery(delivered=False, reason=str(exc))
        if run.succeeded:
            return Delivery(delivered=True)
        said = f": {run.stderr_tail.splitlines()[-1]}" if run.stderr_tail else ""
        return Delivery(delivered=False, reason=f'"{argv[0]}" {run.describe()}{said}')


_DEFAULT_LOG: Final = "daemon.notice"


def _print(text: str) -> Delivery:
    """Print on standard output if that is possible without waiting."""
    try:
        descriptor = sys.stdout.fileno()
        if not select.select([], [descriptor], [], 0)[1]:
            return Delivery(delivered=False, reason="Nobody reads the standard output")
        os.write(descriptor, f"{text}\n".encode()[: select.PIPE_BUF])
    except (OSError, ValueError) as exc:
        return Delivery(delivered=False, reason=f"Standard output: {exc}")
    return Delivery(delivered=True)


async def _log_message(message: Message, destination: str, sockets: tuple[str, str]) -> Delivery:
    """At once if nobody has to be waited for, as nearly always, else in a thread."""
    try:
        return _send_to_log(message, destination, sockets, 0)
    except BlockingIOError:
        return await asyncio.to_thread(_send_to_log, message, destination, sockets, _SYSLOG_TIMEOUT_S)


def _send_to_log(message: Message, destination: str, sockets: tuple[str, str], timeout_s: float) -> Delivery:
    """Write an entry with fields where there is a journal, else a line for syslog.

    Raises BlockingIOError where that would have to wait and *timeout_s* is 0.
    """
    journal, syslog = sockets
    facility, level = divmod(priority(destination), 8)
    try:
        fields = {
            "MESSAGE": message.text,
            "PRIORITY": str(level),
            "SYSLOG_FACILITY": str(facility),
            "SYSLOG_IDENTIFIER": _IDENT,
            **message.fields,
        }
        send_entry(fields, journal, timeout_s)
    except BlockingIOError:
        raise
    except OSError as exc:
        _log.debug("There is no journal at %s: %s", journal, exc)
    else:
        return Delivery(delivered=True)
    # In the form that the C library uses (RFC 3164 without host name).
    line = f"<{priority(destination)}>{time.strftime('%b %e %H:%M:%S')} {_IDENT}[{os.getpid()}]: {message.text}"
    try:
        send_datagram(line.encode(), syslog, timeout_s)
    except BlockingIOError:
        raise
    except OSError as exc:
        return Delivery(delivered=False, reason=f"System log {syslog}: {exc.strerror or exc}")
    return Delivery(delivered=True)
