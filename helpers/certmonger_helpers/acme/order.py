"""Orders: from a signing request to a certificate (RFC 8555, sections 7.4 and 7.5)."""

import asyncio
import base64
import logging
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urljoin

from acme.challenges import Challenge as ChallengeMessage
from acme.challenges import KeyAuthorizationChallenge
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.acme.account import Account
from certmonger_helpers.acme.challenges import Challenge, Responder, choose_responder
from certmonger_helpers.acme.problems import AcmeProblem, problem_in, retry_after
from certmonger_helpers.acme.session import Json, Session, json_object, location_of, text_of
from certmonger_helpers.outcome import Rejected, Unconfigured, Unreachable
from certmonger_helpers.transport import HttpResponse

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0
_MOST_AUTHORIZATIONS: Final = 1000
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,256}")
"""It becomes a file name."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The server wants more time."""

    delay_s: int


@dataclass(frozen=True, slots=True)
class Chain:
    """The certificate and those above it, PEM."""

    pem: str


def read_signing_request(pem: str) -> x509.CertificateSigningRequest:
    """The signing request. Raises Unconfigured when there is none, or none that can be read."""
    if not pem.strip():
        raise Unconfigured("There is no signing request")
    try:
        return x509.load_pem_x509_csr(pem.encode())
    except ValueError as exc:
        raise Unconfigured(f"The signing request cannot be read: {exc}") from exc


def identifiers_of(request: x509.CertificateSigningRequest) -> list[dict[str, str]]:
    """The names that control has to be proved of: DNS names and addresses, and a common name that is one of them.

    Raises Rejected when there is none.
    """
    names: dict[tuple[str, str], None] = {}
    try:
        alternative = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        alternative = x509.SubjectAlternativeName([])
    for name in alternative.get_values_for_type(x509.DNSName):
        names["dns", name.lower()] = None
    for address in alternative.get_values_for_type(x509.IPAddress):
        names["ip", str(address)] = None
    for attribute in request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        text = str(attribute.value).lower()
        if _is_address(text):
            names["ip", str(ip_address(text))] = None
        elif "." in text and not any(map(str.isspace, text)):
            names["dns", text] = None
    if not names:
        raise Rejected("The request names neither a DNS name (-D) nor an address (-A), which is what ACME certifies")
    return [{"type": kind, "value": value} for kind, value in names]


