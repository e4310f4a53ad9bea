"""getcert get-cert: have a SCEP server send a certificate that it issued."""

from typing import Final

from getcert.commands.groups import CHOSEN
from getcert.context import Context
from getcert.help import Groups
from getcert.selection import choose_request

GROUPS: Final[Groups] = (*CHOSEN, ("What to ask for", ("serial",)))
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Print the certificate, PEM; the request names the server and has the certificate to ask with."""
    with context.client() as client:
        entry = choose_request(context.options, context.tell, client)
        context.out.write(client.scep_certificate(entry.path, context.options.text("serial") or ""))
    return 0
