"""Which key store keeps what."""

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.core.model import StorageType
from certmongerd.keystore.file import FileKeyStore
from certmongerd.keystore.protocol import Generated, KeyStore, Saved

__all__ = ["Generated", "KeyStore", "Saved", "open_key_store"]


def open_key_store(storage_type: StorageType) -> KeyStore:
    """The store for *storage_type*; `KeyStoreError` of kind TOKEN when this release has none.

    "No storage" is served by the file store, which then finds nothing.
    """
    match storage_type:
        case StorageType.FILE | StorageType.NONE:
            return FileKeyStore()
        case StorageType.NSSDB:
            raise KeyStoreError(FailureKind.TOKEN, "", "NSS databases are not supported by this release")
