"""Where it can be seen whether a certificate has reached its service."""

from certmongerd.core.errors import InvalidValue

_HIGHEST_PORT = 65535


def parse_probe(place: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; an IPv6 address stands in brackets. Raises InvalidValue."""
    host, separator, port = place.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    is_port = port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= _HIGHEST_PORT
    if not separator or not host or not is_port or not host.isprintable() or " " in host:
        raise InvalidValue("probe", f'The service to probe must be given as HOST:PORT, not "{place}".')
    return host, int(port)
