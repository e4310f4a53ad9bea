"""getcert status: how a request stands, as an exit status."""

from typing import Final

from getcert.commands.groups import CHOSEN
from getcert.context import Context
from getcert.errors import UsageError
from getcert.help import Groups
from getcert.selection import find_or_fail, read_selection
from getcert.text import status_line
from getcert.wait import exit_status

GROUPS: Final[Groups] = CHOSEN
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Look at one request; -v prints its state."""
    selection = read_selection(context.options, context.tell)
    if selection.nickname is None and not selection.has_location:
        raise UsageError("None of ID or database directory and and nickname or certificate file specified.")
    with context.client() as client:
        entry = find_or_fail(selection, client.requests(named=selection.nickname), show_help=False)
    if context.is_verbose:
        context.tell(status_line(entry.status, entry.is_stuck))
    return exit_status(entry.status, stuck=entry.is_stuck)
