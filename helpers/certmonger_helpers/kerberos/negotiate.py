"""HTTP with `Negotiate` authentication (RFC 4559): SPNEGO with Kerberos, the server proving itself, too."""

import base64
import binascii
import logging
from dataclasses import replace
from typing import Final

from yarl import URL

from certmonger_helpers.address import shown
from certmonger_helpers.kerberos.client import Identity
from certmonger_helpers.kerberos.gssapi import SPNEGO, Credentials, Flag, GssError, SecurityContext
from certmonger_helpers.outcome import Unreachable
from certmonger_helpers.transport import HttpClient, HttpRequest, HttpResponse

_log = logging.getLogger(__name__)

_SCHEME: Final = "negotiate"
_LONGEST_EXCHANGE: Final = 4


async def send_negotiated(client: HttpClient, request: HttpRequest, identity: Identity) -> HttpResponse:
    """Send *request*, authenticated from the first message on. Credentials are not delegated.

    Raises Unreachable when Kerberos does not know the server, or the server does not prove that it is the one.
    """
    host = URL(request.url).host or ""
    try:
        with (
            Credentials(mechanism=SPNEGO, store=identity.store) as credentials,
            SecurityContext(credentials, f"HTTP@{host}", mechanism=SPNEGO, flags=Flag.MUTUAL) as context,
        ):
            return await _exchange(client, request, context)
    except GssError as exc:
        raise Unreachable(f"{shown(request.url)}: Kerberos authentication failed: {exc}") from exc


async def _exchange(client: HttpClient, request: HttpRequest, context: SecurityContext) -> HttpResponse:
    """Send until the server has no more questions."""
    token = context.step(None)
    for _ in range(_LONGEST_EXCHANGE):
        value = base64.b64encode(token).decode("ascii")
        headers = {**request.headers, "Authorization": f"Negotiate {value}"}
        response = await client.send(replace(request, headers=headers))
        received = _token_of(response)
        if received is None or context.is_complete:
            return response
        token = context.step(received)
        if response.status != 401:
            return response
    raise Unreachable(f"{shown(request.url)}: the authentication does not come to an end")


def _token_of(response: HttpResponse) -> bytes | None:
    """The server's token, if it sent one."""
    for value in response.headers.getall("WWW-Authenticate", ()):
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() == _SCHEME and token.strip():
            try:
                return base64.b64decode(token.strip(), validate=True)
            except binascii.Error:
                _log.info("the server's Negotiate token is not base64")
    return None
