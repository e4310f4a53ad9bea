"""Problem documents of ACME servers (RFC 8555, section 6.7; RFC 7807) as ends of a helper."""

import json
from collections.abc import Mapping
from typing import Final

from certmonger_helpers.address import origin
from certmonger_helpers.outcome import ExitStatus, HelperError
from certmonger_helpers.transport import HttpResponse

_PREFIX: Final = "urn:ietf:params:acme:error:"
_PASSING: Final = frozenset({"badNonce", "connection", "dns", "orderNotReady", "rateLimited", "serverInternal", "tls"})
"""A later attempt can succeed without anybody changing a setting."""
_SETTINGS: Final = frozenset(
    {
        "accountDoesNotExist",
        "badSignatureAlgorithm",
        "externalAccountRequired",
        "invalidContact",
        "unsupportedContact",
        "userActionRequired",
    }
)
_LONGEST: Final = 900
_LONGEST_RETRY_S: Final = 7 * 24 * 3600


class AcmeProblem(HelperError):
    """The server answered with a problem."""

    def __init__(self, code: str, text: str, *, http_status: int = 0, retry_after_s: int | None = None) -> None:
        self.code = code
        """The type without its prefix, such as `rateLimited`; empty for other types."""
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        super().__init__(_status(code, http_status), text)


def _status(code: str, http_status: int) -> ExitStatus:
    """What a problem means for the request."""
    if code in _SETTINGS:
        return ExitStatus.UNCONFIGURED
    if code in _PASSING or http_status >= 500 or http_status in (408, 429):
        return ExitStatus.UNREACHABLE
    return ExitStatus.REJECTED


def problem_of(response: HttpResponse, url: str) -> AcmeProblem:
    """The problem in an answer that is no success."""
    try:
        document = json.loads(response.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        said = f": {response.first_line}" if response.first_line else ""
        text = f"{origin(url)} answered with HTTP {response.status}{said}"
        return AcmeProblem("", text, http_status=response.status, retry_after_s=retry_after(response))
    return AcmeProblem(
        code_of(document), describe(document), http_status=response.status, retry_after_s=retry_after(response)
    )


def problem_in(document: object, name: str) -> AcmeProblem:
    """The problem that an order or a challenge has as its `error`; *name* is the identifier it is about."""
    if not isinstance(document, dict):
        return AcmeProblem("", f"{name}: the server gave no reason")
    return AcmeProblem(code_of(document), f"{name}: {describe(document)}")


def code_of(document: Mapping[str, object]) -> str:
    """The type of a problem without the prefix of ACME's types."""
    kind = document.get("type")
    return kind.removeprefix(_PREFIX) if isinstance(kind, str) and kind.startswith(_PREFIX) else ""


def describe(document: Mapping[str, object]) -> str:
    """A problem in one line: what the server says, its type, and its subproblems."""
    said = document.get("detail") or document.get("title") or "no detail"
    kind = code_of(document) or document.get("type")
    parts = [f"{said} ({kind})" if kind else str(said)]
    subproblems = document.get("subproblems")
    for each in subproblems if isinstance(subproblems, list) else ():
        if isinstance(each, dict):
            identifier = each.get("identifier")
            name = identifier.get("value") if isinstance(identifier, dict) else None
            parts.append(f"{name}: {describe(each)}" if name else describe(each))
    text = "; ".join(parts)
    return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST]


def retry_after(response: HttpResponse) -> int | None:
    """The seconds of a Retry-After header; None without one. Dates, which servers rarely send, count as none."""
    text = response.headers.get("Retry-After", "").strip()
    return min(int(text[:9]), _LONGEST_RETRY_S) if text.isascii() and text.isdecimal() else None
