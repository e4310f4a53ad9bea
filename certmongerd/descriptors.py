"""What a process that was forked does not keep of its parent."""

import contextlib
import os
from collections.abc import Collection
from typing import Final

_STANDARD: Final = 3


def close_descriptors(*, but: Collection[int] = ()) -> None:
    """Close all descriptors, locks and sockets among them, but the standard ones and *but*."""
    for entry in os.listdir("/proc/self/fd"):
        descriptor = int(entry)
        if descriptor >= _STANDARD and descriptor not in but:
            with contextlib.suppress(OSError):  # the one that was used for listing is closed already
                os.close(descriptor)
