"""getcert resubmit: ask again, with the same key and perhaps other names."""

from typing import Final

from certmongerd.busapi.transport import Variant
from getcert.commands.groups import ACCESS, CHOSEN, FROM_CA, NAMES, SAVING, WAITING
from getcert.commands.waiting import wait_if_asked
from getcert.context import Context
from getcert.errors import CommandFailed
from getcert.help import Groups
from getcert.krb5 import read_default_realm
from getcert.selection import find_or_fail, read_selection, require_location
from getcert.values import Values, check_key_type, key_values, template_values, text

GROUPS: Final[Groups] = (
    *CHOSEN,
    ACCESS,
    ("Changes", ("new_id", "subject", *NAMES)),
    ("The CA", FROM_CA),
    SAVING,
    WAITING,
)
HIDDEN: Final = ("key_type", "key_size")


def run(context: Context, *, member: str = "resubmit") -> int:
    """Change the request as asked, then have *member* carried out (`resubmit` or `rekey`)."""
    options = context.options
    default_realm = read_default_realm(context.environment)
    selection = read_selection(options, context.tell)
    values: Values = {**template_values(options, default_realm, context.tell), **key_values(options)}
    if selection.nickname is None:
        require_location(selection, nothing="None of database directory and nickname or certificate file specified.")
    new_nickname = options.text("new_id")
    if new_nickname is not None:
        values["NICKNAME"] = text(new_nickname)
    with context.client() as client:
        check_key_type(options, client)
        entry = find_or_fail(selection, client.requests(named=selection.nickname), show_help=True)
        ca_name = options.text("ca")
        if ca_name is not None:
            values["CA"] = Variant("o", client.find_ca(ca_name).path)
        if not client.modify_request(entry.path, values):
            raise CommandFailed(f'Error modifying "{entry.nickname}".')
        nickname, ca_name = client.request_nickname(entry.path), client.request_ca_name(entry.path)
        addressed = f'"{nickname}" to "{ca_name}"' if ca_name else f'"{nickname}"'
        if not client.command_request(entry.path, member):
            raise CommandFailed(f"Error attempting to submit {addressed}.")
        context.tell(f"Resubmitting {addressed}.")
        return wait_if_asked(context, client, entry.path)
