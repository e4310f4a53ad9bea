"""Where the file of a secret is: at a path, or among the credentials of the service (systemd's LoadCredential=)."""

import errno
import os
from typing import Final

from certmongerd.core.credential import credential_name
from certmongerd.core.errors import InvalidValue

DIRECTORY_VARIABLE: Final = "CREDENTIALS_DIRECTORY"


class NoCredential(OSError):
    """A credential that the service was not given; `strerror` says what to do."""


def secret_file(place: str) -> str:
    """The file that *place*, a path or `credential:NAME`, stands for. Raises NoCredential."""
    try:
        name = credential_name(place)
    except InvalidValue as exc:
        raise NoCredential(errno.EINVAL, exc.reason, place) from exc
    if name is None:
        return place
    directory = os.environ.get(DIRECTORY_VARIABLE, "")
    path = os.path.join(directory, name)
    if not directory or not os.path.exists(path):
        reason = f'the service was not given the credential "{name}"; add LoadCredential={name}:FILE to its unit'
        raise NoCredential(errno.ENODATA, reason, place)
    return path
