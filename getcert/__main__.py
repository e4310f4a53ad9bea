"""Entry of `python -m getcert` and of the installed programs.

A command ends before there is any garbage worth collecting, and looking for it, while modules are loaded and once more
at the end, would be a fifth of what it costs.
"""

import gc
import sys

gc.disable()

from getcert.main import main as carry_out  # noqa: E402 – with everything that it loads


def main() -> int:
    """Carry out the command of the command line; the exit status."""
    status = carry_out()
    gc.freeze()
    return status


if __name__ == "__main__":
    sys.exit(main())
