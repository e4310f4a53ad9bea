"""Command lines of this package's helper programs, for the commands that add a CA of one kind."""

import os
import re
import shlex
from collections.abc import Sequence
from typing import Final

from certmongerd.core.credential import PREFIX as CREDENTIAL_PREFIX
from getcert.context import Context
from getcert.errors import CommandFailed
from getcert.helperdir import helper_directory
from getcert.paths import absolute_path

_SPECIAL: Final = re.compile(r"""([\s'"\\&()|;<>$`#])""")


def quote_argument(argument: str) -> str:
    """*argument* so that splitting into words as a POSIX shell does gives it back."""
    if not argument or "\n" in argument:
        return shlex.quote(argument)
    return _SPECIAL.sub(r"\\\1", argument)


def helper_command(helper: str, words: Sequence[str]) -> str:
    """The command line of one of our helpers."""
    return " ".join(map(quote_argument, (f"{helper_directory()}/{helper}", *words)))


def given_options(context: Context, *, texts: Sequence[tuple[str, str]], files: Sequence[tuple[str, str]]) -> list[str]:
    """The helper's options for those of the command that were given; *texts* and *files* are pairs of both names.

    Files and directories become absolute, and have to be there: the daemon looks for them later, when nobody is
    there to correct a name. Credentials of the daemon's service (`credential:NAME`) cannot be seen from here. Raises
    CommandFailed.
    """
    words: list[str] = []
    for name, option in texts:
        for value in context.options.texts(name):
            words += (option, value)
    for name, option in files:
        path = context.options.text(name)
        if path is not None and path.startswith(CREDENTIAL_PREFIX):
            words += (option, path)
        elif path is not None:
            location = absolute_path(path, context.tell)
            if not os.access(location, os.R_OK):
                raise CommandFailed(f"{path} does not exist or cannot be read.")
            words += (option, location)
    return words


def add(context: Context, name: str, helper: str, words: Sequence[str]) -> int:
    """Add the CA *name* with a helper of ours as its command. Raises CommandFailed."""
    with context.client() as client:
        if client.add_ca(name, helper_command(helper, words)) is None:
            raise CommandFailed("New CA could not be added.")
    context.tell(f'New CA "{name}" added.')
    return 0
