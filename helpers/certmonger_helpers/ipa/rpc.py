"""FreeIPA's JSON-RPC: what is sent, and what the answers mean. Pure."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.outcome import HelperError, Rejected, Unreachable

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_OPTION_ERROR: Final = 3005
_REFUSALS: Final = range(2000, 4000)
"""Errors of authorization and invocation; all others may go away (ipalib/errors.py has the ranges)."""
_MAIN_CA: Final = "ipa"


class UnknownOption(Rejected):
    """The server does not know an option that was sent (error 3005): it is older than profiles or sub-CAs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertRequest:
    """The parameters of `cert_request`."""

    csr_base64: str
    """DER in base64, without armour."""
    principal: str
    profile: str = ""
    issuer: str = ""
    adds_principal: bool = True
    """Whether IPA is to make an entry for the principal where there is none."""

    @classmethod
    def of_der(cls, csr: bytes, *, principal: str, profile: str, adds_principal: bool) -> "CertRequest":
        """For a request in DER."""
        return cls(
            csr_base64=base64.b64encode(csr).decode("ascii"),
            principal=principal,
            profile=profile,
            adds_principal=adds_principal,
        )

    def encode(self) -> bytes:
        """The body of the call."""
        options: dict[str, object] = {"principal": self.principal}
        if self.profile:
            options["profile_id"] = self.profile
        if self.issuer:
            options["cacn"] = self.issuer
        if self.adds_principal:
            options["add"] = True
        return encode_call("cert_request", [self.csr_base64], options)

    def simpler(self) -> "CertRequest | None":
        """The same for a server that refused an option: without issuer, then without profile; None at the end."""
        if self.issuer:
            return replace(self, issuer="")
        return replace(self, profile="") if self.profile else None


def encode_call(method: str, arguments: list[str], options: Mapping[str, object]) -> bytes:
    """The body of a call of *method*."""
    return json.dumps({"method": method, "params": [arguments, dict(options)]}).encode()


def ca_show_call() -> bytes:
    """Ask for the certificate of the main CA, and for its chain."""
    return encode_call("ca_show", [_MAIN_CA], {"chain": True})


def read_result(body: bytes, url: str) -> Mapping[str, object]:
    """The inner result of an answer from *url* that is about one thing.

    Raises UnknownOption, Rejected or Unreachable for an error, with the server's own words, and Unreachable for
    what is not an answer.
    """
    inner = _inner_result(body, url)
    if not isinstance(inner, dict):
        raise Unreachable(f"Server at {url} sent an answer without a result")
    return inner


def read_entries(body: bytes, url: str) -> list[Mapping[str, object]]:
    """The same for an answer that is a list."""
    inner = _inner_result(body, url)
    if not isinstance(inner, list):
        raise Unreachable(f"Server at {url} sent an answer without a list")
    return [each for each in inner if isinstance(each, dict)]


def _inner_result(body: bytes, url: str) -> object:
    """What is in the result of an answer's result."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Unreachable(f"Server at {url} sent an answer that is not JSON") from exc
    if not isinstance(answer, dict):
        raise Unreachable(f"Server at {url} sent an answer that is not a JSON object")
    if answer.get("error") is not None:
        raise _failure(answer["error"], url)
    outer = answer.get("result")
    return outer.get("result") if isinstance(outer, dict) else None


def _failure(error: object, url: str) -> HelperError:
    """What an error member means."""
    fields = error if isinstance(error, dict) else {}
    code = fields.get("code")
    message = " ".join(str(fields.get("message") or "no message").split())
    text = f"{code} ({message})"
    if isinstance(code, int) and code in _REFUSALS:
        kind = UnknownOption if code == _OPTION_ERROR else Rejected
        return kind(f"Server at {url} denied our request, giving up: {text}.")
    return Unreachable(f"Server at {url} failed request, will retry: {text}.")


def issued_certificate(result: Mapping[str, object], url: str) -> str:
    """The PEM certificate in the result of `cert_request`. Raises Rejected when there is none, or Unreachable."""
    if "certificate" not in result:
        raise Unreachable(f"Server at {url} sent an answer without a certificate")
    if result["certificate"] is None:
        raise Rejected(f"Server at {url} issued no certificate")
    return _pem(result["certificate"], url)


def ca_certificates(result: Mapping[str, object], url: str) -> tuple[str, ...]:
    """The PEM certificates in the result of `ca_show`: the CA's, then the others of its chain. Raises Unreachable."""
    chain = result.get("certificate_chain")
    values = [result.get("certificate"), *(chain if isinstance(chain, list) else ())]
    found = [_pem(value, url) for value in values if value is not None]
    if not found:
        raise Unreachable(f"Server at {url} does not tell the certificate of its CA")
    return tuple(dict.fromkeys(found))


def _pem(value: object, url: str) -> str:
    """A certificate as text: base64, possibly in JSON's stand-in for bytes, where IPA has it so."""
    if isinstance(value, dict):
        value = value.get("__base64__")
    try:
        if not isinstance(value, str):
            raise TypeError("not a text")
        certificate = x509.load_der_x509_certificate(base64.b64decode("".join(value.split()), validate=True))
    except (binascii.Error, ValueError, TypeError) as exc:
        raise Unreachable(f"Server at {url} sent a certificate that cannot be read") from exc
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
