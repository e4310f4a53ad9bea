"""Where the enrolment helper programs are."""

import importlib.util
import os
from typing import Final

_ORIGINAL_DIRECTORY: Final = "/usr/lib/certmonger"


def helper_directory() -> str:
    """The folder of the helper programs installed with this package, else certmonger's."""
    found = importlib.util.find_spec("certmonger_helpers")
    places = found.submodule_search_locations if found is not None else None
    for place in places or ():
        return os.path.join(place, "bin")
    return _ORIGINAL_DIRECTORY
