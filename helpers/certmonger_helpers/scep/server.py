"""The operations of a SCEP server over HTTP (RFC 8894 section 4)."""

import base64
import logging
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from certmonger_helpers.address import shown
from certmonger_helpers.protocol import HelperError, Rejected, Unreachable
from certmonger_helpers.transport import HttpClient, HttpRequest, HttpResponse
from certmongerd.core.errors import RemoteProtocolError
from certmongerd.scep.caps import MAX_CAPABILITIES_BYTES, Capabilities
from certmongerd.scep.signed import parse_signed

_log = logging.getLogger(__name__)

MESSAGE_CONTENT_TYPE: Final = "application/x-pki-message"
_POST_REFUSED: Final = frozenset({400, 405, 501})
_GET_REFUSED: Final = frozenset({414, 431})
_MAX_CAPABILITIES_ANSWER: Final = 64 * 1024
"""More is refused; more than 1 KiB already means no capabilities."""
_MAX_CERTIFICATES_ANSWER: Final = 256 * 1024
_MAX_MESSAGE_ANSWER: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ScepServer:
    """A server at a URL, reached with one client."""

    client: HttpClient
    url: str
    identifier: str
    """Sent with GetCACaps, GetCACert and GetCACertChain; empty is sent as empty."""

    async def get_ca_caps(self) -> bytes | None:
        """The body of a GetCACaps answer; None when the server does not know the operation.

        Raises Unreachable, also for answers that a later attempt can change.
        """
        response = await self._get("GetCACaps", self.identifier, _MAX_CAPABILITIES_ANSWER)
        if response.status == 200:
            return response.body if _is_word_list(response.body) else None
        if response.is_retryable:
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
            "GetCACert", self.identifier if identifier is None else identifier, _MAX_CERTIFICATES_ANSWER
        )

    async def get_ca_cert_chain(self) -> HttpResponse:
        """The answer to GetCACertChain, whatever its status."""
        return await self._get("GetCACertChain", self.identifier, _MAX_CERTIFICATES_ANSWER)

    async def get_next_ca_cert(self) -> HttpResponse:
        """The answer to GetNextCACert, whatever its status."""
        return await self._get("GetNextCACert", self.identifier, _MAX_CERTIFICATES_ANSWER)

    async def pki_operation(self, message: bytes, capabilities: Capabilities) -> bytes:
        """Send the DER *message*; the body of an answer that is a signed message, whatever its status and type.

        By POST if the server announces it. When HTTP refuses the method or the
        length, the same message goes once more by the other way. Raises Unreachable.
        """
        first, second = self._get_message, self._post_message
        if capabilities.has_post:
            first, second = second, first
        response = await first(message)
        if _is_signed(response.body):
            return response.body
        if self._may_retry(response.status, capabilities):
            _log.info("HTTP %d, trying the other method", response.status)
            response = await second(message)
            if _is_signed(response.body):
                return response.body
        raise Unreachable(self._complaint("PKIOperation", response))

    def complain(self, operation: str, response: HttpResponse) -> Rejected | Unreachable:
        """The error for an answer of *operation* whose status is not 200."""
        text = self._complaint(operation, response)
        return Unreachable(text) if response.is_retryable else Rejected(text)

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
        return await self._get("PKIOperation", encoded, _MAX_MESSAGE_ANSWER)

    async def _post_message(self, message: bytes) -> HttpResponse:
        """PKIOperation by POST."""
        request = HttpRequest(
            url=operation_url(self.url, "PKIOperation", None),
            method="POST",
            body=message,
            content_type=MESSAGE_CONTENT_TYPE,
            max_bytes=_MAX_MESSAGE_ANSWER,
        )
        return await self.client.send(request)

    def _complaint(self, operation: str, response: HttpResponse) -> str:
        """One line about an answer that cannot be used."""
        text = response.first_line
        described = f": {text}" if text else ""
        return f"{shown(self.url)} answered {operation} with HTTP {response.status}{described}"


def operation_url(url: str, operation: str, message: str | None) -> str:
    """*url* with the query of *operation*; a query it already has is kept, a fragment is not."""
    base = url.partition("#")[0]
    separator = "&" if "?" in base else "?"
    query = f"{separator}operation={operation}"
    return f"{base}{query}" if message is None else f"{base}{query}&message={quote(message, safe='')}"


def _is_word_list(body: bytes) -> bool:
    """Whether a 200 answer to GetCACaps is a list of words, possibly empty."""
    if len(body) > MAX_CAPABILITIES_BYTES:
        return False
    return not body.strip() or not Capabilities.parse(body).is_empty


def _is_signed(body: bytes) -> bool:
    """Whether *body* parses as SignedData."""
    try:
        parse_signed(body)
    except RemoteProtocolError:
        return False
    return True
