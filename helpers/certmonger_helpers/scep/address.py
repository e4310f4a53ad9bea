"""Addresses of servers as people may see them."""


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
