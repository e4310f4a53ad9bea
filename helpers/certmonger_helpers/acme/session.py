"""Signed requests to one ACME server: directory, nonces, JWS (RFC 8555, sections 6 and 7.1.1)."""

import json
import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import urljoin

from acme.jws import JWS
from josepy.errors import DeserializationError
from josepy.json_util import decode_b64jose
from josepy.jwa import ES256, ES384, ES512, RS256, JWASignature
from josepy.jwk import JWK, JWKRSA

from certmonger_helpers.acme.problems import AcmeProblem, problem_of
from certmonger_helpers.address import http_url, origin
from certmonger_helpers.outcome import Unreachable
from certmonger_helpers.transport import HttpClient, HttpRequest, HttpResponse

_log = logging.getLogger(__name__)

_JOSE_TYPE: Final = "application/jose+json"
_MAX_ANSWER: Final = 512 * 1024
_MOST_NONCES: Final = 20
"""How often one request is sent because the server did not accept its nonce."""

Json = dict[str, object]


class Session:
    """What is known of a server during one run. Every method raises Unreachable and AcmeProblem."""

    def __init__(self, client: HttpClient, directory_url: str) -> None:
        self._client = client
        self.directory_url = directory_url
        self._directory: Json | None = None
        self._nonces: list[str] = []

    async def directory(self) -> Json:
        """The server's directory, asked for once."""
        if self._directory is None:
            self._directory = json_object(await self.get(self.directory_url), self.directory_url)
        return self._directory

    async def resource(self, name: str) -> str:
        """The URL of a resource of the directory. Raises Unreachable when the server has none."""
        url = (await self.directory()).get(name)
        if not isinstance(url, str):
            raise Unreachable(f"{origin(self.directory_url)} is no ACME directory: it does not name {name}")
        return urljoin(self.directory_url, url)

    async def meta(self) -> Json:
        """The directory's metadata; empty when there are none."""
        meta = (await self.directory()).get("meta")
        return meta if isinstance(meta, dict) else {}

    async def get(self, url: str) -> HttpResponse:
        """An answer to a request that is not signed."""
        response = await self._client.send(HttpRequest(url=http_url(url), max_bytes=_MAX_ANSWER))
        if response.status != 200:
            raise problem_of(response, url)
        return response

    async def post(self, url: str, payload: Json | None, key: JWK, kid: str | None) -> HttpResponse:
        """An answer to a request signed with *key*; without a *payload* a POST-as-GET.

        *kid* is the account's URL; None puts the key itself into the request.
        """
        data = b"" if payload is None else json.dumps(payload).encode()
        for attempt in range(_MOST_NONCES):
            try:
                return await self._post_once(url, data, key, kid)
            except AcmeProblem as problem:
                if problem.code != "badNonce" or attempt == _MOST_NONCES - 1:
                    raise
                _log.info("the server wants another nonce")
        raise AssertionError("the last attempt returns or raises")

    async def _post_once(self, url: str, data: bytes, key: JWK, kid: str | None) -> HttpResponse:
        """Sign with a fresh nonce and send."""
        nonce = self._nonces.pop() if self._nonces else await self._new_nonce()
        signed = JWS.sign(data, key=key, alg=_algorithm(key), nonce=_octets(nonce, url), url=url, kid=kid)
        request = HttpRequest(
            url=http_url(url),
            method="POST",
            body=signed.json_dumps().encode(),
            content_type=_JOSE_TYPE,
            max_bytes=_MAX_ANSWER,
        )
        response = await self._client.send(request)
        self._keep_nonce(response)
        if response.status not in (200, 201):
            raise problem_of(response, url)
        return response

    async def _new_nonce(self) -> str:
        """A nonce for the next request."""
        url = await self.resource("newNonce")
        self._keep_nonce(await self._client.send(HttpRequest(url=url, method="HEAD", max_bytes=_MAX_ANSWER)))
        if not self._nonces:
            raise Unreachable(f"{origin(url)} gave no nonce")
        return self._nonces.pop()

    def _keep_nonce(self, response: HttpResponse) -> None:
        """Remember the nonce that came with an answer."""
        nonce = response.headers.get("Replay-Nonce")
        if nonce:
            self._nonces.append(nonce)


def json_object(response: HttpResponse, url: str) -> Json:
    """The body of an answer as a JSON object. Raises Unreachable for anything else."""
    try:
        document = json.loads(response.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unreachable(f"{origin(url)} did not answer as an ACME server does: no JSON object")
    return document


def location_of(response: HttpResponse, url: str) -> str:
    """The URL of what a request created. Raises Unreachable when it is missing."""
    location = response.headers.get("Location")
    if not location:
        raise Unreachable(f"{origin(url)} did not say where the new object is")
    return urljoin(url, location)


def text_of(document: Mapping[str, object], name: str) -> str:
    """A member that is text; empty when it is missing or something else."""
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _octets(nonce: str, url: str) -> bytes:
    """What the base64url text *nonce* stands for: the library encodes it again."""
    try:
        octets: bytes = decode_b64jose(nonce)
    except DeserializationError as exc:
        raise Unreachable(f"{origin(url)} gave a nonce that is not base64url") from exc
    return octets


def _algorithm(key: JWK) -> JWASignature:
    """The signature algorithm for an account key."""
    if isinstance(key, JWKRSA):
        return RS256
    return {"P-256": ES256, "P-384": ES384, "P-521": ES512}[str(key.to_partial_json()["crv"])]
