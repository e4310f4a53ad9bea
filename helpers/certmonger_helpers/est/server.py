"""The operations of an EST server (RFC 7030, with the corrections of RFC 8951)."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import pkcs7

from certmonger_helpers.address import http_url, origin
from certmonger_helpers.http_authentication import Login, authorization
from certmonger_helpers.outcome import Rejected, Unconfigured, Unreachable
from certmonger_helpers.transport import HttpClient, HttpRequest, HttpResponse
from certmongerd.pki import der

_WELL_KNOWN: Final = "/.well-known/est"
_MAX_ANSWER: Final = 1024 * 1024
_MAX_ATTRIBUTES: Final = 64 * 1024
_NOT_THERE: Final = frozenset({404, 405, 501})
_LONGEST_RETRY_S: Final = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Later:
    """202: the same request again after a time (section 4.2.3)."""

    delay_s: int | None
    """None: the server did not say."""


class OperationMissing(Unconfigured):
    """There is no such operation at this address."""


def base_url(url: str, label: str) -> str:
    """The address below which the operations are (section 3.2.2): as given where it has a path, else the well-known.

    Raises Unconfigured for what is not https.
    """
    base = http_url(url, "EST URL").rstrip("/")
    parts = urlsplit(base)
    if parts.scheme.lower() != "https":
        raise Unconfigured(f'The EST URL "{url}" is not an https:// URL: EST needs TLS')
    if parts.query or parts.fragment:
        raise Unconfigured(f'The EST URL "{url}" may not have a query')
    if not parts.path:
        base += _WELL_KNOWN
    return f"{base}/{quote(label, safe='')}" if label else base


@dataclass(frozen=True, slots=True, kw_only=True)
class EstServer:
    """A server, reached with one client."""

    client: HttpClient
    url: str
    login: Login | None

    async def ca_certificates(self) -> list[x509.Certificate]:
        """/cacerts (section 4.1): the CA's certificates. Raises HelperError."""
        return self._certificates("cacerts", await self._ask("cacerts", max_bytes=_MAX_ANSWER))

    async def enrol(self, operation: str, csr: bytes) -> list[x509.Certificate] | Later:
        """/simpleenroll or /simplereenroll (section 4.2) with a DER request.

        Raises OperationMissing, Rejected with the server's words, Unconfigured, Unreachable.
        """
        response = await self._ask(operation, body=base64.b64encode(csr), max_bytes=_MAX_ANSWER)
        if response.status == 202:
            return Later(_retry_after(response))
        return self._certificates(operation, response)

    async def request_attributes(self) -> tuple[str, ...]:
        """/csrattrs (section 4.5): the dotted OIDs of what a request should have; none where the server says nothing.

        Raises HelperError.
        """
        try:
            response = await self._ask("csrattrs", max_bytes=_MAX_ATTRIBUTES)
        except OperationMissing:
            return ()
        if response.status == 204 or not response.body.strip():
            return ()
        try:
            return tuple(_identifiers(_decoded(response.body)))
        except ValueError as exc:  # binascii.Error and DerError are, too
            raise Unreachable(f"{origin(self.url)}/csrattrs did not answer with attributes: {exc}") from exc

    async def _ask(self, operation: str, *, body: bytes = b"", max_bytes: int) -> HttpResponse:
        """One operation, authenticated where the server wants that; only successes are returned."""
        response = await self._send(operation, body, max_bytes, {})
        if response.status == 401:
            response = await self._send_authenticated(operation, body, max_bytes, response)
        if response.status in (200, 202, 204):
            return response
        text = self._complaint(operation, response)
        if response.status in _NOT_THERE:
            raise OperationMissing(text)
        if response.is_retryable:
            raise Unreachable(text)
        raise Rejected(text)

    async def _send_authenticated(
        self, operation: str, body: bytes, max_bytes: int, refused: HttpResponse
    ) -> HttpResponse:
        """The request again, with what the server wants to know (section 3.2.3). Raises Unconfigured."""
        if self.login is None:
            raise Unconfigured(
                f"{origin(self.url)} wants to know who asks: --user and --password-file, or --certificate and --key"
            )
        method, url = ("POST" if body else "GET"), f"{self.url}/{operation}"
        header = authorization(refused.headers.getall("WWW-Authenticate", []), self.login, method, url)
        if header is None:
            raise Unconfigured(f"{origin(self.url)} offers neither Digest nor Basic authentication")
        response = await self._send(operation, body, max_bytes, {"Authorization": header})
        if response.status == 401:
            raise Unconfigured(f"{origin(self.url)} does not accept the user name {self.login.user} and its password")
        return response

    async def _send(self, operation: str, body: bytes, max_bytes: int, headers: Mapping[str, str]) -> HttpResponse:
        """One exchange."""
        request = HttpRequest(
            url=f"{self.url}/{operation}",
            method="POST" if body else "GET",
            body=body,
            content_type="application/pkcs10" if body else "",
            headers={**headers, "Content-Transfer-Encoding": "base64"} if body else headers,
            max_bytes=max_bytes,
        )
        return await self.client.send(request)

    def _certificates(self, operation: str, response: HttpResponse) -> list[x509.Certificate]:
        """The certificates of a certs-only answer (section 4.1.3). Raises Unreachable."""
        try:
            certificates = pkcs7.load_der_pkcs7_certificates(_decoded(response.body))
        except (ValueError, UnsupportedAlgorithm) as exc:  # binascii.Error is a ValueError
            raise Unreachable(f"{origin(self.url)}/{operation} did not answer with certificates: {exc}") from exc
        if not certificates:
            raise Unreachable(f"{origin(self.url)}/{operation} answered without a certificate")
        return certificates

    def _complaint(self, operation: str, response: HttpResponse) -> str:
        """One line about an answer that is no success."""
        is_page = response.content_type in {"text/html", "application/xhtml+xml"}
        described = f": {response.first_line}" if response.first_line and not is_page else ""
        return f"{origin(self.url)}/{operation} answered with HTTP {response.status}{described}"


def _decoded(body: bytes) -> bytes:
    """The octets of a body: base64, with or without line ends (RFC 8951, section 3.1); DER of some servers as it is."""
    if body[:1] == b"\x30" and body[1:2] > b"\x7f":
        return body
    return base64.b64decode(b"".join(body.split()), validate=True)


def _identifiers(attributes: bytes) -> list[str]:
    """All OIDs in CsrAttrs (section 4.5.2): bare ones, those of attributes and what stands in their values.

    Raises DerError.
    """
    found: list[str] = []
    waiting = [der.decode(attributes, der.SEQUENCE)]
    while waiting:
        each = waiting.pop()
        if each.tag == der.OBJECT_IDENTIFIER:
            found.append(der.read_oid(each))
        elif each.tag in (der.SEQUENCE, der.SET):
            waiting += reversed(each.children())
    return found


def _retry_after(response: HttpResponse) -> int | None:
    """The seconds of Retry-After, which may be a date (RFC 9110, section 10.2.3); None when it says nothing."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return min(int(text[:9]), _LONGEST_RETRY_S)
    try:
        seconds = (_date(text) - _now_of(response)).total_seconds()
    except ValueError:
        return None
    return max(0, min(int(seconds), _LONGEST_RETRY_S))


def _now_of(response: HttpResponse) -> datetime:
    """The server's time, else ours."""
    try:
        return _date(response.headers.get("Date", ""))
    except ValueError:
        return datetime.now(UTC)


def _date(text: str) -> datetime:
    """A date of HTTP, which is in UTC. Raises ValueError."""
    found = parsedate_to_datetime(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
