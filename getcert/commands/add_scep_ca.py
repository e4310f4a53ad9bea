"""getcert add-scep-ca: make a CA known that is reached by SCEP."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final

from getcert.client import Client
from getcert.commands.add_ca import required_ca_name
from getcert.commands.helper_command import helper_command
from getcert.context import Context
from getcert.errors import CommandFailed, UsageError
from getcert.help import Groups
from getcert.paths import absolute_path

GROUPS: Final[Groups] = (
    ("The CA", ("ca", "url", "ca_identifier")),
    ("Certificates (PEM files)", ("tls_ca_cert", "ra_cert", "signing_ca", "other_certs")),
    ("Behaviour", ("system_trust", "non_renewal", "scep_cipher", "scep_digest")),
)
HIDDEN: Final = ()

_HELPER: Final = "scep-submit"
_CERTIFICATE_FILES: Final = (
    ("tls_ca_cert", "The root certificate(s)"),
    ("ra_cert", "The RA certificate(s)"),
    ("signing_ca", "The certificate(s)"),
    ("other_certs", "The certificate(s)"),
)
_COMMAND_LINE: Final = (
    ("tls_ca_cert", "-R"),
    ("ra_cert", "-r"),
    ("ca_identifier", "-i"),
    ("other_certs", "-I"),
    ("signing_ca", "-N"),
)
_SETTINGS: Final = (
    ("ca_identifier", "scep-ca-identifier", "CA identifier"),
    ("scep_cipher", "scep-cipher", "cipher"),
    ("scep_digest", "scep-digest", "digest"),
)
"""Option, property of the CA, and what it is called."""
_PEM_CERTIFICATE: Final = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----\s(.*?)-----END ", re.DOTALL)
_DER_SEQUENCE: Final = 0x30


def _is_certificate(block: bytes) -> bool:
    try:
        der = base64.b64decode(b"".join(block.split()), validate=True)
    except binascii.Error:
        return False
    return der[:1] == bytes([_DER_SEQUENCE])


def _certificate_file(path: str, what: str, tell: Callable[[str], None]) -> str:
    """The absolute path of a file that holds PEM certificates only. Raises CommandFailed."""
    complaint = f"{what} in {path} is not valid PEM"
    location = absolute_path(path, tell)
    try:
        with open(location, "rb") as file:
            content = file.read()
    except IsADirectoryError as exc:
        raise CommandFailed(f"Error reading {path}: {exc.strerror}.", complaint) from exc
    except OSError as exc:
        raise CommandFailed(f"Unable to open {path} for reading: {exc.strerror}", complaint) from exc
    if not content:
        raise CommandFailed(f"{path} is an empty file.", complaint)
    blocks = _PEM_CERTIFICATE.findall(content)
    if not blocks or not all(map(_is_certificate, blocks)):
        raise CommandFailed(complaint)
    return location


def _command_line(context: Context, url: str) -> str:
    options = context.options
    values = {"ca_identifier": options.text("ca_identifier")}
    for name, what in _CERTIFICATE_FILES:
        path = options.text(name)
        values[name] = None if path is None else _certificate_file(path, what, context.tell)
    words = ["-u", url]
    for name, letter in _COMMAND_LINE:
        value = values[name]
        if value is not None:
            words.extend((letter, value))
    if options.given("non_renewal"):
        words.append("-n")
    return helper_command(_HELPER, words)


def _set(client: Client, path: str, prop: str, value: str, what: str) -> None:
    """Set a property of a CA that was just added; the CA goes again when the daemon refuses the value."""
    try:
        client.set_ca_text(path, prop, value)
    except CommandFailed as exc:
        client.remove_ca(path)
        raise CommandFailed(*exc.lines, f"Error setting {what}.", status=exc.status) from exc


def run(context: Context) -> int:
    """Add the CA with the SCEP helper as its command."""
    name = required_ca_name(context)
    url = context.options.text("url")
    if url is None:
        raise UsageError("server URL not specified.")
    options = context.options
    if options.given("tls_ca_cert") and options.given("system_trust"):
        raise UsageError("Both a CA certificate and the host's certificate store are given to check the server with.")
    if url.lower().startswith("https:") and not (options.given("tls_ca_cert") or options.given("system_trust")):
        raise UsageError("HTTPS requires a CA certificate.")
    command = _command_line(context, url)
    with context.client() as client:
        path = client.add_ca(name, command)
        if path is None:
            raise CommandFailed("New CA could not be added.")
        for option, prop, what in _SETTINGS:
            value = options.text(option)
            if value is not None:
                _set(client, path, prop, value, what)
    context.tell(f'New CA "{name}" added.')
    return 0
