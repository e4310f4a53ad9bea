"""One IPA server: sends calls with Kerberos, or with a password."""

import base64
import logging
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote_plus

from certmonger_helpers.address import http_url, shown
from certmonger_helpers.ipa.rpc import MAX_ANSWER_BYTES, read_result
from certmonger_helpers.kerberos.client import Identity
from certmonger_helpers.kerberos.negotiate import send_negotiated
from certmonger_helpers.outcome import Unconfigured, Unreachable
from certmonger_helpers.transport import HttpClient, HttpRequest, HttpResponse
from certmongerd.core.secret import Secret

_log = logging.getLogger(__name__)

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_LOGIN_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Password:
    """A user name and its password."""

    user: str
    password: Secret


Login = Identity | Password


async def call(client: HttpClient, url: str, body: bytes, login: Login) -> dict[str, object]:
    """Send one call; its inner result. Raises Rejected or Unreachable, see `read_result`."""
    return dict(read_result(await exchange(client, url, body, login), shown(url)))


async def exchange(client: HttpClient, url: str, body: bytes, login: Login) -> bytes:
    """Send one call; the answer as it came. Raises Unreachable, also for an HTTP error."""
    url = http_url(url, "IPA server URL")
    _log.info('Submitting request to "%s".', shown(url))
    request = HttpRequest(
        url=url,
        method="POST",
        body=body,
        content_type=_JSON,
        headers={"Accept": _JSON, "Referer": url},
        max_bytes=MAX_ANSWER_BYTES,
    )
    if isinstance(login, Identity):
        response = await send_negotiated(client, request, login)
    else:
        response = await _send_with_password(client, request, login)
    _log.debug("answer: %s", response.body.decode("utf-8", "replace"))
    if response.status != 200:
        raise Unreachable(_complaint(url, response))
    return response.body


def _complaint(url: str, response: HttpResponse) -> str:
    """One line about an answer that is none."""
    if response.status == 401:
        reason = response.headers.get("X-IPA-Rejection-Reason", "")
        return f"Server at {shown(url)} does not accept the credentials (HTTP 401{', ' + reason if reason else ''})"
    described = f": {response.first_line}" if response.first_line and not response.first_line.startswith("<") else ""
    return f"Server at {shown(url)} answered with HTTP {response.status}{described}"


async def _send_with_password(client: HttpClient, request: HttpRequest, login: Password) -> HttpResponse:
    """Send with HTTP Basic (RFC 7617); to a server that refuses that, in a session begun with the password."""
    if not request.url.lower().startswith("https://"):
        raise Unconfigured(f"{shown(request.url)} is not https: no password is sent there")
    pair = base64.b64encode(f"{login.user}:{login.password.reveal()}".encode()).decode("ascii")
    basic = replace(request, headers={**request.headers, "Authorization": f"Basic {pair}"})
    response = await client.send(basic)
    if response.status != 401:
        return response
    base = request.url.rpartition("/")[0]
    cookie = await _begin_session(client, f"{base}/session/login_password", login, request.url)
    if cookie is None:
        return response
    return await client.send(
        replace(request, url=f"{base}/session/json", headers={**request.headers, "Cookie": cookie})
    )


async def _begin_session(client: HttpClient, url: str, login: Password, referer: str) -> str | None:
    """The cookie of a new session; None when the server does not give one."""
    form = f"user={quote_plus(login.user)}&password={quote_plus(login.password.reveal())}"
    response = await client.send(
        HttpRequest(
            url=url,
            method="POST",
            body=form.encode(),
            content_type=_FORM,
            headers={"Referer": referer, "Accept": "text/plain"},
            max_bytes=_MAX_LOGIN_BYTES,
        )
    )
    cookies = (value.partition(";")[0].strip() for value in response.headers.getall("Set-Cookie", ()))
    return next((cookie for cookie in cookies if cookie.startswith("ipa_session=")), None)
