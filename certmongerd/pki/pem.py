"""PEM armour (RFC 7468): 64 columns, LF, one final line end."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_BLOCK: Final = re.compile(
    r"-----BEGIN (?P<label>[^\r\n-]+(?:-[^\r\n-]+)*)-----[ \t]*\r?\n(?P<body>[^-]*)-----END (?P=label)-----"
)
"""The body ends at the next dash, so that a text of nothing but BEGIN lines is still read in linear time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PemBlock:
    """One armoured object inside a text."""

    label: str
    der: bytes
    start: int
    """Where in the text the armour begins."""
    end: int
    """Where the text goes on behind the END line's dashes."""


def encode_pem(label: str, der: bytes) -> str:
    """Armour *der*."""
    body = base64.b64encode(der).decode("ascii")
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def pem_blocks(text: str) -> Iterator[PemBlock]:
    """Every armoured object of *text* in order; text around them and blocks that are not base64 are skipped."""
    for match in _BLOCK.finditer(text):
        try:
            der = base64.b64decode("".join(match["body"].split()), validate=True)
        except (binascii.Error, ValueError):
            continue
        yield PemBlock(label=match["label"], der=der, start=match.start(), end=match.end())
