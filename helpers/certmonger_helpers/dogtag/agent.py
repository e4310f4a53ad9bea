"""The agent's certificate and key: PEM files, or an NSS database they are exported from for the time of a run."""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from certmonger_helpers.outcome import Unconfigured
from certmonger_helpers.tls import TlsSettings
from certmongerd.core.secret import Secret
from certmongerd.store.secret_file import secret_file

_PK12UTIL: Final = "pk12util"
_LIMIT_S: Final = 60
_MAX_PIN_BYTES: Final = 4096


def has_agent(options: argparse.Namespace) -> bool:
    """Whether the options name credentials."""
    return bool(options.certfile or (options.dbdir and options.nickname))


@contextmanager
def agent_tls(options: argparse.Namespace, ca_file: str | None) -> Iterator[TlsSettings]:
    """TLS with the agent's certificate. Raises Unconfigured."""
    pin = secret_of(options.sslpin, options.sslpinfile)
    if options.certfile:
        yield TlsSettings(
            ca_file=ca_file,
            ca_directory=options.capath,
            certificate_file=options.certfile,
            key_file=options.keyfile or None,
            key_password=pin,
        )
        return
    with tempfile.TemporaryDirectory(prefix="certmongerd-agent-") as folder:
        exported = _export(options.dbdir, options.nickname, pin, Path(folder))
        yield TlsSettings(ca_file=ca_file, ca_directory=options.capath, certificate_file=str(exported))


def secret_of(value: str, file: str) -> Secret | None:
    """What was given on the command line, or is the first line of *file*. Raises Unconfigured."""
    if value or not file:
        return Secret(value) if value else None
    try:
        with Path(secret_file(file)).open("rb") as stream:
            return Secret(stream.read(_MAX_PIN_BYTES).decode().split("\n")[0].rstrip("\r"))
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise Unconfigured(f"{file} cannot be read: {reason}") from exc


def _export(database: str, nickname: str, pin: Secret | None, folder: Path) -> Path:
    """Certificate and key called *nickname* as one PEM file in *folder*, which is the caller's alone."""
    bundle, password, database_pin = folder / "agent.p12", folder / "password", folder / "pin"
    _write(password, "export")  # of a file that only this process sees, and for this moment
    _write(database_pin, pin.reveal() if pin else "")
    files = ("-o", str(bundle), "-w", str(password), "-k", str(database_pin))
    command = [_PK12UTIL, "-n", nickname, "-d", database, *files]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except FileNotFoundError as exc:
        raise Unconfigured(
            "The agent's key is in an NSS database, and pk12util is not installed (Debian: libnss3-tools)"
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise Unconfigured(f"{database}: pk12util does not come to an end") from exc
    if done.returncode != 0:
        reason = " ".join((done.stderr or done.stdout).split())
        raise Unconfigured(f'{database}: "{nickname}" cannot be exported: {reason}')
    key, certificate, others = pkcs12.load_key_and_certificates(bundle.read_bytes(), b"export")
    if key is None or certificate is None:
        raise Unconfigured(f'{database}: "{nickname}" has no key')
    exported = folder / "agent.pem"
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]
    parts += [each.public_bytes(Encoding.PEM) for each in (certificate, *others)]
    _write(exported, b"".join(parts).decode("ascii"))
    return exported


def _write(path: Path, text: str) -> None:
    """Make a file for the owner alone."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
