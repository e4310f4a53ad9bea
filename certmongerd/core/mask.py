"""Keeps known secrets out of texts that strangers wrote, such as what a CA or a helper says."""

from collections.abc import Iterable
from typing import Final

_SHORTEST: Final = 4
"""Shorter words are in too many texts: hiding them would spoil those, and tell what is hidden."""
_HIDDEN: Final = "…"


class Mask:
    """Hides words in texts."""

    __slots__ = ("_words",)

    def __init__(self, words: Iterable[str] = ()) -> None:
        """*words* with fewer than four characters are not hidden."""
        self._words: Final = sorted({word for word in words if len(word) >= _SHORTEST}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Mask({_HIDDEN})"

    def hide(self, text: str) -> str:
        """*text* with an ellipsis in the place of each word."""
        for word in self._words:
            text = text.replace(word, _HIDDEN)
        return text


NOTHING_HIDDEN: Final = Mask()
