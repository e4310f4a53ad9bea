"""getcert remove-ca: forget a CA that nobody uses."""

from collections.abc import Sequence
from typing import Final

from getcert.commands.add_ca import required_ca_name
from getcert.context import Context
from getcert.entries import CaEntry, RequestEntry
from getcert.errors import CommandFailed
from getcert.help import Groups

GROUPS: Final[Groups] = (("The CA", ("ca",)), ("Behaviour", ("force",)))
HIDDEN: Final = ()

_MOST_NAMED: Final = 10


def _refuse_while_used(ca: CaEntry, entries: Sequence[RequestEntry]) -> None:
    """Raise CommandFailed while requests go to *ca*: without it they would never be renewed."""
    users = [entry.nickname for entry in entries if entry.ca_path == ca.path]
    if not users:
        return
    named = ", ".join(f'"{name}"' for name in users[:_MOST_NAMED])
    more = f" and {len(users) - _MOST_NAMED} more" if len(users) > _MOST_NAMED else ""
    raise CommandFailed(
        f'CA "{ca.nickname}" is used by {len(users)} request(s): {named}{more}.',
        "Give them another CA (getcert resubmit -i NAME -c OTHER) or stop tracking them first.",
        "With --force it is removed all the same.",
    )


def run(context: Context) -> int:
    """Remove the CA; the name is told as it was typed."""
    name = required_ca_name(context)
    with context.client() as client:
        ca = client.find_ca(name)
        if not context.options.given("force"):
            _refuse_while_used(ca, client.requests())
        if not client.remove_ca(ca.path):
            raise CommandFailed("CA could not be removed.")
    context.tell(f'CA "{name}" removed.')
    return 0
