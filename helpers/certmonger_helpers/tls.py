"""TLS of the enrolment helpers: whom to trust, and with which certificate to prove who one is."""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certmonger_helpers.outcome import Unconfigured
from certmongerd.core.secret import Secret

_HASHED_NAME: Final = re.compile(r"[0-9a-f]{8}\.[0-9]{1,3}")
"""As `openssl rehash` names certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """What a helper's options say about TLS; nothing means: the host's store, and no client certificate."""

    ca_file: str | None = None
    """PEM; only its certificates are trusted, roots or not."""
    ca_directory: str | None = None
    """Certificates under names that are hashes, as `openssl rehash` makes them."""
    ca_data: str | None = None
    """PEM of certificates; only they and those of *ca_file* are trusted."""
    is_server_checked: bool = True
    """False: talk to anybody. Only for what is checked otherwise, and never together with a secret."""
    certificate_file: str | None = None
    """The client's certificate, PEM, with further ones of its chain."""
    key_file: str | None = None
    """The client's key; None: it is in *certificate_file*, too."""
    key_password: Secret | None = None


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context for connections to an https server, whose name is checked.

    Raises Unconfigured when a file cannot be used.
    """
    context = _trusting(settings.ca_file, settings.ca_directory, settings.ca_data)
    if not settings.is_server_checked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.certificate_file is not None:
        _present(context, settings.certificate_file, settings.key_file, settings.key_password)
    elif settings.key_file is not None:
        raise Unconfigured(f"There is a key for TLS ({settings.key_file}), but no certificate")
    return context


def _trusting(ca_file: str | None, ca_directory: str | None, ca_data: str | None) -> ssl.SSLContext:
    """A context that trusts the given certificates only; without any, the host's store."""
    if ca_file is None and ca_directory is None and ca_data is None:
        return ssl.create_default_context()
    if ca_directory is not None and not Path(ca_directory).is_dir():
        raise Unconfigured(f"{ca_directory} is not a directory")
    try:
        context = ssl.create_default_context(cafile=ca_file, capath=ca_directory, cadata=ca_data)
    except ssl.SSLError as exc:
        raise Unconfigured(f"{ca_file} has no usable CA certificates") from exc
    except OSError as exc:
        raise Unconfigured(f"{ca_file} cannot be read: {exc.strerror}") from exc
    if ca_directory is not None:
        _load_directory(context, Path(ca_directory))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file may name an intermediate, or the server itself
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # private CAs lack identifiers that strictness asks for
    return context


def _load_directory(context: ssl.SSLContext, directory: Path) -> None:
    """Load the certificates of *directory* now; OpenSSL would look for them when a server is checked.

    By then the helper may have given up the right to read them. Raises Unconfigured.
    """
    try:
        for path in sorted(directory.iterdir()):
            if _HASHED_NAME.fullmatch(path.name):
                context.load_verify_locations(cafile=path)
    except ssl.SSLError as exc:
        raise Unconfigured(f"A file in {directory} has no usable CA certificates") from exc
    except OSError as exc:
        raise Unconfigured(f"{exc.filename or directory} cannot be read: {exc.strerror}") from exc


def _present(context: ssl.SSLContext, certificate_file: str, key_file: str | None, password: Secret | None) -> None:
    """Let *context* prove who the client is. Raises Unconfigured."""
    for path in (certificate_file, key_file or certificate_file):
        try:
            Path(path).read_bytes()
        except OSError as exc:
            raise Unconfigured(f"{path} cannot be read: {exc.strerror}") from exc

    def revealed() -> str:  # OpenSSL would ask at the terminal if nothing answered
        return password.reveal() if password is not None else ""

    try:
        context.load_cert_chain(certificate_file, key_file, revealed)
    except (ssl.SSLError, ValueError) as exc:
        where = certificate_file if key_file is None else f"{certificate_file} and {key_file}"
        raise Unconfigured(f"{where} are not a certificate and its key for TLS: {_reason(exc)}") from exc


def _reason(error: ssl.SSLError | ValueError) -> str:
    """What OpenSSL found, in words where it has some."""
    reason = getattr(error, "reason", None)
    return reason.replace("_", " ").lower() if reason else str(error)
