"""getcert remove-ca: forget a CA."""

from typing import Final

from getcert.commands.add_ca import required_ca_name
from getcert.context import Context
from getcert.errors import CommandFailed
from getcert.help import Groups

GROUPS: Final[Groups] = (("The CA", ("ca",)),)
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Remove the CA; the name is told as it was typed."""
    name = required_ca_name(context)
    with context.client() as client:
        if not client.remove_ca(client.find_ca(name).path):
            raise CommandFailed("CA could not be removed.")
    context.tell(f'CA "{name}" removed.')
    return 0
