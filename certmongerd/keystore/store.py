"""Which key store keeps what."""

from certmongerd.core.model import StorageType
from certmongerd.keystore.file import FileKeyStore
from certmongerd.keystore.nss.store import NssKeyStore
from certmongerd.keystore.pkcs11.store import Pkcs11KeyStore
from certmongerd.keystore.protocol import Generated, KeyStore, Saved

__all__ = ["Generated", "KeyStore", "Saved", "open_key_store"]


def open_key_store(storage_type: StorageType) -> KeyStore:
    """The store for *storage_type*.

    "No storage" is served by the file store, which then finds nothing.
    """
    match storage_type:
        case StorageType.FILE | StorageType.NONE:
            return FileKeyStore()
        case StorageType.NSSDB:
            return NssKeyStore()
        case StorageType.PKCS11:
            return Pkcs11KeyStore()
