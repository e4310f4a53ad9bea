"""getcert add-ca: make a CA known that is reached through a helper program."""

from typing import Final

from getcert.context import Context
from getcert.errors import CommandFailed, UsageError
from getcert.help import Groups

GROUPS: Final[Groups] = (("The CA", ("ca", "command")),)
HIDDEN: Final = ()


def required_ca_name(context: Context) -> str:
    """The name given with -c. Raises UsageError."""
    if context.ca_name is None:
        raise UsageError("CA nickname not specified.")
    return context.ca_name


def required_command(context: Context) -> str:
    """The helper command given with -e. Raises UsageError."""
    command = context.options.text("command")
    if command is None:
        raise UsageError("CA helper command not specified.")
    return command


def run(context: Context) -> int:
    """Add the CA."""
    name, command = required_ca_name(context), required_command(context)
    with context.client() as client:
        if client.add_ca(name, command) is None:
            raise CommandFailed("New CA could not be added.")
    context.tell(f'New CA "{name}" added.')
    return 0
