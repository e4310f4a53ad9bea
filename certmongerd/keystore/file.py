"""Keys and certificates in PEM files."""

import logging
from collections.abc import Iterable
from contextlib import suppress

from certmongerd.core.errors import FailureKind, InvalidValue, KeyMissing, KeyStoreError
from certmongerd.core.model import CertStorage, KeyRecord, KeyStorage, StorageType
from certmongerd.keystore.failures import translating
from certmongerd.keystore.pair import KeyPair, candidate_path, load_key, write_certificate
from certmongerd.keystore.pin import read_pin_for_new_key
from certmongerd.keystore.protocol import Generated, Saved
from certmongerd.keystore.replacing import (
    create_content,
    create_or_fill,
    put_staged_into_place,
    read_content,
    read_staged,
    remove_if_there,
    remove_leftovers,
    replace_content,
)
from certmongerd.pki.certs import parse_certificate, spki_of, to_pem
from certmongerd.pki.keys import (
    KeyFacts,
    PrivateKey,
    dump_private_key,
    generate_private_key,
    key_facts,
)

logger = logging.getLogger(__name__)


class FileKeyStore:
    """Keys as PKCS #8 PEM, certificates as one PEM each; see `certmongerd.keystore.protocol.KeyStore`."""

    def read_key(self, storage: KeyStorage, marker: str = "", *, known_spki: bytes = b"") -> KeyFacts | None:
        """Facts of the key, or of the candidate that *marker* names; None when there is none or the file is empty.

        A key whose numbers do not fit together is refused; for the key of *known_spki*, which was examined
        when it appeared, the costly examination is not repeated.
        """
        path = candidate_path(storage, marker) if marker else storage.location
        if storage.type is StorageType.NONE or not storage.location:
            return None
        return _read_facts(storage, path, known_spki)

    def private_key(self, storage: KeyStorage, marker: str = "", *, known_spki: bytes = b"") -> PrivateKey:
        """The key itself; without the checks of `read_key`, which comes first.

        Raises KeyMissing when there is none. A file holds one key, so *known_spki* is not needed.
        """
        path = candidate_path(storage, marker) if marker else storage.location
        key = load_key(storage, path, validate=False) if storage.location else None
        if key is None:
            raise KeyMissing(path)
        return key

    def generate_key(self, storage: KeyStorage, record: KeyRecord, marker: str, cipher: str) -> Generated:
        """Make the key that *record* describes, at the location if nothing is there, else as a candidate.

        The answer's marker is empty in the first case. A PIN encrypts the key with *cipher*.
        """
        return self.keep_key(storage, self.new_key(storage, record), marker, cipher)

    def new_key(self, storage: KeyStorage, record: KeyRecord) -> PrivateKey:
        """Make the key that *record* describes, for `keep_key`."""
        try:
            return generate_private_key(record.gen_type, record.gen_size)
        except InvalidValue as exc:
            raise KeyStoreError(FailureKind.OTHER, storage.location, exc.reason) from exc

    def keep_key(self, storage: KeyStorage, key: PrivateKey, marker: str, cipher: str) -> Generated:
        """Store a new key, as `generate_key` does."""
        if not storage.location:
            raise KeyStoreError(FailureKind.OTHER, "", "The request has no place for a private key.")
        pin = read_pin_for_new_key(storage)
        content = dump_private_key(key, pin, cipher)
        with translating(storage.location, "The new private key cannot be stored"):
            if read_content(storage.location) is None:
                create_or_fill(storage.location, content, storage.owner, storage.perms)
                return Generated(facts=key_facts(key), marker="")
            candidate = candidate_path(storage, marker)
            try:
                create_content(candidate, content, storage.owner, storage.perms)
            except FileExistsError:
                raise  # somebody else's
            except OSError:
                with suppress(OSError):
                    remove_if_there(candidate)
                raise
        return Generated(facts=key_facts(key), marker=marker)

    def discard_candidate(self, storage: KeyStorage, marker: str) -> None:
        """Remove the candidate that *marker* names, if it is there."""
        with translating(storage.location, "The candidate key cannot be removed"):
            remove_if_there(candidate_path(storage, marker))

    def read_certificate(self, storage: CertStorage) -> str | None:
        """PEM of the first certificate in the file; None when there is no file, or an empty one.

        A file with other content raises `KeyStoreError` of kind OTHER.
        """
        with translating(storage.location, "The certificate cannot be read"):
            content = read_content(storage.location) if storage.location else None
        if content is None:
            return None
        try:
            return to_pem(parse_certificate(content))
        except InvalidValue as exc:
            raise KeyStoreError(FailureKind.OTHER, storage.location, exc.reason) from exc

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
        """Store a certificate and, when it belongs to the candidate key, put that key into place.

        May be repeated after a crash at any point, with the same arguments and result. A certificate for neither
        key changes nothing and raises `KeyStoreError` of kind OTHER; KeyMissing when the candidate is gone.
        *known_spki* is the key recorded as current: a repetition that finds everything done tells from it whether the
        key was exchanged. *preserve_as*, when not empty, keeps a replaced key as `<location>.<preserve_as>.key`. Files
        are the daemon's affair, whoever *user* is.
        """
        try:
            certificate = parse_certificate(cert_pem)
        except InvalidValue as exc:
            raise KeyStoreError(FailureKind.OTHER, cert_storage.location, exc.reason) from exc
        pem = to_pem(certificate)
        if key_storage.type is StorageType.NONE:
            write_certificate(pem, cert_storage)
            return Saved(key_swapped=False)
        if key_storage.type is not StorageType.FILE:
            reason = "A certificate in a file cannot belong to a key that is not in a file."
            raise KeyStoreError(FailureKind.TOKEN, key_storage.location, reason)
        pair = KeyPair(key_storage, marker, spki_of(certificate), known_spki)
        return pair.save(pem, cert_storage, preserve_as)

    def save_certificates(self, path: str, pems: Iterable[str], mode: int = 0) -> None:
        """Replace the content of *path* with these CA certificates; without any, the file is left alone.

        *mode* 0 keeps the mode of an existing file.
        """
        content = "".join(pem if pem.endswith("\n") else f"{pem}\n" for pem in pems).encode()
        with translating(path, "CA certificates cannot be stored"):
            if content and (mode or read_content(path) != content):
                replace_content(path, content, "", mode)

    def finish_exchange(self, storage: CertStorage, spki: bytes) -> None:
        """Do the second rename of an exchange whose first one has put the key with *spki* into place."""
        if not storage.location:
            return
        with translating(storage.location, "The exchange of key and certificate cannot be finished"):
            content = read_staged(storage.location)
            if content is None:
                return
            try:
                is_for_key = spki_of(parse_certificate(content)) == spki
            except InvalidValue:  # another file was staged
                return
            if is_for_key:
                put_staged_into_place(storage.location)
                logger.info("Finished the exchange of the key and of %s", storage.location)

    def candidate_location(self, storage: KeyStorage, marker: str) -> str:
        """The file of the candidate that *marker* names."""
        return candidate_path(storage, marker) if storage.location else ""

    def sweep_leftovers(self, location: str) -> None:
        """Remove what a crash left of unfinished writes for *location*; call it while nobody writes there."""
        if not location:
            return
        with translating(location, "Leftovers cannot be removed"):
            for path in remove_leftovers(location):
                logger.info("Removed %s, left over by an unfinished write", path)


def _read_facts(storage: KeyStorage, path: str, known_spki: bytes) -> KeyFacts | None:
    key = load_key(storage, path, validate=not known_spki)
    if key is not None and known_spki and key_facts(key).spki != known_spki:
        key = load_key(storage, path, validate=True)
    return key_facts(key) if key is not None else None
