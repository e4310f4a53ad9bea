"""The operations of a SCEP server over HTTP (RFC 8894 section 4)."""

import base64
import logging
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from certmonger_helpers.protocol import HelperError, Rejected, Unconfigured, Unreachable
from certmonger_helpers.scep.address import shown
from certmonger_helpers.scep.transport import HttpClient, HttpRequest, HttpResponse, Limits
from certmongerd.core.errors import RemoteProtocolError
from certmongerd.scep.caps import MAX_CAPABILITIES_BYTES, Capabilities
from certmongerd.scep.signed import parse_signed

_log = logging.getLogger(__name__)

MESSAGE_CONTENT_TYPE: Final = "application/x-pki-message"
_POST_REFUSED: Final = frozenset({400, 405, 501})
_GET_REFUSED: Final = frozenset({414, 431})
_RETRYABLE: Final = frozenset({408, 429})
_SHOWN_TEXT: Final = 160


@dataclass(frozen=True, slots=True)
class ScepServer:
    """A server at a URL, reached with one client."""

    client: HttpClient
    url: str
    identifier: str
    """Sent with GetCACaps, GetCACert and GetCACertChain; empty is sent as empty."""
    limits: Limits

    async def get_ca_caps(self) -> bytes | None:
        """The body of a GetCACaps answer; None when the server does not know the operation.

        Raises Unreachable, also for answers that a later attempt can change.
        """
        response = await self._get("GetCACaps", self.identifier, self.limits.capabilities_bytes)
        if response.status == 200:
            return response.body if _is_word_list(response.body) else None
        if _is_retryable(response.status):
            raise Unreachable(self._complaint("GetCACaps", response))
        return None

    async def capabilities(self) -> Capabilities:
        """What the server offers; nothing when it cannot be asked, since the rest can work all the same."""
        try:
            offered = Capabilities.parse(await self.get_ca_caps() or b"")
        except HelperError as exc:
            _log.info("capabilities are not known: %s", exc)
            return Capabilities()
        _log.info("the server offers: %s", ", ".join(offered.words) or "nothing")
        return offered

    async def get_ca_cert(self, identifier: str | None = None) -> HttpResponse:
        """The answer to GetCACert, whatever its status."""
        return await self._get(
            "GetCACert", self.identifier if identifier is None else identifier, self.limits.certificates_bytes
        )

    async def get_ca_cert_chain(self) -> HttpResponse:
        """The answer to GetCACertChain, whatever its status."""
        return await self._get("GetCACertChain", self.identifier, self.limits.certificates_bytes)

    async def get_next_ca_cert(self) -> HttpResponse:
        """The answer to GetNextCACert, whatever its status."""
        return await self._get("GetNextCACert", self.identifier, self.limits.certificates_bytes)

    async def pki_operation(self, message: bytes, capabilities: Capabilities) -> bytes:
        """Send the DER *message*; the body of an answer that is a signed message, whatever its status and type.

        By POST if the server announces it. When HTTP refuses the method or the
        length, the same message goes once more by the other way. Raises Unreachable.
        """
        first, second = self._get_message, self._post_message
        if capabilities.has_post:
            first, second = second, first
        response = await first(message)
        if not _is_signed(response.body) and self._may_retry(response.status, capabilities):
            _log.info("HTTP %d, trying the other method", response.status)
            response = await second(message)
        if not _is_signed(response.body):
            raise Unreachable(self._complaint("PKIOperation", response))
        return response.body

    def complain(self, operation: str, response: HttpResponse) -> Rejected | Unreachable:
        """The error for an answer of *operation* whose status is not 200."""
        text = self._complaint(operation, response)
        return Unreachable(text) if _is_retryable(response.status) else Rejected(text)

    @staticmethod
    def _may_retry(status: int, capabilities: Capabilities) -> bool:
        """Whether HTTP refused the way the message was sent."""
        if capabilities.has_post:
            return status in _POST_REFUSED and not capabilities.is_standard
        return status in _GET_REFUSED

    async def _get(self, operation: str, message: str, max_bytes: int) -> HttpResponse:
        """One GET operation with *message*."""
        url = operation_url(self.url, operation, message)
        return await self.client.send(HttpRequest(url=url, max_bytes=max_bytes))

    async def _get_message(self, message: bytes) -> HttpResponse:
        """PKIOperation by GET."""
        encoded = base64.b64encode(message).decode("ascii")
        return await self._get("PKIOperation", encoded, self.limits.message_bytes)

    async def _post_message(self, message: bytes) -> HttpResponse:
        """PKIOperation by POST."""
        request = HttpRequest(
            url=operation_url(self.url, "PKIOperation", None),
            method="POST",
            body=message,
            content_type=MESSAGE_CONTENT_TYPE,
            max_bytes=self.limits.message_bytes,
        )
        return await self.client.send(request)

    def _complaint(self, operation: str, response: HttpResponse) -> str:
        """One line about an answer that cannot be used."""
        text = readable_start(response.body)
        described = f": {text}" if text else ""
        return f"{shown(self.url)} answered {operation} with HTTP {response.status}{described}"


def operation_url(url: str, operation: str, message: str | None) -> str:
    """*url* with the query of *operation*; a query it already has is kept, a fragment is not."""
    base = url.partition("#")[0]
    separator = "&" if "?" in base else "?"
    query = f"{separator}operation={operation}"
    return f"{base}{query}" if message is None else f"{base}{query}&message={quote(message, safe='')}"


def check_url(url: str) -> str:
    """*url* if it is one of HTTP. Raises Unconfigured."""
    scheme, separator, rest = url.strip().partition("://")
    if scheme.lower() not in {"http", "https"} or not separator or not rest.strip("/") or any(map(str.isspace, rest)):
        raise Unconfigured(f'The SCEP URL "{url}" is not an http:// or https:// URL')
    return url.strip()


def readable_start(body: bytes) -> str:
    """The first line of a text body, shortened; empty for binary ones."""
    text = body[:1024].decode("utf-8", "replace").strip()
    first = text.splitlines()[0].strip() if text else ""
    if "\ufffd" in first or not first.isprintable():
        return ""
    return first[:_SHOWN_TEXT]


def _is_word_list(body: bytes) -> bool:
    """Whether a 200 answer to GetCACaps is a list of words, possibly empty."""
    if len(body) > MAX_CAPABILITIES_BYTES:
        return False
    return not body.strip() or not Capabilities.parse(body).is_empty


def _is_retryable(status: int) -> bool:
    """Whether a later attempt can change an HTTP status."""
    return status in _RETRYABLE or status >= 500


def _is_signed(body: bytes) -> bool:
    """Whether *body* parses as SignedData."""
    try:
        parse_signed(body)
    except RemoteProtocolError:
        return False
    return True
