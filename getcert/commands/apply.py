"""getcert apply: make CAs and requests what a file declares them to be."""

import os
import sys
from typing import Final

from getcert.context import Context
from getcert.errors import EXIT_FAILURE, CommandFailed, UsageError
from getcert.help import Groups

GROUPS: Final[Groups] = (("The declarations", ("document", "dry_run", "prune")),)
HIDDEN: Final = ()

_STANDARD_INPUT: Final = "-"
_MISTAKE: Final = "mistake"
_UNCHANGED: Final = "unchanged"


def _read(path: str) -> tuple[str, str]:
    """Name and text of the document. Raises CommandFailed."""
    try:
        if path == _STANDARD_INPUT:
            return path, sys.stdin.buffer.read().decode()
        name = os.path.abspath(path)
        with open(name, encoding="utf-8") as file:
            return name, file.read()
    except OSError as exc:
        raise CommandFailed(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise CommandFailed(f"{path} is not UTF-8 text.") from exc


def run(context: Context) -> int:
    """Apply a file; the exit status is 1 when something in it could not be had."""
    options = context.options
    path = options.text("document")
    if path is None:
        raise UsageError("No file with declarations specified (-f).")
    name, document = _read(path)
    with context.client() as client:
        outcomes = client.apply(name, document, dry_run=options.given("dry_run"), prune=options.given("prune"))
    for effect, text in outcomes:
        if effect != _UNCHANGED or options.given("verbose"):
            context.tell(text)
    if all(effect == _UNCHANGED for effect, _ in outcomes):
        context.tell("Everything is as declared.")
    return EXIT_FAILURE if any(effect == _MISTAKE for effect, _ in outcomes) else 0
