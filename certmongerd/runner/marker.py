"""Names of candidate keys."""

import base64
import secrets
from typing import Final

_MARKER_BYTES: Final = 6


def new_marker() -> str:
    """A name for a candidate key: eight characters that are safe in file names, never the same twice."""
    return base64.b64encode(secrets.token_bytes(_MARKER_BYTES)).decode().replace("+", "=").replace("/", "_")
