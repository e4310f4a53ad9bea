"""getcert rekey: ask again, with a new key."""

from typing import Final

from getcert.commands import resubmit
from getcert.commands.groups import ACCESS, CHOSEN, FROM_CA, NAMES, SAVING, WAITING
from getcert.context import Context
from getcert.help import Groups

GROUPS: Final[Groups] = (
    *CHOSEN,
    ACCESS,
    ("The new key", ("key_type", "key_size")),
    ("Changes", ("new_id", "subject", *NAMES)),
    ("The CA", FROM_CA),
    SAVING,
    WAITING,
)
HIDDEN: Final = ()


def run(context: Context) -> int:
    """Change the request as asked, then have a new key made."""
    return resubmit.run(context, member="rekey")
