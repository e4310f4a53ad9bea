"""HTTP for enrolment helpers: bounded in time and size, without cookies, compression and foreign redirects."""

import asyncio
import logging
import ssl
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from certmonger_helpers.address import origin, shown
from certmonger_helpers.outcome import Unconfigured, Unreachable
from certmonger_helpers.privileges import give_up
from certmonger_helpers.tls import TlsSettings, tls_context
from certmongerd import __version__

if TYPE_CHECKING:
    import aiohttp

_log = logging.getLogger(__name__)

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_RETRYABLE: Final = frozenset({408, 425, 429})
_CHUNK_BYTES: Final = 65536
_SHOWN_URL: Final = 200
_SHOWN_TEXT: Final = 160
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server may cost in time, seconds. Sizes are per body, see `HttpRequest.max_bytes`."""

    connect_s: float = 30.0
    exchange_s: float = 120.0
    run_s: float = 240.0
    """All exchanges of one run together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request; the URL is sent exactly as given."""

    url: str
    method: str = "GET"
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further headers. They may hold credentials, so they are not shown."""
    max_bytes: int
    """A longer body of the answer is refused."""


def _no_headers() -> CIMultiDictProxy[str]:
    """No headers at all."""
    return CIMultiDictProxy(CIMultiDict())


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """One answer."""

    status: int
    content_type: str
    """Lower case, without parameters; empty when missing."""
    body: bytes = field(repr=False)
    headers: CIMultiDictProxy[str] = field(default_factory=_no_headers, repr=False)
    """All headers, by names in any case."""

    @property
    def is_retryable(self) -> bool:
        """Whether a later attempt can bring another status."""
        return self.status in _RETRYABLE or self.status >= 500

    @property
    def first_line(self) -> str:
        """The first line of a text body, shortened; empty for binary ones."""
        text = self.body[:1024].decode("utf-8", "replace").strip()
        first = text.splitlines()[0].strip() if text else ""
        if "\ufffd" in first or not first.isprintable():
            return ""
        return first[:_SHOWN_TEXT]


def load_library() -> ModuleType:
    """aiohttp, which takes longer to load than all else, and many runs, as on a host without the CA, end without it.

    Also a helper's `warm_up`, for those whose runs may end so.
    """
    import aiohttp

    return aiohttp


