"""FETCH-SCEP-CA-CERTS: collects a server's certificates and sorts them into roles."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from certmonger_helpers.address import shown
from certmonger_helpers.protocol import HelperError, Unconfigured, Unreachable
from certmonger_helpers.scep.server import ScepServer
from certmonger_helpers.transport import HttpResponse
from certmongerd.core.errors import InvalidValue, RemoteProtocolError
from certmongerd.scep.bag import certificates_in
from certmongerd.scep.certificates import is_ca, is_self_signed
from certmongerd.scep.describe import describe_certificate
from certmongerd.scep.rollover import next_certificates, thumbprint
from certmongerd.scep.selection import Family, Selection, select
from certmongerd.scep.trust import TrustedCertificates

_log = logging.getLogger(__name__)

DEFAULT_IDENTIFIER: Final = "0"
_MAX_INDEX: Final = 32
_MAX_CERTIFICATES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfBand:
    """Certificates that somebody obtained elsewhere; they win over what the server sends."""

    ra: x509.Certificate | None = None
    ca: x509.Certificate | None = None
    others: tuple[x509.Certificate, ...] = ()


async def fetch_certificates(server: ScepServer, given: OutOfBand) -> Selection:
    """The server's certificates by role.

    Raises Unreachable or Rejected when the server has none to give, and
    Unconfigured when none of them can be encrypted to.
    """
    capabilities = await server.capabilities()
    collected = await _collect(server)
    for certificate in collected:
        _log.debug("received certificate: %s", describe_certificate(certificate))
    fetched = _agreeing(collected, given)
    try:
        selection = select((*given.others, *fetched), ra=given.ra, ca=given.ca)
    except InvalidValue as exc:
        raise Unconfigured(f"{shown(server.url)}: {exc.reason}") from exc
    if not capabilities.lists("GetNextCACert"):
        return selection
    coming = await _next(server, selection)
    return replace(selection, others=(*selection.others, *coming))


async def _collect(server: ScepServer) -> tuple[x509.Certificate, ...]:
    """What GetCACert returns, completed by the chain, or by asking for further ones by number."""
    response = await server.get_ca_cert()
    if response.status != 200:
        raise server.complain("GetCACert", response)
    first = _certificates(server, response)
    collected = list(first)
    if not any(map(is_self_signed, collected)):
        collected += await _chain(server)
    if not any(map(is_self_signed, collected)) and server.identifier == DEFAULT_IDENTIFIER and len(first) == 1:
        collected += await _further(server, response, first[0])
    if len(collected) > _MAX_CERTIFICATES:
        raise Unreachable(
            f"{shown(server.url)} sent {len(collected)} certificates; at most {_MAX_CERTIFICATES} are accepted"
        )
    return tuple(collected)


def _certificates(server: ScepServer, response: HttpResponse) -> tuple[x509.Certificate, ...]:
    """The certificates in an answer, whatever its content type. Raises Unreachable when there is none."""
    try:
        return certificates_in(response.body)
    except RemoteProtocolError as exc:
        text = response.first_line
        quoted = f" ({text})" if text else ""
        raise Unreachable(
            f"{shown(server.url)} answered GetCACert without a usable certificate: {exc}{quoted}"
        ) from exc


async def _chain(server: ScepServer) -> tuple[x509.Certificate, ...]:
    """What GetCACertChain returns; newer servers do not know it, which is no failure."""
    try:
        response = await server.get_ca_cert_chain()
        return certificates_in(response.body) if response.status == 200 else ()
    except (HelperError, RemoteProtocolError) as exc:
        _log.info("no chain: %s", exc)
        return ()


async def _next(server: ScepServer, present: Selection) -> tuple[x509.Certificate, ...]:
    """The certificates that will follow the *present* ones, where the server has some and signs for them."""
    trusted = TrustedCertificates(ra=present.ra, ca=present.ca, others=present.others)
    try:
        response = await server.get_next_ca_cert()
        if response.status != 200 or not response.body:
            return ()
        announced = next_certificates(response.body, trusted, datetime.now(UTC))
    except (HelperError, RemoteProtocolError) as exc:
        _log.warning("GetNextCACert brought nothing that can be used: %s", exc)
        return ()
    return tuple(certificate for certificate in announced if certificate not in present.in_order)


async def _further(server: ScepServer, first: HttpResponse, known: x509.Certificate) -> tuple[x509.Certificate, ...]:
    """Certificates number 1, 2, … of a server that hands them out one by one, until it has no new one."""
    found: list[x509.Certificate] = []
    for index in range(1, _MAX_INDEX):
        try:
            response = await server.get_ca_cert(str(index))
            if response.status != 200 or response.content_type != first.content_type:
                break
            answered = certificates_in(response.body)
        except (HelperError, RemoteProtocolError) as exc:
            _log.info("no certificate %d: %s", index, exc)
            break
        fresh = [certificate for certificate in answered if certificate not in (known, *found)]
        if not fresh:
            break
        found += fresh
    return tuple(found)


def _agreeing(fetched: Sequence[x509.Certificate], given: OutOfBand) -> tuple[x509.Certificate, ...]:
    """Those of *fetched* that do not contradict what was *given*, with a warning about the others."""
    kept = tuple(certificate for certificate in fetched if _agrees(certificate, fetched, given))
    for certificate in fetched:
        if certificate not in kept:
            _log.warning(
                "The server's certificate %s (SHA-256 %s) contradicts the given ones and is left out",
                certificate.subject.rfc4514_string(),
                thumbprint(certificate),
            )
    return kept


def _agrees(certificate: x509.Certificate, fetched: Sequence[x509.Certificate], given: OutOfBand) -> bool:
    """Whether a fetched certificate may stand beside the given ones.

    With a given RA no other end-entity certificate may sign or be encrypted to;
    CA certificates have to lie on the way from the given RA, or below or above the given CA.
    """
    anchors = [anchor for anchor in (given.ra, given.ca) if anchor is not None]
    if not anchors or certificate in (*anchors, *given.others):
        return True
    family = Family((*anchors, *given.others, *fetched))
    if given.ra is not None and not is_ca(certificate):
        return False
    if given.ca is not None:
        return given.ca in family.ancestors(certificate) or certificate in family.ancestors(given.ca)
    return given.ra is not None and certificate in family.ancestors(given.ra)
