"""Telling people about certificates: by syslog, mail, a command, or standard output."""

import asyncio
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from certmongerd.config.syslog_priority import priority
from certmongerd.core.effects import Notice
from certmongerd.core.errors import InvalidValue, LaunchError
from certmongerd.core.model import Request
from certmongerd.runner.announcement import compose
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
        """`syslog`, `mail`, `email`, `mailto`, `command`, `stdout` or `none`."""

    @property
    def notification_destination(self) -> str:
        """Syslog facility and level, mail address, or command."""


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
    ) -> None:
        self._launcher = launcher
        self._base_environment = base_environment
        self._now = now
        self._timeout_s = timeout_s
        self._syslog_socket = syslog_socket

    async def notify(self, request: Request, notice: Notice, settings: NotificationSettings) -> Delivery:
        """Tell about *notice* of *request* in the way *settings* ask for."""
        text = compose(request, notice, self._now())
        extra = {"CERTMONGER_REQUEST_NICKNAME": request.id, "CERTMONGER_NOTIFICATION_EVENT": notice.value}
        delivery = await self.deliver(
            text, method=settings.notification_method, destination=settings.notification_destination, extra=extra
        )
        if not delivery.delivered:
            _log.warning('Request "%s": notification not delivered (%s): %s', request.id, delivery.reason, text)
        return delivery

    async def deliver(
        self, text: str, *, method: str, destination: str, extra: Mapping[str, str] | None = None
    ) -> Delivery:
        """Deliver one line of *text*; a command also gets the variables *extra*."""
        match method:
            case "none":
                return Delivery(delivered=True)
            case "stdout":
                return _print(text)
            case "mail" | "email" | "mailto":
                if not destination or destination.startswith("-"):
                    return Delivery(delivered=False, reason=f'"{destination}" is no mail address')
                return await self._run(
                    ["mail", "-s", text, destination], self._base_environment, stdin=f"{text}\n".encode()
                )
            case "command":
                return await self._run_command(text, destination, extra or {})
            case _:
                return await asyncio.to_thread(_send_to_syslog, text, destination, self._syslog_socket)

    async def _run_command(self, text: str, command: str, extra: Mapping[str, str]) -> Delivery:
        """Run the command of the configuration with the message in its environment."""
        try:
            argv = split_command(command)
        except InvalidValue as exc:
            return Delivery(delivered=False, reason=exc.reason)
        return await self._run(argv, {**self._base_environment, **extra, "CERTMONGER_NOTIFICATION": text}, stdin=None)

    async def _run(self, argv: list[str], env: Mapping[str, str], *, stdin: bytes | None) -> Delivery:
        """Run a program and judge it by its status."""
        try:
            run = await self._launcher.run(argv, env=env, timeout_s=self._timeout_s, stdin=stdin, keep_background=True)
        except LaunchError as exc:
            return Delivery(delivered=False, reason=str(exc))
        if run.succeeded:
            return Delivery(delivered=True)
        return Delivery(delivered=False, reason=f'"{argv[0]}" {run.describe()}')


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


def _send_to_syslog(text: str, destination: str, path: str) -> Delivery:
    """Send one datagram in the form that the C library uses (RFC 3164 without host name)."""
    line = f"<{priority(destination)}>{time.strftime('%b %e %H:%M:%S')} {_IDENT}[{os.getpid()}]: {text}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(_SYSLOG_TIMEOUT_S)
            channel.sendto(line.encode(), path)
    except OSError as exc:
        return Delivery(delivered=False, reason=f"System log {path}: {exc.strerror or exc}")
    return Delivery(delivered=True)
