"""What every key store can do."""

from dataclasses import dataclass
from typing import Protocol

from certmongerd.core.model import CertStorage, KeyRecord, KeyStorage
from certmongerd.pki.keys import KeyFacts, PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A new key."""

    facts: KeyFacts
    marker: str
    """Names the candidate; empty when the key is already where it belongs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What saving a certificate changed."""

    key_swapped: bool
    """Whether the candidate is the current key now."""
    token: str = ""
    """Name of the token that the certificate is in; empty for one in a file."""


class KeyStore(Protocol):
    """A place for keys and certificates. All methods block and raise `KeyStoreError`."""

    def read_key(self, storage: KeyStorage, marker: str = "", *, known_spki: bytes = b"") -> KeyFacts | None:
        """Facts of the key, or of the candidate; None when there is none. *known_spki* was examined before."""

    def private_key(self, storage: KeyStorage, marker: str = "", *, known_spki: bytes = b"") -> PrivateKey:
        """Something that signs and decrypts with the key, or with the candidate; that of *known_spki* if there are
        several. Raises KeyMissing too.
        """

    def generate_key(self, storage: KeyStorage, record: KeyRecord, marker: str, cipher: str) -> Generated:
        """Make a key; a candidate when there is one already."""

    def discard_candidate(self, storage: KeyStorage, marker: str) -> None:
        """Remove a candidate, if it is there."""

    def read_certificate(self, storage: CertStorage) -> str | None:
        """PEM, or None when there is none."""

    def save_certificate(
        self,
        cert_pem: str,
        cert_storage: CertStorage,
        key_storage: KeyStorage,
        *,
        marker: str,
        preserve_as: str,
        known_spki: bytes = b"",
        user: str = "",
    ) -> Saved:
        """Store a certificate, and exchange the keys when it is for the candidate. Idempotent.

        A database is written to as *user*, unless that is empty.
        """

    def sweep_leftovers(self, location: str) -> None:
        """Remove what unfinished writes for *location* left."""

    def finish_exchange(self, storage: CertStorage, spki: bytes) -> None:
        """Put the certificate that a crash left waiting into place, when it is for the key with *spki*."""

    def candidate_location(self, storage: KeyStorage, marker: str) -> str:
        """Where a candidate is, for `sweep_leftovers`; empty when it is no file."""
