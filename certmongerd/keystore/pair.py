"""A key file, its candidate, and the certificate that belongs to one of them."""

import errno
import logging
from contextlib import ExitStack
from typing import Final

from certmongerd.core.errors import FailureKind, KeyMissing, KeyStoreError
from certmongerd.core.model import CertStorage, KeyStorage
from certmongerd.keystore.failures import translating
from certmongerd.keystore.links import located
from certmongerd.keystore.ownership import apply_ownership
from certmongerd.keystore.pin import read_pin
from certmongerd.keystore.protocol import Saved
from certmongerd.keystore.replacing import (
    StagedFile,
    read_content,
    remove_if_there,
    remove_leftovers,
    replace_content,
)
from certmongerd.pki.keys import PrivateKey, key_facts, load_private_key

logger = logging.getLogger(__name__)

_MAXIMUM_PRESERVED: Final = 100


def candidate_path(storage: KeyStorage, marker: str) -> str:
    """Where the key that *marker* names waits for its certificate."""
    return f"{storage.location}.{marker}.key"


def load_key(storage: KeyStorage, path: str, *, validate: bool) -> PrivateKey | None:
    """The key in the file *path*; None when there is none. *validate* as in `load_private_key`."""
    with translating(path, "The private key cannot be read"):
        content = read_content(path)
    return load_private_key(content, read_pin(storage), path, validate=validate) if content is not None else None


def write_certificate(pem: str, storage: CertStorage) -> None:
    """Replace the certificate, and nothing else."""
    with translating(storage.location, "The certificate cannot be stored"):
        replace_content(storage.location, pem.encode("ascii"), storage.owner, storage.perms)


class KeyPair:
    """The key in use, the candidate, and which of the two a certificate is for."""

    def __init__(self, storage: KeyStorage, marker: str, spki: bytes, known_spki: bytes) -> None:
        self._storage = storage
        self._spki = spki
        self._candidate_path = candidate_path(storage, marker) if marker else ""
        current = self._load_current()
        candidate = load_key(storage, self._candidate_path, validate=False) if marker else None
        self._is_current = current is not None and key_facts(current).spki == spki
        self._has_candidate = candidate is not None
        self._is_candidate = candidate is not None and key_facts(candidate).spki == spki
        self._is_settled = bool(marker) and self._is_current and (candidate is None or self._is_candidate)
        self._was_swapped = self._is_settled and known_spki != spki

    def _load_current(self) -> PrivateKey | None:
        try:
            return load_key(self._storage, self._storage.location, validate=False)
        except KeyStoreError as exc:
            if not self._candidate_path or exc.kind is FailureKind.PERMS:
                raise
            logger.warning("The key that is to be replaced cannot be read: %s", exc)
            return None

    def save(self, pem: str, cert_storage: CertStorage, preserve_as: str) -> Saved:
        """Write what has to change; the candidate goes last, because it is what a repetition starts from."""
        if not self._is_current and not self._is_candidate:
            if self._candidate_path and not self._has_candidate:
                raise KeyMissing(self._candidate_path)
            reason = "The certificate is for another key than the one in the key file, and is not stored."
            raise KeyStoreError(FailureKind.OTHER, self._storage.location, reason)
        if self._is_current:
            write_certificate(pem, cert_storage)
        else:
            with ExitStack() as places:
                self._swap(pem, cert_storage, preserve_as, places)
        location = self._storage.location
        if self._storage.owner or self._storage.perms:
            with translating(location, "The private key's owner and mode cannot be set"), located(location) as place:
                apply_ownership(place, self._storage.owner, self._storage.perms)
        if self._candidate_path:
            with translating(location, "The candidate key cannot be removed"):
                for either in (location, cert_storage.location):  # staged by a run that was interrupted
                    remove_leftovers(either)
                remove_if_there(self._candidate_path)
        return Saved(key_swapped=self._was_swapped or not self._is_current)

    def _swap(self, pem: str, cert_storage: CertStorage, preserve_as: str, places: ExitStack) -> None:
        """Both new files are durable before the first rename, and the renames follow each other directly.

        *places* hold the directories.
        """
        location = self._storage.location
        with translating(location, "The new private key cannot be put into place"):
            content = read_content(self._candidate_path)
            if content is None:
                raise FileNotFoundError(errno.ENOENT, "the candidate key is gone", self._candidate_path)
            if preserve_as:
                _preserve(location, preserve_as)
            key_file = StagedFile(places.enter_context(located(location)), content, self._storage)
        try:
            with translating(cert_storage.location, "The certificate cannot be stored"):
                place = places.enter_context(located(cert_storage.location))
                cert_file = StagedFile(place, pem.encode("ascii"), cert_storage)
        except KeyStoreError:
            key_file.discard()
            raise
        with translating(location, "The new private key and its certificate cannot be put into place"):
            key_file.put_into_place()
            cert_file.put_into_place()
            key_file.sync()
            cert_file.sync()


def _preserve(location: str, name: str) -> None:
    """Copy the key in use to `<location>.<name>.key`, or the next free number behind it. Raises OSError."""
    content = read_content(location)
    if content is None:
        return
    for number in range(_MAXIMUM_PRESERVED):
        path = f"{location}.{name}{f'-{number}' if number else ''}.key"
        present = read_content(path)
        if present == content:
            return
        if present is None:
            replace_content(path, content, "", 0)
            return
    raise FileExistsError(errno.EEXIST, "there are too many preserved keys", location)
