"""The memory of processes that hold keys, PINs and passwords is never written into a file."""

import ctypes
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4
"""linux/prctl.h"""


def forbid_core_dumps() -> None:
    """No core dump of this process from now on; no core file of what it starts.

    The limit is inherited by programs, but collectors that the kernel pipes dumps to (core(5)) may disregard it. That
    this process cannot be dumped holds for them too, keeps debuggers of its user out, and ends when it executes
    another program.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
