"""Where an NSS database is: an optional prefix that names the format, and a directory."""

import os
from typing import Final

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.keystore.links import located

_PREFIXES: Final = ("sql:", "dbm:", "rdb:", "extern:")
KEY_FILES: Final = ("key4.db", "key3.db")
CERTIFICATE_FILES: Final = ("cert9.db", "cert8.db", "pkcs11.txt", "secmod.db")
"""Of the new and the old format."""


def directory_of(location: str) -> str:
    """The directory of a database *location*, without the prefix."""
    return next((location[len(prefix) :] for prefix in _PREFIXES if location.startswith(prefix)), location)


def enter(location: str) -> str:
    """Go into the directory of a database; its location from there. Raises OSError.

    The library opens files by their paths. From inside, these lead to the directory that was examined, even when
    somebody exchanges what is on the way; links that others laid among the files are refused.
    """
    directory = directory_of(location)
    with located(f"{directory}/{KEY_FILES[0]}", follow=False) as place:
        os.fchdir(place.directory)
    for name in (*KEY_FILES, *CERTIFICATE_FILES):
        with located(name):
            pass
    return f"{location.removesuffix(directory)}."


def is_there(location: str) -> bool:
    """Whether a database exists. Raises `KeyStoreError` when its directory is missing or may not be read."""
    try:
        names = os.listdir(directory_of(location))
    except PermissionError as exc:
        raise KeyStoreError(FailureKind.PERMS, "", "The database's directory may not be read.") from exc
    except OSError as exc:
        raise KeyStoreError(FailureKind.OTHER, "", f"There is no database directory: {exc.strerror}") from exc
    return any(name in names for name in (*KEY_FILES, *CERTIFICATE_FILES))
