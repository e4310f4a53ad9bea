"""HTTP authentication with user name and password: Digest (RFC 7616) where the server has it, else Basic (RFC 7617)."""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from certmongerd.core.secret import Secret

_SCHEME: Final = re.compile(r"(?:^|,)\s*(Basic|Digest)\s+", re.IGNORECASE)
_PARAMETER: Final = re.compile(r'\s*,?\s*([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_DIGESTS: Final[Mapping[str, Callable[[bytes], "hashlib._Hash"]]] = {
    "SHA-256": hashlib.sha256,
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),
}
"""The better one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who asks."""

    user: str
    password: Secret


@dataclass(frozen=True, slots=True)
class _Challenge:
    scheme: str
    parameters: Mapping[str, str]


def authorization(challenges: Sequence[str], login: Login, method: str, url: str) -> str | None:
    """The Authorization header for a request that was answered with these WWW-Authenticate headers.

    None when the server wants a scheme that is not known here.
    """
    wanted = [challenge for header in challenges for challenge in _parse(header)]
    for algorithm in _DIGESTS:
        for challenge in wanted:
            if challenge.scheme == "digest" and challenge.parameters.get("algorithm", "MD5").upper() == algorithm:
                answer = _digest(challenge.parameters, algorithm, login, method, url)
                if answer is not None:
                    return answer
    if any(challenge.scheme == "basic" for challenge in wanted):
        pair = f"{login.user}:{login.password.reveal()}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"
    return None


def _parse(header: str) -> list[_Challenge]:
    """The challenges in one header that are of a known scheme."""
    starts = list(_SCHEME.finditer(header))
    found = []
    ends = [each.start() for each in starts[1:]] + [len(header)]
    for start, end in zip(starts, ends, strict=False):
        pairs = _PARAMETER.findall(header[start.end() : end])
        parameters = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in pairs}
        found.append(_Challenge(start[1].lower(), parameters))
    return found


def _digest(given: Mapping[str, str], algorithm: str, login: Login, method: str, url: str) -> str | None:
    """An answer to a Digest challenge (RFC 7616, section 3.4); None for one that protects the body, too."""
    offered = [each.strip() for each in given.get("qop", "").split(",") if each.strip()]
    if (offered and "auth" not in offered) or any('"' in given.get(name, "") for name in ("realm", "nonce", "opaque")):
        return None

    def hashed(text: str) -> str:
        return _DIGESTS[algorithm](text.encode()).hexdigest()

    parts = urlsplit(url)
    uri = parts.path + (f"?{parts.query}" if parts.query else "")
    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    client_nonce, count = secrets.token_hex(16), "00000001"
    who = hashed(f"{login.user}:{realm}:{login.password.reveal()}")
    what = hashed(f"{method}:{uri}")
    user = login.user.replace("\\", "\\\\").replace('"', '\\"')
    fields = [f'username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"', f"algorithm={algorithm}"]
    if offered:
        response = hashed(f"{who}:{nonce}:{count}:{client_nonce}:auth:{what}")
        fields += ["qop=auth", f"nc={count}", f'cnonce="{client_nonce}"']
    else:
        response = hashed(f"{who}:{nonce}:{what}")  # RFC 2069
    fields.append(f'response="{response}"')
    if "opaque" in given:
        fields.append(f'opaque="{given["opaque"]}"')
    return "Digest " + ", ".join(fields)
