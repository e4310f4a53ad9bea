"""getcert why: how a request came to stand where it stands, and what happens next."""

from typing import Final

from getcert.commands.groups import CHOSEN
from getcert.context import Context
from getcert.help import Groups
from getcert.selection import choose_request

GROUPS: Final[Groups] = CHOSEN
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Print what the daemon knows about one request, a fact a line."""
    with context.client() as client:
        entry = choose_request(context.options, context.tell, client)
        facts = client.explain_request(entry.path)
    context.tell(f"Request ID '{entry.nickname}':")
    for label, text in facts:
        context.tell(f"\t{label}: {text}")
    return 0
