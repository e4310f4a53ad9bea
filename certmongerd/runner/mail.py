"""Notifications as mail: what a message looks like, and handing it to an SMTP server."""

import os
import re
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Final

from certmongerd.config.settings import MailSettings, MailTls
from certmongerd.core.errors import InvalidValue
from certmongerd.store.secret_file import secret_file

_ADDRESS: Final = re.compile(r"[^\s,<>@\"'();:\\-][^\s,<>@\"'();:\\]*(?:@[^\s,<>@\"'();:\\]+)?")


def addresses_in(text: str) -> tuple[str, ...]:
    """The addresses in *text*, which commas separate. Raises InvalidValue when it holds anything else, or nothing."""
    addresses = tuple(part.strip() for part in text.split(","))
    for address in addresses:
        if _ADDRESS.fullmatch(address) is None:
            raise InvalidValue("mail address", f'"{address}" is no mail address')
    return addresses


def compose_mail(subject: str, body: str, recipients: tuple[str, ...], sender: str) -> EmailMessage:
    """A message; without *sender* the program that sends it has to know one."""
    message = EmailMessage()
    message["Subject"] = subject
    message["To"] = ", ".join(recipients)
    if sender:
        message["From"] = sender
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid("certmonger", domain=socket.getfqdn())
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    return message


def send_by_smtp(
    subject: str,
    body: str,
    recipients: tuple[str, ...],
    server: tuple[str, int],
    settings: MailSettings,
    timeout_s: float,
) -> None:
    """Hand a message to the SMTP *server*, host and port, as *settings* say. Blocks; raises MailNotSent."""
    sender = settings.sender or f"certmonger@{socket.getfqdn()}"
    message = compose_mail(subject, body, recipients, sender)
    try:
        with _connect(server, settings, timeout_s) as connection:
            refused = connection.send_message(message, from_addr=sender, to_addrs=recipients)
    except (OSError, smtplib.SMTPException, UnicodeError) as exc:
        raise MailNotSent(f"SMTP server {server[0]}:{server[1]}: {_reason(exc)}") from exc
    if refused:
        raise MailNotSent(f"SMTP server {server[0]} refused {', '.join(refused)}")


class MailNotSent(Exception):
    """A message did not leave this host; the text says why."""


def _connect(server: tuple[str, int], settings: MailSettings, timeout_s: float) -> smtplib.SMTP:
    """A connection that is protected and authenticated as configured."""
    host, port = server
    if settings.tls is MailTls.TLS:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=timeout_s, context=_trust(settings))
    else:
        connection = smtplib.SMTP(host, port, timeout=timeout_s)
    try:
        if settings.tls is MailTls.STARTTLS:
            connection.starttls(context=_trust(settings))
        if settings.smtp_user:
            connection.login(settings.smtp_user, _password(settings.smtp_password_file))
    except BaseException:
        connection.close()
        raise
    return connection


def _trust(settings: MailSettings) -> ssl.SSLContext:
    """What the server's certificate is checked with."""
    return ssl.create_default_context(cafile=settings.smtp_ca_file or None)


def _password(path: str) -> str:
    """The first line of a file, which is read each time."""
    with open(os.open(secret_file(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8") as file:
        return file.readline().rstrip("\r\n")


def _reason(error: Exception) -> str:
    """For people, without the conversation, which may have the password in it."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"it does not accept user and password (code {error.smtp_code})"
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"it answered {error.smtp_code} {text}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it refused {', '.join(error.recipients)}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return str(error) or type(error).__name__
