"""getcert stop-tracking: forget a certificate; its files stay."""

from typing import Final

from getcert.commands.groups import ACCESS, BY_ID, FROM_CA, IN_DATABASE, IN_FILES, NAMES, SAVING
from getcert.context import Context
from getcert.errors import CommandFailed, UsageError
from getcert.help import Groups
from getcert.krb5 import read_default_realm
from getcert.selection import NO_MATCH, read_selection, require_location
from getcert.values import template_values

GROUPS: Final[Groups] = (BY_ID, IN_DATABASE, IN_FILES)
HIDDEN: Final = (
    *ACCESS[1],
    "new_id",
    *FROM_CA,
    *NAMES,
    *SAVING[1],
    "renew",
    "no_renew",
    "wait",
    "wait_timeout",
)
"""Options of start-tracking are understood, so that a command line can be turned round by its verb."""

_SENSELESS: Final = ("renew", "no_renew", "wait", "wait_timeout")


def run(context: Context) -> int:
    """Remove one request."""
    options = context.options
    default_realm = read_default_realm(context.environment)
    if any(options.given(name) for name in _SENSELESS):
        raise UsageError
    selection = read_selection(options, context.tell)
    template_values(options, default_realm, context.tell)
    if selection.nickname is None:
        require_location(
            selection, nothing="None of ID or database directory and nickname or certificate file specified."
        )
    with context.client() as client:
        entry = selection.find(client.requests(named=selection.nickname))
        if entry is None:
            raise CommandFailed(NO_MATCH)
        if not client.remove_request(entry.path):
            raise CommandFailed(f'Request "{entry.nickname}" could not be removed.')
    context.tell(f'Request "{entry.nickname}" removed.')
    return 0
