"""getcert completion: scripts for shells, and the names that those ask for while somebody types."""

import importlib
from typing import Final

from getcert.context import Context
from getcert.errors import UsageError
from getcert.help import Groups

GROUPS: Final[Groups] = ()
HIDDEN: Final = ()

SHELLS: Final = ("bash", "zsh", "fish")
_NAMES: Final = ("requests", "cas")
"""What the scripts ask for."""


def _names(context: Context, kind: str) -> list[str]:
    with context.client(may_start_daemon=False) as client:
        if kind == "cas":
            return [ca.nickname for ca in client.cas()]
        return [entry.nickname for entry in client.requests()]


def run(context: Context) -> int:
    """Print a script, or the names, one a line; names that are no line are left out."""
    arguments = context.options.arguments
    if len(arguments) != 1 or arguments[0] not in (*SHELLS, *_NAMES):
        raise UsageError(f"Name a shell: {', '.join(SHELLS)}.")
    (what,) = arguments
    if what in _NAMES:
        for name in _names(context, what):
            if name.isprintable():
                context.tell(name)
        return 0
    from getcert.completion.model import commands

    context.out.write(importlib.import_module(f"getcert.completion.{what}").script(commands()))
    return 0
