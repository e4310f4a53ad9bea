"""The client's Kerberos credentials: from a keytab, or those that are there."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from certmonger_helpers.kerberos.cache import copy_of_default_cache
from certmonger_helpers.kerberos.gssapi import KRB5, Credentials, GssError
from certmonger_helpers.kerberos.keytab import default_keytab, unreadable_reason
from certmonger_helpers.outcome import Unconfigured, Unreachable
from certmonger_helpers.privileges import can_give_up

_log = logging.getLogger(__name__)

_KDC_UNREACHABLE: Final = frozenset(
    {
        -1765328228,  # KRB5_KDC_UNREACH
        -1765328230,  # KRB5_REALM_UNKNOWN: its servers cannot be found
        -1765328164,  # KRB5_REALM_CANT_RESOLVE
    }
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the client is, and where its tickets are."""

    principal: str
    """With its realm."""
    store: dict[str, str]
    """For GSSAPI: where the tickets are."""

    @property
    def realm(self) -> str:
        """The client's realm; empty when the name has none."""
        return self.principal.rpartition("@")[2] if "@" in self.principal else ""


@contextmanager
def from_keytab(keytab: str, principal: str, *, cache: str = "") -> Iterator[Identity]:
    """Tickets for *principal* (empty: this host) with its key in *keytab* (empty: the default one).

    They are in memory only, or in *cache*, like `FILE:/path`, for a program that has to have them. Raises
    Unreachable when no KDC answers, Unconfigured when the key is missing or refused.
    """
    keytab = keytab or default_keytab()
    shown = principal or "host of this machine"
    failed = f'There are no Kerberos credentials for "{shown}" from keytab "{keytab}"'
    if reason := unreadable_reason(keytab):
        raise Unconfigured(f"{failed}: {reason}")
    store = {"client_keytab": keytab, "ccache": cache or f"MEMORY:{secrets.token_hex(8)}"}
    try:
        with Credentials(
            mechanism=KRB5, principal=principal, service="" if principal else "host", store=store
        ) as credentials:
            # The tickets are there now; the keytab is not looked at again, and can be out of reach.
            identity = Identity(credentials.principal(), {"ccache": store["ccache"]})
            _log.info("authenticating as %s", identity.principal)
            yield identity
    except GssError as exc:
        if exc.code in _KDC_UNREACHABLE:
            raise Unreachable(f"{failed}: {exc}") from exc
        raise Unconfigured(f"{failed}: {exc}; does the keytab have its key?") from exc


@contextmanager
def from_cache(*, cache: str = "") -> Iterator[Identity]:
    """The tickets of the default cache, out of reach later for a process that gives up what root has, so copied.

    The copy is in memory, or *cache* as for `from_keytab`. Raises Unreachable when there are none that are valid.
    """
    try:
        with Credentials(mechanism=KRB5, store={}) as credentials:
            principal = credentials.principal()
            identity = Identity(principal, {"ccache": copy_of_default_cache(cache)} if can_give_up() else {})
            _log.info("authenticating as %s", identity.principal)
            yield identity
    except GssError as exc:
        raise Unreachable(f"The Kerberos credentials of the default cache cannot be used: {exc}") from exc
