"""Secrets that the service manager hands to the daemon: `credential:NAME` in place of the path of a secret's file."""

import re
from typing import Final

from certmongerd.core.errors import InvalidValue

PREFIX: Final = "credential:"
_NAME: Final = re.compile(r"(?!\.{1,2}\Z)[ -.0-~]{1,255}")
"""As systemd has it (systemd.exec(5)): a file name of printable ASCII."""


def credential_name(place: str) -> str | None:
    """The credential that *place* names; None when it is the path of a file.

    Raises InvalidValue for a name that no credential can have.
    """
    if not place.startswith(PREFIX):
        return None
    name = place.removeprefix(PREFIX)
    if _NAME.fullmatch(name) is None:
        raise InvalidValue("credential", f'"{name}" cannot be the name of a credential')
    return name


def is_place_of_secret(place: str) -> bool:
    """Whether *place* is an absolute path, or names a credential."""
    try:
        return place.startswith("/") or credential_name(place) is not None
    except InvalidValue:
        return False
