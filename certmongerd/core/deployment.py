"""Where it can be seen whether a certificate has reached its service."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from certmongerd.core.errors import InvalidValue


class Opening(Enum):
    """What a service speaks before TLS begins, by the scheme that names it."""

    TLS = "tls"
    """Nothing."""
    SMTP = "smtp"
    IMAP = "imap"
    POP3 = "pop3"
    LDAP = "ldap"
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A service that presents a certificate."""

    opening: Opening
    host: str
    port: int


_DEFAULT_PORTS: Final[Mapping[Opening, int]] = {
    Opening.SMTP: 25,
    Opening.IMAP: 143,
    Opening.POP3: 110,
    Opening.LDAP: 389,
    Opening.POSTGRES: 5432,
}
_HIGHEST_PORT: Final = 65535


def parse_probe(place: str) -> Probe:
    """The service that is meant by `HOST:PORT` or `PROTOCOL://HOST[:PORT]`; an IPv6 address stands in brackets.

    Without a protocol, and with `tls`, TLS begins with the first byte. Raises InvalidValue.
    """
    scheme, separator, address = place.rpartition("://")
    if not separator:
        scheme = Opening.TLS.value
    try:
        opening = Opening(scheme)
    except ValueError:
        known = ", ".join(each.value for each in Opening)
        raise InvalidValue(
            "probe", f'The protocol of the service to probe must be one of {known}; "{place}".'
        ) from None
    host, separator, port = address.rpartition(":")
    if opening in _DEFAULT_PORTS and (not separator or address.endswith("]")):
        host, port = address, str(_DEFAULT_PORTS[opening])
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    is_port = port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= _HIGHEST_PORT
    if not host or not is_port or not host.isprintable() or " " in host or "/" in host:
        reason = f'The service to probe must be given as HOST:PORT or PROTOCOL://HOST[:PORT], not "{place}".'
        raise InvalidValue("probe", reason)
    return Probe(opening=opening, host=host, port=int(port))
