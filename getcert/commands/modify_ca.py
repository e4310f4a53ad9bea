"""getcert modify-ca: change the helper command of a CA."""

from typing import Final

from getcert.commands.add_ca import required_ca_name, required_command
from getcert.context import Context
from getcert.help import Groups

GROUPS: Final[Groups] = (("The CA", ("ca", "command")),)
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Change the command; the daemon then asks the helper for everything again."""
    name, command = required_ca_name(context), required_command(context)
    with context.client() as client:
        ca = client.find_ca(name)
        client.set_ca_text(ca.path, "external-helper", command)
    context.tell(f'CA "{ca.nickname}" modified.')
    return 0
