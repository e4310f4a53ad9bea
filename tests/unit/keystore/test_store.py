import errno

import pytest

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.core.model import StorageType
from certmongerd.keystore.failures import translating
from certmongerd.keystore.file import FileKeyStore
from certmongerd.keystore.nss.store import NssKeyStore
from certmongerd.keystore.store import open_key_store


@pytest.mark.parametrize("storage_type", [StorageType.FILE, StorageType.NONE])
def test_files_are_kept_by_the_file_store(storage_type: StorageType) -> None:
    assert isinstance(open_key_store(storage_type), FileKeyStore)


def test_databases_are_kept_by_nss() -> None:
    assert isinstance(open_key_store(StorageType.NSSDB), NssKeyStore)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, FailureKind.PERMS),
        (errno.EPERM, FailureKind.PERMS),
        (errno.EROFS, FailureKind.PERMS),
        (errno.ENOSPC, FailureKind.OTHER),
        (errno.EIO, FailureKind.OTHER),
    ],
)
def test_operating_system_errors_say_what_is_to_be_done(number: int, kind: FailureKind) -> None:
    with pytest.raises(KeyStoreError) as caught, translating("/k", "It cannot be stored"):
        raise OSError(number, "reason", "/elsewhere")
    assert (caught.value.kind, caught.value.location) == (kind, "/k")
    assert str(caught.value) == "/k: It cannot be stored: reason (/elsewhere)"
