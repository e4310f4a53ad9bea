"""getcert modify-ca: change the helper command and the SCEP settings of a CA."""

from typing import Final

from getcert.commands.add_ca import required_ca_name, required_command
from getcert.context import Context
from getcert.help import Groups

SCEP_SETTINGS: Final = (
    ("scep_identifier", "scep-ca-identifier"),
    ("scep_cipher", "scep-cipher"),
    ("scep_digest", "scep-digest"),
)
"""Options and the properties that they set."""

GROUPS: Final[Groups] = (
    ("The CA", ("ca", "command")),
    ("SCEP (an empty text takes a setting back)", tuple(option for option, _ in SCEP_SETTINGS)),
)
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Change what is given; the daemon then asks the helper for everything again."""
    name = required_ca_name(context)
    settings = [(option, prop) for option, prop in SCEP_SETTINGS if context.options.given(option)]
    command = None if settings and not context.options.given("command") else required_command(context)
    with context.client() as client:
        ca = client.find_ca(name)
        for option, prop in settings:
            client.set_ca_text(ca.path, prop, context.options.text(option) or "")
        if command is not None:
            client.set_ca_text(ca.path, "external-helper", command)
    context.tell(f'CA "{ca.nickname}" modified.')
    return 0