def _is_address(text: str) -> bool:
    """Whether *text* is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


async def new_order(session: Session, account: Account, order: Json) -> str:
    """Create an order; its URL."""
    url = await session.resource("newOrder")
    return location_of(await account.post(session, url, order), url)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderWork:
    """One order, and what it is brought to its end with."""

    session: Session
    account: Account
    url: str
    csr: x509.CertificateSigningRequest
    responders: Sequence[Responder]
    preferred_chain: str
    """Common name of an issuer in the chain that is wanted; empty: the server's choice."""
    deadline: float
    """When to leave the rest to a later run, in seconds of `time.monotonic`."""

    async def fetch(self) -> tuple[Json, HttpResponse]:
        """The order as it stands."""
        response = await self.account.post(self.session, self.url, None)
        return json_object(response, self.url), response

    async def finish(self, order: Json, response: HttpResponse) -> Chain | Pending:
        """Do what the order waits for, until there is a certificate or the time is over.

        Raises AcmeProblem when the server refuses, Unconfigured when no way of proving control fits.
        """
        pause = _FIRST_PAUSE_S
        proved = False
        while True:
            match text_of(order, "status"):
                case "pending" if not proved:
                    if not await self._authorize(order):
                        return Pending(_delay_of(response))
                    proved = True
                case "ready":
                    await self._finalize(order)
                case "valid":
                    return await self._download(order)
                case "invalid":
                    raise await self.failure(order)
                case "pending" | "processing":
                    if time.monotonic() + pause > self.deadline:
                        return Pending(_delay_of(response))
                    await asyncio.sleep(min(float(retry_after(response) or pause), self.deadline - time.monotonic()))
                    pause = min(pause * 2, _LONGEST_PAUSE_S)
                case status:
                    raise Unreachable(f"{self.url} has the unknown status {status!r}")
            order, response = await self.fetch()

    async def failure(self, order: Json) -> AcmeProblem:
        """Why the order is invalid: the error of an authorization that failed, else its own."""
        for url in _texts(order, "authorizations"):
            authorization = await self._fetch_authorization(url)
            if text_of(authorization, "status") == "invalid":
                return _failed_challenge(authorization)
        return problem_in(order.get("error"), "The order failed")

    async def _authorize(self, order: Json) -> bool:
        """Prove control of all names; False when the server had not decided when the time was over."""
        waiting: list[str] = []
        answers: dict[Responder, list[Challenge]] = {}
        for url in _texts(order, "authorizations")[:_MOST_AUTHORIZATIONS]:
            authorization = await self._fetch_authorization(url)
            match text_of(authorization, "status"):
                case "valid":
                    continue
                case "pending":
                    responder, challenge = self._choose(authorization)
                    answers.setdefault(responder, []).append(challenge)
                    waiting.append(url)
                case "invalid":
                    raise _failed_challenge(authorization)
                case status:
                    raise AcmeProblem("", f"{_name_of(authorization)}: the authorization is {status}")
        try:
            async with asyncio.timeout(max(self.deadline - time.monotonic(), 0)), AsyncExitStack() as stack:
                for responder, challenges in answers.items():
                    await stack.enter_async_context(responder.answering(challenges))
                for challenge in (each for challenges in answers.values() for each in challenges):
                    if not challenge.is_announced:
                        await self.account.post(self.session, challenge.url, {})
                for url in waiting:
                    await self._wait_for(url)
        except TimeoutError:
            return False
        return True

    async def _wait_for(self, url: str) -> None:
        """Wait until the server has decided about one authorization. Raises AcmeProblem when it failed."""
        pause = _FIRST_PAUSE_S
        while True:
            response = await self.account.post(self.session, url, None)
            authorization = json_object(response, url)
            match text_of(authorization, "status"):
                case "valid":
                    return
                case "pending":
                    await asyncio.sleep(float(retry_after(response) or pause))
                    pause = min(pause * 2, _LONGEST_PAUSE_S)
                case _:
                    raise _failed_challenge(authorization)

    async def _fetch_authorization(self, url: str) -> Json:
        """One authorization."""
        return json_object(await self.account.post(self.session, url, None), url)

    def _choose(self, authorization: Json) -> tuple[Responder, Challenge]:
        """The way to prove control of the authorization's name."""
        name = _name_of(authorization)
        offered = {text_of(each, "type"): each for each in _objects(authorization, "challenges")}
        responder = choose_responder(name, tuple(offered), self.responders)
        document = offered[responder.kind]
        message = ChallengeMessage.from_json(document)
        if not isinstance(message, KeyAuthorizationChallenge) or not _TOKEN.fullmatch(text_of(document, "token")):
            raise Unreachable(f"The challenge for {name} has no usable token")
        challenge = Challenge(
            identifier=name.removeprefix("*."),
            url=text_of(document, "url"),
            token=text_of(document, "token"),
            key_authorization=message.key_authorization(self.account.key),
            is_announced=text_of(document, "status") == "processing",
        )
        return responder, challenge

    async def _finalize(self, order: Json) -> None:
        """Send the signing request."""
        der = base64.urlsafe_b64encode(self.csr.public_bytes(Encoding.DER)).decode().rstrip("=")
        try:
            await self.account.post(self.session, text_of(order, "finalize"), {"csr": der})
        except AcmeProblem as problem:
            if problem.code != "orderNotReady":  # else another run was faster
                raise

    async def _download(self, order: Json) -> Chain:
        """The certificate with the preferred chain, if the server has it, else with its first."""
        url = text_of(order, "certificate")
        response = await self.account.post(self.session, url, None)
        chain = _read_chain(response, url)
        if not self.preferred_chain or _leads_to(chain, self.preferred_chain):
            return _as_pem(chain)
        for target in _alternates(response, url):
            other = _read_chain(await self.account.post(self.session, target, None), target)
            if _leads_to(other, self.preferred_chain):
                return _as_pem(other)
        _log.warning('The CA has no chain to "%s"; its own choice is used', self.preferred_chain)
        return _as_pem(chain)


def _delay_of(response: HttpResponse) -> int:
    """When to come again."""
    return max(retry_after(response) or 0, int(_LONGEST_PAUSE_S))


def _name_of(authorization: Json) -> str:
    """The name that an authorization is for, with `*.` where it is for a wildcard."""
    identifier = authorization.get("identifier")
    name = text_of(identifier, "value") if isinstance(identifier, dict) else ""
    return f"*.{name}" if authorization.get("wildcard") is True else name


def _failed_challenge(authorization: Json) -> AcmeProblem:
    """Why an authorization is not valid."""
    failed = (each["error"] for each in _objects(authorization, "challenges") if each.get("error"))
    return problem_in(next(failed, None), _name_of(authorization))


def _texts(document: Json, name: str) -> list[str]:
    """A list of texts; what is none is left out."""
    values = document.get(name)
    return [each for each in values if isinstance(each, str)] if isinstance(values, list) else []


def _objects(document: Json, name: str) -> list[Json]:
    """A list of objects; what is none is left out."""
    values = document.get(name)
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def _read_chain(response: HttpResponse, url: str) -> list[x509.Certificate]:
    """The certificates in an answer. Raises Unreachable when there is none."""
    try:
        return x509.load_pem_x509_certificates(response.body)
    except ValueError as exc:
        raise Unreachable(f"{url} has no certificates in PEM") from exc


def _as_pem(chain: Iterable[x509.Certificate]) -> Chain:
    """Nothing but the certificates."""
    return Chain("".join(each.public_bytes(Encoding.PEM).decode() for each in chain))


def _leads_to(chain: Iterable[x509.Certificate], name: str) -> bool:
    """Whether some certificate in *chain* was issued by, or is, the CA with this common name."""
    return any(
        str(attribute.value) == name
        for certificate in chain
        for attribute in certificate.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    )


def _alternates(response: HttpResponse, url: str) -> list[str]:
    """The URLs of other chains (RFC 8555, section 7.4.2)."""
    found = []
    for header in response.headers.getall("Link", []):
        for link in header.split(","):
            target, *parameters = link.strip().split(";")
            relations = [each.strip().replace('"', "") for each in parameters]
            if "rel=alternate" in relations and target.startswith("<") and target.endswith(">"):
                found.append(urljoin(url, target[1:-1]))
    return found
