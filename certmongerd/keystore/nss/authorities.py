"""CA certificates in NSS databases."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from certmongerd.core.errors import FailureKind, InvalidValue, KeyStoreError
from certmongerd.core.model import KeyStorage, StorageType
from certmongerd.keystore.nss.location import directory_of
from certmongerd.keystore.nss.worker import WORKER
from certmongerd.keystore.pin import read_pin
from certmongerd.pki.certs import parse_certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA certificate and how it is to be trusted."""

    nickname: str
    pem: str
    trust: str
    """Flags in certutil's notation, for example `CT,C,C`."""


def is_same_database(storage: KeyStorage, location: str) -> bool:
    """Whether *storage* is in the database at *location*."""
    return storage.type is StorageType.NSSDB and posixpath.normpath(
        directory_of(storage.location)
    ) == posixpath.normpath(directory_of(location))


def save_authorities(location: str, authorities: Sequence[Authority], key_storage: KeyStorage | None) -> None:
    """Store *authorities* in the database at *location*, which is made if need be; its other content stays.

    *key_storage* is that of a key in the same database, whose PIN opens it. Blocks; raises `KeyStoreError`.
    """
    try:
        parsed = [parse_certificate(authority.pem) for authority in authorities]
    except InvalidValue as exc:
        raise KeyStoreError(FailureKind.OTHER, location, f"A CA certificate cannot be stored: {exc.reason}") from exc
    WORKER.change(
        "save_authorities",
        location,
        pin=read_pin(key_storage) if key_storage is not None else None,
        certificates=[certificate.encoded.hex() for certificate in parsed],
        subjects=[certificate.subject.hex() for certificate in parsed],
        nicknames=[authority.nickname for authority in authorities],
        trust=[authority.trust for authority in authorities],
    )
