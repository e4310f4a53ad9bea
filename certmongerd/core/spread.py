"""Differences between requests that would otherwise do the same thing at the same time."""

import hashlib
from typing import Final

_FRACTION_BITS: Final = 53
"""As many as a float holds exactly, so that a share never rounds up to 1."""


def share(*names: object) -> float:
    """A number from 0 up to, not including, 1: evenly spread over different *names*, always the same for equal ones."""
    text = "\0".join(map(str, names)).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - _FRACTION_BITS)) / (1 << _FRACTION_BITS)
