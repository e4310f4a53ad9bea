"""getcert refresh-ca: ask CAs for their certificates, profiles and the like again."""

from typing import Final

from getcert.context import Context
from getcert.errors import UsageError
from getcert.help import Groups

GROUPS: Final[Groups] = (("Which CAs", ("ca", "all")),)
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Refresh one CA or all."""
    wants_all = context.options.given("all")
    if context.ca_name is None and not wants_all:
        raise UsageError("Neither CA nickname nor -a flag specified.")
    status = 0
    with context.client() as client:
        cas = client.cas() if wants_all or context.ca_name is None else [client.find_ca(context.ca_name)]
        for ca in cas:
            if client.refresh_ca(ca.path):
                context.tell(f"Data for CA '{ca.nickname}' being refreshed.")
            else:
                context.tell(f"CA '{ca.nickname}':")
                context.tell("\terror refreshing CA data")
                status = 1
    return status
