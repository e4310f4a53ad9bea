"""The lock of all processes that write files for one daemon, of which some may be left when it was killed.

They end what they have begun, within milliseconds, and the next daemon waits for that: else a file could change after
it was read.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from certmongerd.core.errors import StateStoreError
from certmongerd.store.place_lock import PlaceLocks

_PLACE: Final = "all files"
"""What is locked in the file of places; no database and no token is called so."""
_LIMIT_S: Final = 30.0


@contextmanager
def work_lock(path: Path, limit_s: float = _LIMIT_S) -> Iterator[int]:
    """Have the lock in the file *path*; gives the descriptor that processes inherit.

    Blocks up to *limit_s* seconds. Raises StateStoreError.
    """
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(PlaceLocks(path).held(_PLACE, limit_s))
        except TimeoutError:
            reason = "is locked: processes of an earlier certmongerd are still writing files"
            raise StateStoreError(str(path), reason) from None
        except OSError as exc:
            raise StateStoreError(str(path), f"cannot be locked: {exc.strerror}") from exc
        yield descriptor
