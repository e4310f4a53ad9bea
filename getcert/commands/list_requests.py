"""getcert list: what is tracked, and how it stands."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from certmongerd.core.states import State, parse_state
from getcert.context import Context
from getcert.entries import CaEntry, RequestEntry
from getcert.errors import CommandFailed, UsageError
from getcert.help import Groups
from getcert.ordering import ORDERS, in_order
from getcert.selection import NO_MATCH, Selection, find_or_fail, read_selection

GROUPS: Final[Groups] = (
    ("Which entries", ("requests_only", "tracking_only", "ca", "id")),
    ("In an NSS database", ("dbdir", "nickname", "listed_token")),
    ("In a file", ("certfile",)),
    ("Output", ("utc", "sort", "table", "output")),
)
HIDDEN: Final = ()

_SETTLED_STATES: Final = frozenset({State.MONITORING, State.NEED_TO_NOTIFY_VALIDITY, State.NOTIFYING_VALIDITY})
"""States of an entry that has its certificate and wants nothing from its CA."""

_SHOWN: Final = (
    frozenset({"nickname", "status", "stuck", "ca", "ca-error", "next-attempt", "attempts"})
    | {"monitoring", "autorenew", "probe"}
    | {"key-storage", "key-file", "key-database", "key-nickname", "key-token", "key-owner", "key-perms"}
    | {"cert-storage", "cert-file", "cert-database", "cert-nickname", "cert-token", "cert-owner", "cert-perms"}
    | {"key-pin", "has-pin", "key-pin-file", "csr", "scep-ca-cert", "scep-ra-cert"}
    | {"issuer", "subject", "template-subject", "not-valid-before", "not-valid-after"}
    | {"email", "hostname", "principal", "ku", "eku", "template-ip-address"}
    | {"template-profile", "ca-profile", "template-ms-certificate-template", "template-issuer"}
    | {"root-cert-files", "root-other-cert-files", "other-cert-files"}
    | {"root-cert-nssdbs", "root-other-cert-nssdbs", "other-cert-nssdbs"}
    | {"cert-presave-command", "cert-postsave-command"}
)
"""Properties of requests and CAs that lines and table show, or that entries are chosen and sorted by."""

_CaOf = Callable[[RequestEntry], CaEntry | None]


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
    return in_order(chosen, context.options.text("sort") or ORDERS[0])


def _show_text(context: Context, chosen: Sequence[RequestEntry], ca_of: _CaOf, total: int) -> None:
    from getcert.text import request_lines

    context.tell(f"Number of certificates and requests being tracked: {total}.")
    utc, verbose = context.options.given("utc"), context.is_verbose
    for entry in chosen:
        for line in request_lines(entry, ca_of(entry), utc=utc, verbose=verbose):
            context.tell(line)


def _show_table(context: Context, chosen: Sequence[RequestEntry], ca_of: _CaOf) -> None:
    from getcert.table import style_for, table_lines

    width = None
    if context.out.isatty():
        width = os.get_terminal_size(context.out.fileno()).columns or None
    style = style_for(context.out, context.environment)
    for line in table_lines(chosen, ca_of, now=time.time(), style=style, width=width):
        context.tell(line)


def _show_document(context: Context, form: str, chosen: Sequence[RequestEntry], ca_of: _CaOf, total: int) -> None:
    from getcert.documents import request_document, requests_document
    from getcert.rendering import render

    now = time.time()
    documents = (request_document(entry, ca_of(entry), now) for entry in chosen)
    context.out.write(render(requests_document(documents, total=total), form))


def run(context: Context) -> int:
    """Print the chosen entries; the number in the first line is that of all."""
    is_table, form = context.options.given("table"), context.document_format
    if is_table and form is not None:
        raise UsageError("--table and --output exclude each other.")
    selection = read_selection(context.options, context.remark)
    with context.client() as client:
        if form is None:
            client.ask_only(_SHOWN)
        wanted_ca = None if context.ca_name is None else client.find_ca(context.ca_name).path
        entries = client.requests(named=selection.nickname)
        total = client.request_count()
        chosen = [entry for entry in _chosen(context, selection, entries) if wanted_ca in (None, entry.ca_path)]
        cas = {path: client.ca(path) for path in {entry.ca_path for entry in chosen} if path}

    def ca_of(entry: RequestEntry) -> CaEntry | None:
        return cas.get(entry.ca_path)

    if form is not None:
        _show_document(context, form, chosen, ca_of, total)
    elif is_table:
        _show_table(context, chosen, ca_of)
    else:
        _show_text(context, chosen, ca_of, total)
    return 0
