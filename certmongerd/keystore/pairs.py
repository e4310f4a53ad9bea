"""Saving a certificate together with the key it is for, wherever each of them is kept."""

from typing import Protocol

from certmongerd.core.errors import FailureKind, InvalidValue, KeyStoreError
from certmongerd.core.model import CertStorage, KeyStorage, StorageType
from certmongerd.keystore.file import FileKeyStore
from certmongerd.keystore.nss.store import NssKeyStore
from certmongerd.keystore.pkcs11.store import Pkcs11KeyStore
from certmongerd.keystore.protocol import KeyStore, Saved
from certmongerd.keystore.store import open_key_store
from certmongerd.pki.certs import parse_certificate, spki_of


class TokenKeyStore(KeyStore, Protocol):
    """A place for keys whose certificates may be elsewhere."""

    def adopt_candidate(
        self, storage: KeyStorage, marker: str, *, spki: bytes, known_spki: bytes, preserve: bool
    ) -> bool:
        """Let the candidate of *spki* be the key, in place of that of *known_spki*; whether it was not yet."""


def save_pair(
    cert_pem: str,
    cert_storage: CertStorage,
    key_storage: KeyStorage,
    *,
    marker: str,
    preserve_as: str,
    known_spki: bytes = b"",
    user: str = "",
) -> Saved:
    """Store a certificate, and exchange the keys when it is for the candidate; see `KeyStore.save_certificate`.

    Blocks, may be repeated, and raises `KeyStoreError`.
    """
    store = _store_of_key_apart(cert_storage, key_storage)
    if store is None:
        return open_key_store(cert_storage.type).save_certificate(
            cert_pem,
            cert_storage,
            key_storage,
            marker=marker,
            preserve_as=preserve_as,
            known_spki=known_spki,
            user=user,
        )
    try:
        spki = spki_of(parse_certificate(cert_pem))
    except InvalidValue as exc:
        raise KeyStoreError(FailureKind.OTHER, cert_storage.location, exc.reason) from exc
    if not _is_for_a_key_of(store, key_storage, marker, spki):
        reason = "The certificate is for another key than the one in the token, and is not stored."
        raise KeyStoreError(FailureKind.OTHER, key_storage.location, reason)
    # The certificate first: with the key exchanged and an old certificate, a service would not come up at all.
    FileKeyStore().save_certificate(cert_pem, cert_storage, KeyStorage(), marker="", preserve_as="")
    if not marker:
        return Saved(key_swapped=False)
    if spki == known_spki:
        store.discard_candidate(key_storage, marker)
        return Saved(key_swapped=False)
    store.adopt_candidate(key_storage, marker, spki=spki, known_spki=known_spki, preserve=bool(preserve_as))
    return Saved(key_swapped=True)


def _store_of_key_apart(cert_storage: CertStorage, key_storage: KeyStorage) -> TokenKeyStore | None:
    """The store of a key in a token whose certificate goes to a file; None when one store keeps both."""
    match cert_storage.type, key_storage.type:
        case StorageType.FILE, StorageType.NSSDB:
            return NssKeyStore()
        case StorageType.FILE, StorageType.PKCS11:
            return Pkcs11KeyStore()
        case _:
            return None


def _is_for_a_key_of(store: TokenKeyStore, storage: KeyStorage, marker: str, spki: bytes) -> bool:
    for name in {marker, ""}:
        facts = store.read_key(storage, name, known_spki=spki)
        if facts is not None and facts.spki == spki:
            return True
    return False
