"""Going to the background, so that the caller knows whether it worked."""

import os
import sys
from collections.abc import Callable

_READY = b"\x01"


def go_to_background() -> Callable[[], None]:
    """Fork; the caller's process ends when the daemon is ready (status 0) or has failed (status 1).

    Returns, in the daemon, the function that says "ready".
    """
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        ready = os.read(reader, 1) == _READY
        os._exit(0 if ready else 1)
    os.close(reader)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)

    def say_ready() -> None:
        # Until now, errors went to the caller's terminal.
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.write(writer, _READY)
        os.close(writer)

    return say_ready
