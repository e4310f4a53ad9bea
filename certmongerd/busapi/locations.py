"""Checks of file and database locations. They touch the file system: run them in a thread."""

import os
import posixpath
import stat
from typing import Final

from certmongerd.busapi.refusal import CallRefused, bad_arg
from certmongerd.core.credential import is_place_of_secret
from certmongerd.core.model import CaCertLocations, StorageType

FILE_LISTS: Final = {
    "root-cert-files": "root_files",
    "root-other-cert-files": "other_root_files",
    "other-cert-files": "other_files",
}
"""Keys of the lists of files, and the fields of CaCertLocations they are kept in."""
DATABASE_LISTS: Final = {
    "root-cert-nssdbs": "root_dbs",
    "root-other-cert-nssdbs": "other_root_dbs",
    "other-cert-nssdbs": "other_dbs",
}
_DATABASE_PREFIXES: Final = ("sql:", "dbm:", "rdb:", "extern:")


def split_database(location: str) -> tuple[str, str]:
    """Prefix (`sql:` and the like, or empty) and directory of an NSS database location."""
    for prefix in _DATABASE_PREFIXES:
        if location.startswith(prefix):
            return prefix, location[len(prefix) :]
    return "", location


def normalised_database(location: str) -> str:
    """*location* without `//`, `.`, `..` and trailing slashes; symbolic links are not followed."""
    prefix, directory = split_database(location)
    return prefix + "/" + posixpath.normpath(directory).lstrip("/")


def require_absolute(location: str, key: str) -> None:
    """Raises CallRefused unless *location* begins with a slash."""
    if not location.startswith("/"):
        raise bad_arg(f'The location "{location}" must be an absolute path.', key)


def require_place_of_secret(place: str, key: str) -> None:
    """Raises CallRefused unless *place* is an absolute path, or names a credential of the service."""
    if not is_place_of_secret(place):
        raise bad_arg(f'The location "{place}" must be an absolute path.', key)


def require_absolute_database(location: str, key: str) -> None:
    """Raises CallRefused unless the directory of *location* begins with a slash."""
    if not split_database(location)[1].startswith("/"):
        raise bad_arg(f'The location "{location}" must be an absolute path.', key)


class Places:
    """Checks places of one request, and looks at nothing twice.

    Each look lets go of the interpreter's lock, and then has to wait for it while the event loop is busy.
    """

    def __init__(self) -> None:
        self._parents: set[str] = set()
        """Directories in which files can be made."""
        self._links: set[str] = set()
        """Files that are symbolic links."""

    def check(self, storage: StorageType, location: str, key: str) -> None:
        """Check the location of a key or certificate. Raises CallRefused."""
        if storage is StorageType.FILE:
            self.check_file(location, key)
        elif storage is StorageType.NSSDB:
            check_database(location, key)

    def check_file(self, location: str, key: str) -> None:
        """Whether a file can be made or replaced at *location*. Raises CallRefused."""
        require_absolute(location, key)
        parent = posixpath.dirname(location)
        if parent not in self._parents:
            _check_parent(parent, location, key)
            self._parents.add(parent)
        must_be_file = bad_arg(f'The location "{location}" must be a file.', key)
        if location.endswith("/"):
            raise must_be_file
        try:
            status = os.lstat(location)
            if stat.S_ISLNK(status.st_mode):
                self._links.add(location)
                status = os.stat(location)
        except FileNotFoundError:
            return
        except OSError:
            raise must_be_file from None
        if not stat.S_ISREG(status.st_mode):
            raise must_be_file

    def are_one(self, first: str, second: str) -> bool:
        """Whether two locations of files, both of them checked, name one file."""
        if self._links.isdisjoint((first, second)) and posixpath.basename(first) != posixpath.basename(second):
            return False
        return os.path.realpath(first) == os.path.realpath(second)


def _check_parent(parent: str, location: str, key: str) -> None:
    """Whether files can be made in the directory *parent* of *location*. Raises CallRefused."""
    try:
        is_directory = stat.S_ISDIR(os.stat(parent).st_mode)
    except PermissionError:
        raise _no_permission(f'parent of location "{location}"', key) from None
    except (OSError, ValueError):
        is_directory = False
    if not is_directory:
        raise bad_arg(f'The parent of location "{location}" must be a valid directory.', key)
    if not os.access(parent, os.R_OK | os.W_OK | os.X_OK):
        raise _no_permission(f'parent of location "{location}"', key)


def check_database(location: str, key: str) -> None:
    """Whether *location* is a directory the daemon can use. Raises CallRefused."""
    require_absolute_database(location, key)
    directory = split_database(location)[1]
    try:
        is_directory = stat.S_ISDIR(os.stat(directory).st_mode)
    except PermissionError:
        raise _no_permission(f'location "{location}"', key) from None
    except (OSError, ValueError):
        is_directory = False
    if not is_directory:
        raise bad_arg(f'The location "{location}" must be a directory.', key)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise _no_permission(f'location "{location}"', key)


def _no_permission(what: str, key: str) -> CallRefused:
    return bad_arg(f"The {what} could not be accessed due to insufficient permissions.", key)


def check_ca_cert_lists(locations: CaCertLocations, keys: frozenset[str]) -> None:
    """Check the lists named *keys* of CA certificate locations. Raises CallRefused for the first that is wrong."""
    places = Places()
    for key, attribute in FILE_LISTS.items():
        for location in getattr(locations, attribute) if key in keys else ():
            places.check_file(location, key)
    for key, attribute in DATABASE_LISTS.items():
        for location in getattr(locations, attribute) if key in keys else ():
            check_database(location, key)
