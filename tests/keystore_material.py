"""A directory with a key, its certificate and perhaps a candidate, for tests of the key store."""

import os
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pki_material import certificate, ec_key

from certmongerd.core.model import CertStorage, KeyStorage, StorageType, Template
from certmongerd.pki.certs import to_pem
from certmongerd.pki.keys import dump_private_key

MARKER = "7YMsz7cq"


@cache
def key_pem(name: str) -> bytes:
    """PKCS #8 PEM of the EC key called *name*."""
    return dump_private_key(ec_key(name), None, "")


@cache
def cert_pem(name: str, key: str) -> str:
    """A certificate with subject *name* for the key called *key*."""
    return to_pem(certificate(Template(subject=f"CN={name}"), key=ec_key(key)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one request keeps its files."""

    directory: Path
    key: KeyStorage
    cert: CertStorage

    @property
    def key_path(self) -> Path:
        """The key file."""
        return Path(self.key.location)

    @property
    def cert_path(self) -> Path:
        """The certificate file."""
        return Path(self.cert.location)

    @property
    def candidate_path(self) -> Path:
        """The candidate key's file."""
        return Path(f"{self.key.location}.{MARKER}.key")

    def content(self) -> dict[str, tuple[int, bytes]]:
        """Mode and content of every file, links followed, by name."""
        found = {}
        for path in sorted(self.directory.iterdir()):
            if path.is_file():
                found[path.name] = (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        return found


def place_in(directory: Path) -> Place:
    """Names below *directory*, which is made."""
    directory.mkdir(parents=True, exist_ok=True)
    return Place(
        directory=directory,
        key=KeyStorage(type=StorageType.FILE, location=str(directory / "a.key")),
        cert=CertStorage(type=StorageType.FILE, location=str(directory / "a.crt")),
    )


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """A file as somebody else left it."""
    path.write_bytes(content)
    os.chmod(path, mode)
