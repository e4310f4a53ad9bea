"""An NSS database in a directory of its own, looked at with certutil."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certmongerd.core.model import CertStorage, KeyStorage, StorageType, Template
from certmongerd.core.secret import Secret
from certmongerd.pki.algorithms import PrivateKey
from certmongerd.pki.certs import to_pem
from certmongerd.pki.csr import build_csr
from certmongerd.pki.issue import self_signed

START = datetime(2026, 1, 1, tzinfo=UTC)


def self_signed_pem(key: PrivateKey, subject: str = "CN=web", *, serial: int = 1) -> str:
    """PEM of the certificate *serial* that *key* signs for itself; it begins *serial* days after START."""
    csr = build_csr(Template(subject=subject), key, digest="sha256", friendly_name="", default_subject="")
    start = START + timedelta(days=serial)
    return to_pem(self_signed(csr, key, serial=serial, not_before=start, not_after=start + timedelta(days=9999)))


@dataclass(frozen=True, slots=True)
class NssDatabase:
    """A database; it need not exist."""

    directory: Path
    prefix: str = "sql:"
    pin: str = ""

    @property
    def location(self) -> str:
        return f"{self.prefix}{self.directory}"

    def key(self, nickname: str = "web", *, token: str = "", pin: str | None = None) -> KeyStorage:
        pin = self.pin if pin is None else pin
        return KeyStorage(
            type=StorageType.NSSDB,
            location=self.location,
            nickname=nickname,
            token=token,
            pin=Secret(pin) if pin else None,
        )

    def cert(self, nickname: str = "web") -> CertStorage:
        return CertStorage(type=StorageType.NSSDB, location=self.location, nickname=nickname)

    def make(self) -> None:
        """An empty database with the password that `pin` says."""
        if self.pin:
            self.certutil("-N")
        else:
            self.certutil("-N", "--empty-password")

    @contextmanager
    def held(self) -> Iterator[sqlite3.Connection]:
        """Hold the lock on its keys, as another program would that writes to them; `ROLLBACK` lets it go."""
        with closing(sqlite3.connect(self.directory / "key4.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield other

    def certutil(self, *arguments: str) -> str:
        """Run certutil on the database, which must succeed; its standard output."""
        program = shutil.which("certutil")
        assert program is not None, "certutil is not installed: apt-get install libnss3-tools"
        done = subprocess.run(
            [program, *arguments, "-d", self.location, "-f", "/dev/stdin", "-z", sys.executable],
            input=f"{self.pin}\n{self.pin}\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def certificates(self) -> list[tuple[str, str]]:
        """Nicknames and trust flags, sorted."""
        return sorted(re.findall(r"^(.*?) +([a-zA-Z]*,[a-zA-Z]*,[a-zA-Z]*)\s*$", self.certutil("-L"), re.MULTILINE))

    def private_keys(self) -> list[tuple[str, str]]:
        """Types and nicknames of the private keys, sorted."""
        if not self._has_keys():
            return []
        return sorted(re.findall(r"^<[ \d]+> (\w+) +[0-9a-f]+ +(.*?)\s*$", self.certutil("-K"), re.MULTILINE))

    def _has_keys(self) -> bool:
        program = shutil.which("certutil") or "certutil"
        done = subprocess.run(
            [program, "-K", "-d", self.location, "-f", "/dev/stdin"],
            input=f"{self.pin}\n",
            capture_output=True,
            text=True,
            check=False,
        )
        return "no keys found" not in done.stdout + done.stderr

    def pem(self, nickname: str = "web") -> str:
        """The certificate that certutil finds under a nickname."""
        return self.certutil("-L", "-n", nickname, "-a")