class HttpClient:
    """Sends requests. An asynchronous context manager; every use of it is one trust and one set of limits.

    *is_https* is false where no https URL will be asked: the host's store of certificates is not loaded then, which
    takes as long as the rest of a short run. Raises Unconfigured when a file that *tls* names cannot be used.
    """

    def __init__(self, *, tls: TlsSettings, limits: Limits, is_https: bool = True) -> None:
        # Here already: a process that has given up root may not be able to read it any more.
        self._library = load_library()
        # True means the library's own context, which an https proxy is still checked with.
        self._tls = tls_context(tls) if is_https or tls != TlsSettings() else True
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        library = self._library
        self._session = library.ClientSession(
            connector=library.TCPConnector(ssl=self._tls, force_close=True),
            cookie_jar=library.DummyCookieJar(),
            timeout=library.ClientTimeout(total=self._limits.exchange_s, sock_connect=self._limits.connect_s),
            headers={"User-Agent": f"certmongerd/{__version__}", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Exchange one request; at most one redirect, to the same host and scheme.

        Raises Unreachable when there is no complete answer within the limits, Unconfigured for a URL that cannot be.
        """
        response, location = await self._exchange(request, request.url)
        if location is None:
            return response
        _log.info("redirected to %s", _shortened(shown(location)))
        again, location = await self._exchange(request, location)
        if location is not None:
            raise Unreachable(f"{origin(request.url)} redirects more than once")
        return again

    async def _exchange(self, request: HttpRequest, url: str) -> tuple[HttpResponse, str | None]:
        """One request, and where it was redirected to, if it was."""
        try:
            return await self._send(request, url)
        except TimeoutError as exc:
            raise Unreachable(f"{origin(url)} did not answer within the time limit") from exc
        except self._library.InvalidURL as exc:
            raise Unconfigured(f"{shown(url)} is not a valid URL") from exc
        except (self._library.ClientError, ssl.SSLError, OSError, asyncio.IncompleteReadError, ValueError) as exc:
            _log.debug("%s: %s", type(exc).__name__, exc)
            raise Unreachable(f"{origin(url)} cannot be reached: {_reason(exc)}") from exc

    async def _send(self, request: HttpRequest, url: str) -> tuple[HttpResponse, str | None]:
        """`_exchange` with the library's errors."""
        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        _log.info("%s %s", request.method, _shortened(shown(url)))
        if request.body:
            _log.debug("with %d bytes of type %s", len(request.body), request.content_type)
        target = URL(url, encoded=True)
        typed = {"Content-Type": request.content_type} if request.content_type else {}
        async with self._session.request(
            request.method,
            target,
            data=request.body if request.method == "POST" else None,
            headers={**request.headers, **typed},
            allow_redirects=False,
            proxy=_proxy_for(target),
        ) as answer:
            if answer.status in _REDIRECTS and "Location" in answer.headers:
                location = _redirect(target, answer.headers["Location"], with_port="Authorization" in request.headers)
                return HttpResponse(status=answer.status, content_type="", body=b""), location
            response = HttpResponse(
                status=answer.status,
                content_type=answer.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                body=await _read(answer.content, request.max_bytes, url),
                headers=answer.headers,
            )
        _log.info("HTTP %d, %s, %d bytes", response.status, response.content_type or "no type", len(response.body))
        return response, None


def run_with_client(
    task: Callable[[HttpClient], Awaitable[_Result]],
    *,
    url: str,
    tls: TlsSettings,
    limits: Limits,
    prepare: Callable[[], None] = give_up,
) -> _Result:
    """Run *task*, which asks the server at *url*, to its end, within the time limit of a run.

    The files of *tls* are read, then *prepare* is called: by default, a helper program that is root's gives that up
    for good. Raises Unreachable when the time is over, and what *task* raises.
    """

    client = HttpClient(tls=tls, limits=limits, is_https=not url.startswith("http:"))
    prepare()

    async def bounded() -> _Result:
        async with asyncio.timeout(limits.run_s), client:
            return await task(client)

    try:
        return asyncio.run(bounded())
    except TimeoutError as exc:
        raise Unreachable(f"{shown(url)} did not answer within the time limit") from exc


async def _read(stream: "aiohttp.StreamReader", limit: int, url: str) -> bytes:
    """The whole body; raises Unreachable once it exceeds *limit*."""
    body = bytearray()
    async for chunk in stream.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            raise Unreachable(f"{origin(url)} sent more than {limit} bytes")
    return bytes(body)


def _redirect(source: URL, location: str, *, with_port: bool) -> str:
    """The absolute target of a redirect.

    Raises Unreachable when it leads to another host or scheme, or, *with_port*, to another port: credentials are for
    one server.
    """
    target = source.join(URL(location, encoded=True))
    same_server = (target.scheme, target.host) == (source.scheme, source.host)
    if not same_server or (with_port and target.port != source.port):
        raise Unreachable(f"{origin(str(source))} redirects to {origin(str(target))}, which is not followed")
    return str(target)


def _proxy_for(target: URL) -> str | None:
    """The proxy that the environment names for *target*."""
    proxies = urllib.request.getproxies_environment()
    if not proxies or urllib.request.proxy_bypass(target.host or ""):
        return None
    return proxies.get(target.scheme) or proxies.get("all")


def _shortened(url: str) -> str:
    """*url* with its message, which is long and says nothing, cut off."""
    return url if len(url) <= _SHOWN_URL else f"{url[:_SHOWN_URL]}…"


def _reason(error: Exception) -> str:
    """What went wrong in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
