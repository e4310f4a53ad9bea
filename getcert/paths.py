"""Paths given on the command line: made absolute, and checked before the daemon is bothered."""

import os
import stat
from collections.abc import Callable

from getcert.errors import CommandFailed

_SCHEMES = ("sql:", "dbm:", "rdb:", "extern:")


def is_pkcs11(location: str) -> bool:
    """Whether *location* is the `pkcs11:` URI of a key in a token; the daemon checks it."""
    return location[:7].lower() == "pkcs11:"


def absolute_path(path: str, tell: Callable[[str], None]) -> str:
    """*path* as an absolute one; *tell* gets a line when it was not."""
    if path.startswith("/"):
        return path
    try:
        directory = os.getcwd()
    except OSError as exc:
        raise CommandFailed(
            f'Path "{path}" is not absolute, and there was an error determining the name of the current directory.'
        ) from exc
    full = f"{directory.rstrip('/')}/{path}"
    tell(f'Path "{path}" is not absolute, attempting to use "{full}" instead.')
    return full


def _normalised(path: str) -> str:
    """Without doubled, trailing, `.` and `..` elements; symbolic links are not looked at."""
    return "/" + os.path.normpath(path).lstrip("/")


def _missing(path: str, exc: OSError) -> CommandFailed:
    if isinstance(exc, PermissionError):
        return CommandFailed(f'Path "{path}": insufficient permissions.')
    return CommandFailed(f'Path "{path}": {exc.strerror}.')


def checked_directory(path: str) -> str:
    """*path* if it is a directory that this user may read and write. Raises CommandFailed."""
    try:
        status = os.stat(path)
    except OSError as exc:
        raise _missing(path, exc) from exc
    if not stat.S_ISDIR(status.st_mode):
        raise CommandFailed(f'Path "{path}" is not a directory.')
    if not os.access(path, os.R_OK | os.W_OK):
        raise CommandFailed(f'Path "{path}": insufficient permissions.')
    return path


def file_location(path: str, tell: Callable[[str], None]) -> str:
    """The normalised location of a file that exists or can be created. Raises CommandFailed."""
    location = _normalised(absolute_path(path, tell))
    try:
        status = os.stat(location)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        checked_directory(os.path.dirname(location))
        return location
    except OSError as exc:
        raise _missing(location, exc) from exc
    if not stat.S_ISREG(status.st_mode):
        raise CommandFailed(f'Path "{location}" is not a regular file.')
    if not os.access(location, os.R_OK | os.W_OK):
        raise CommandFailed(f'Path "{location}": insufficient permissions.')
    return location


def database_location(path: str, tell: Callable[[str], None], *, check: bool = True) -> str:
    """The normalised location of an NSS database, its scheme prefix kept. Raises CommandFailed."""
    scheme = next((known for known in _SCHEMES if path.startswith(known)), "")
    location = _normalised(absolute_path(path[len(scheme) :], tell))
    if check:
        checked_directory(location)
    return scheme + location
