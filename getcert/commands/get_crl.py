"""getcert get-crl: have a SCEP server send the revocation list of the CA that issued a certificate."""

from typing import Final

from getcert.commands.groups import CHOSEN
from getcert.context import Context
from getcert.help import Groups
from getcert.selection import choose_request

GROUPS: Final[Groups] = CHOSEN
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Print the list, PEM."""
    with context.client() as client:
        entry = choose_request(context.options, context.tell, client)
        context.out.write(client.scep_crl(entry.path))
    return 0
