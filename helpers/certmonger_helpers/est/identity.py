"""Which certificate a client of EST shows the server: the one that is renewed, or one that was set up for it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from certmonger_helpers.outcome import Unconfigured
from certmongerd.core.secret import Secret

_LONGEST_KEY_FILE: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Files for TLS; None: nothing is shown, or the key is in the certificate's file."""

    certificate_file: str | None
    key_file: str | None


@contextmanager
def shown_identity(
    held_pem: str, *, key_places: Sequence[str], password: Secret | None, otherwise: Shown
) -> Iterator[Shown]:
    """The certificate held, while it is valid and its key is in one of *key_places*; *otherwise* for the rest.

    Raises Unconfigured for a place that cannot be read.
    """
    certificate = _valid(held_pem)
    key_file = _key_file(certificate, key_places, password) if certificate is not None else None
    if certificate is None or key_file is None:
        yield otherwise
        return
    with tempfile.NamedTemporaryFile(prefix="est-", suffix=".pem") as file:
        file.write(certificate.public_bytes(Encoding.PEM))
        file.flush()
        yield Shown(certificate_file=file.name, key_file=str(key_file))


def _valid(pem: str) -> x509.Certificate | None:
    """The certificate in *pem*, if there is one and it has not expired."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        return None
    return certificate if datetime.now(UTC) < certificate.not_valid_after_utc else None


def _key_file(certificate: x509.Certificate, places: Sequence[str], password: Secret | None) -> Path | None:
    """The file among *places*, files and folders, with the certificate's key."""
    wanted = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for place in places:
        for path in _files(place):
            if _public_key(path, password) == wanted:
                return path
    return None


def _files(place: str) -> list[Path]:
    """*place* itself, or the files in it. Raises Unconfigured."""
    path = Path(place)
    try:
        return sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    except OSError as exc:
        raise Unconfigured(f"{place} cannot be read: {exc.strerror}") from exc


def _public_key(path: Path, password: Secret | None) -> bytes | None:
    """The public half of the key in a file; None for what is no key, or none that can be read with *password*."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > _LONGEST_KEY_FILE:
                return None
            content = file.read()
        given = password.reveal().encode() if password is not None and b"ENCRYPTED" in content else None
        key = load_pem_private_key(content, given)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
