"""getcert refresh: ask the CA now about requests it has not answered."""

from typing import Final

from certmongerd.core.states import State, parse_state
from getcert.commands.groups import CHOSEN
from getcert.context import Context
from getcert.errors import UsageError
from getcert.help import Groups
from getcert.selection import find_or_fail, read_selection

GROUPS: Final[Groups] = (("Which requests", ("all", "ca")), *CHOSEN)
HIDDEN: Final = ()

_WAITING_STATES: Final = frozenset({State.CA_WORKING, State.CA_UNREACHABLE})


def run(context: Context) -> int:
    """Have the chosen requests looked after; those with nothing to ask are passed over."""
    options = context.options
    selection = read_selection(options, context.tell)
    is_particular = selection.nickname is not None or selection.has_location
    if not is_particular and not options.given("all"):
        raise UsageError("None of ID or database directory and nickname or certificate file specified.")
    status = 0
    with context.client() as client:
        entries = client.requests(named=selection.nickname)
        if is_particular:
            entries = [find_or_fail(selection, entries, show_help=False)]
        if context.ca_name is not None:
            ca_path = client.find_ca(context.ca_name).path
            entries = [entry for entry in entries if entry.ca_path == ca_path]
        for entry in entries:
            state = parse_state(entry.status)
            is_undeployed = state is State.MONITORING and entry.is_stuck
            if state not in _WAITING_STATES and not is_undeployed:
                continue
            if client.command_request(entry.path, "refresh"):
                context.tell(f"Request ID '{entry.nickname}' being refreshed.")
            else:
                context.tell(f"Request ID '{entry.nickname}' NOT being refreshed.")
                status = 1
    return status
