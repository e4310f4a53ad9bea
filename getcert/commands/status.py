"""getcert status: how a request stands, as an exit status."""

from typing import Final

from getcert.commands.groups import CHOSEN
from getcert.context import Context
from getcert.documents import status_document
from getcert.errors import UsageError
from getcert.help import Groups
from getcert.rendering import render
from getcert.selection import find_or_fail, read_selection
from getcert.text import status_line
from getcert.wait import exit_status

GROUPS: Final[Groups] = (*CHOSEN, ("Output", ("output",)))
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Look at one request; -v prints its state."""
    selection = read_selection(context.options, context.remark)
    if selection.nickname is None and not selection.has_location:
        raise UsageError("None of ID or database directory and and nickname or certificate file specified.")
    with context.client() as client:
        entry = find_or_fail(selection, client.requests(named=selection.nickname), show_help=False)
    status = exit_status(entry.status, stuck=entry.is_stuck)
    if context.document_format is not None:
        context.out.write(render(status_document(entry, status), context.document_format))
    elif context.is_verbose:
        context.tell(status_line(entry.status, entry.is_stuck))
    return status
