"""getcert list: what is tracked, and how it stands."""

from collections.abc import Sequence
from typing import Final

from certmongerd.core.states import State, parse_state
from getcert.context import Context
from getcert.entries import RequestEntry
from getcert.errors import CommandFailed
from getcert.help import Groups
from getcert.selection import NO_MATCH, Selection, find_or_fail, read_selection
from getcert.text import request_lines

GROUPS: Final[Groups] = (
    ("Which entries", ("requests_only", "tracking_only", "ca", "id")),
    ("In an NSS database", ("dbdir", "nickname", "listed_token")),
    ("In a file", ("certfile",)),
    ("Output", ("utc",)),
)
HIDDEN: Final = ()

_SETTLED_STATES: Final = frozenset({State.MONITORING, State.NEED_TO_NOTIFY_VALIDITY, State.NOTIFYING_VALIDITY})
"""States of an entry that has its certificate and wants nothing from its CA."""


def _is_settled(entry: RequestEntry) -> bool:
    return parse_state(entry.status) in _SETTLED_STATES


def _chosen(context: Context, selection: Selection, entries: Sequence[RequestEntry]) -> list[RequestEntry]:
    """The entries that all given filters let through. Raises CommandFailed when one is named that does not exist."""
    chosen = list(entries)
    if selection.nickname is not None:
        chosen = [find_or_fail(selection, entries, show_help=False)]
    elif selection.has_location and selection.find(entries) is None:
        raise CommandFailed(NO_MATCH)
    chosen = [entry for entry in chosen if selection.matches_location(entry)]
    if context.options.given("requests_only"):
        chosen = [entry for entry in chosen if not _is_settled(entry)]
    if context.options.given("tracking_only"):
        chosen = [entry for entry in chosen if _is_settled(entry)]
    return chosen


def run(context: Context) -> int:
    """Print the chosen entries; the number in the first line is that of all."""
    selection = read_selection(context.options, context.tell)
    with context.client() as client:
        wanted_ca = None if context.ca_name is None else client.find_ca(context.ca_name).path
        chosen = _chosen(context, selection, client.requests(named=selection.nickname))
        context.tell(f"Number of certificates and requests being tracked: {client.request_count()}.")
        cas = {path: client.ca(path) for path in {entry.ca_path for entry in chosen} if path}
        utc, verbose = context.options.given("utc"), context.is_verbose
        for entry in chosen:
            if wanted_ca in (None, entry.ca_path):
                ca = cas.get(entry.ca_path)
                for line in request_lines(entry, ca, utc=utc, verbose=verbose):
                    context.tell(line)
    return 0
