"""getcert start-tracking: watch over a certificate that exists, or change how it is watched."""

from typing import Final

from certmongerd.busapi.transport import Variant
from getcert.client import Client
from getcert.commands.groups import ACCESS, BY_ID, FROM_CA, IN_DATABASE, IN_FILES, NAMES, NOTIFICATION, SAVING, WAITING
from getcert.commands.request import read_key_file, storage_values
from getcert.commands.waiting import wait_if_asked
from getcert.context import Context
from getcert.errors import CommandFailed
from getcert.help import Groups
from getcert.krb5 import read_default_realm
from getcert.selection import find_or_fail, read_selection, require_location
from getcert.values import Values, template_values, text

GROUPS: Final[Groups] = (
    BY_ID,
    IN_DATABASE,
    IN_FILES,
    ACCESS,
    ("Tracking", ("new_id", "renew", "no_renew")),
    ("The CA", FROM_CA),
    ("Names for renewals", NAMES),
    SAVING,
    NOTIFICATION,
    WAITING,
)
HIDDEN: Final = ()


def _add(context: Context, client: Client, values: Values, storage: Values) -> int:
    values.setdefault("RENEW", Variant("b", value=True))
    path = client.add_request({**storage, **values})
    if path is None:
        raise CommandFailed("New tracking request could not be added.")
    context.tell(f'New tracking request "{client.request_nickname(path)}" added.')
    return wait_if_asked(context, client, path)


def run(context: Context) -> int:
    """Track what is not tracked yet, change what is."""
    options = context.options
    default_realm = read_default_realm(context.environment)
    selection = read_selection(options, context.tell)
    key_file = read_key_file(context, selection)
    values = template_values(options, default_realm, context.tell)
    if selection.nickname is None:
        require_location(
            selection, nothing="None of ID or database directory and nickname or certificate file specified."
        )
    values["TRACK"] = Variant("b", value=True)
    renewal = options.last_of("renew", "no_renew")
    if renewal is not None:
        values["RENEW"] = Variant("b", value=renewal == "renew")
    nickname = options.text("new_id")
    if nickname is not None:
        values["NICKNAME"] = text(nickname)
    with context.client() as client:
        entries = client.requests(named=selection.nickname)
        entry = selection.find(entries)
        if entry is None and selection.nickname is not None:
            find_or_fail(selection, entries, show_help=True)
        if context.ca_name is not None:
            values["CA"] = Variant("o", client.find_ca(context.ca_name).path)
        if entry is None:
            return _add(context, client, values, storage_values(selection, key_file, no_key={}))
        if not client.modify_request(entry.path, values):
            raise CommandFailed(f'Request "{entry.nickname}" could not be modified.')
        context.tell(f'Request "{client.request_nickname(entry.path)}" modified.')
    return 0
