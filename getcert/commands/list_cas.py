"""getcert list-cas: the CAs the daemon knows."""

from typing import Final

from getcert.context import Context
from getcert.help import Groups
from getcert.text import ca_lines

GROUPS: Final[Groups] = (("Which CA", ("ca",)),)
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Print all CAs or one, whose name is compared exactly; a name nobody has prints nothing."""
    with context.client() as client:
        for ca in client.cas():
            if context.ca_name not in (None, ca.nickname):
                continue
            kind = client.ca_getter(ca.path, "get_type")
            for line in ca_lines(
                ca,
                kind=kind,
                serial="" if kind == "EXTERNAL" else client.ca_getter(ca.path, "get_serial"),
                config_path=client.ca_getter(ca.path, "get_config_file_path") if context.is_verbose else "",
                verbose=context.is_verbose,
            ):
                context.tell(line)
    return 0
