"""Remembers which order a signing request has led to, for a run that follows one that was cut off."""

import contextlib
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certmonger_helpers.outcome import Unreachable
from certmongerd.store.files import write_durably

_KEPT_S: Final = 30 * 24 * 3600
"""Servers keep unfinished orders for a week or so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFile:
    """The order for one signing request at one server."""

    path: Path

    @classmethod
    def of_request(cls, state_directory: Path, directory_url: str, csr_pem: str) -> "OrderFile":
        """Where it is."""
        digest = hashlib.sha256(f"{directory_url}\n{csr_pem.strip()}".encode()).hexdigest()[:32]
        return cls(path=state_directory / "orders" / digest)

    def load(self) -> str:
        """The order's URL; empty when there is none."""
        try:
            return self.path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""  # then there will be a second order, which does no harm

    def save(self, url: str) -> None:
        """Remember *url*, and forget what was left long ago. Raises Unreachable."""
        try:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            write_durably(self.path, url.encode() + b"\n", mode=0o600)
            for other in self.path.parent.iterdir():
                with contextlib.suppress(FileNotFoundError):  # another run was faster
                    if other.stat().st_mtime < time.time() - _KEPT_S:
                        other.unlink()
        except OSError as exc:
            raise Unreachable(f"{self.path} cannot be written: {exc.strerror}") from exc

    def forget(self) -> None:
        """The order has come to its end."""
        self.path.unlink(missing_ok=True)
