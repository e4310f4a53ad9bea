"""Operating system errors as the project's own."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Final

from certmongerd.core.errors import FailureKind, KeyStoreError

_PERMISSION_ERRORS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextlib.contextmanager
def translating(location: str, what: str) -> Iterator[None]:
    """Turn an OSError inside the block into a `KeyStoreError` saying that *what* failed at *location*."""
    try:
        yield
    except OSError as exc:
        kind = FailureKind.PERMS if exc.errno in _PERMISSION_ERRORS else FailureKind.OTHER
        reason = exc.strerror or str(exc)
        path = exc.filename if isinstance(exc.filename, str) and exc.filename != location else ""
        raise KeyStoreError(kind, location, f"{what}: {reason}{f' ({path})' if path else ''}") from exc
