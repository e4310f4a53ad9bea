"""Addresses of servers: checked where they are given, and as people may see them."""

from certmonger_helpers.outcome import Unconfigured


def http_url(text: str, what: str = "URL") -> str:
    """*text* if it is an address of HTTP; *what* names it in the error. Raises Unconfigured."""
    scheme, separator, rest = text.strip().partition("://")
    if scheme.lower() not in {"http", "https"} or not separator or not rest.strip("/") or any(map(str.isspace, rest)):
        raise Unconfigured(f'The {what} "{text}" is not an http:// or https:// URL')
    return text.strip()


def shown(url: str) -> str:
    """*url* without user name and password."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def origin(url: str) -> str:
    """Scheme, host and path of *url*, without the query."""
    return shown(url.partition("?")[0])
