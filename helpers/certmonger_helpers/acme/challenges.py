"""Proving control of a name: what every way of answering challenges has (RFC 8555, section 8)."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from certmonger_helpers.outcome import Unconfigured


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge to answer."""

    identifier: str
    """DNS name or address that control is proved of; without `*.`."""
    url: str
    token: str
    key_authorization: str
    is_announced: bool = False
    """Whether the server was already told to look, by a run that was cut off."""


class Responder(Protocol):
    """A way of answering challenges of one type."""

    @property
    def kind(self) -> str:
        """The type, such as `http-01`."""

    def answering(self, challenges: Sequence[Challenge]) -> AbstractAsyncContextManager[None]:
        """While the context lasts, the server finds what it looks for. Raises HelperError."""


def choose_responder(name: str, offered: Sequence[str], responders: Sequence[Responder]) -> Responder:
    """The first of *responders* for a type that the server *offered* for *name*. Raises Unconfigured."""
    for responder in responders:
        if responder.kind in offered:
            return responder
    wanted = ", ".join(offered) or "none"
    configured = ", ".join(responder.kind for responder in responders)
    hint = "; a name with * needs --dns-hook or --dns-update" if name.startswith("*.") else ""
    raise Unconfigured(f"The CA wants to check {name} by one of: {wanted}; the helper is set up for {configured}{hint}")
