"""getcert show: certificate, chain and signing request of one request in readable form."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from getcert.commands.groups import CHOSEN
from getcert.context import Context
from getcert.documents import days_left
from getcert.entries import Properties
from getcert.errors import CommandFailed
from getcert.help import Groups
from getcert.names import key_usage_names, object_identifier_name
from getcert.selection import choose_request
from getcert.text import time_text

if TYPE_CHECKING:
    from certmongerd.pki.description import Described

GROUPS: Final[Groups] = (*CHOSEN, ("Output", ("utc",)))
HIDDEN: Final = ()

_UNLIMITED: Final = -2
"""A CA without limit on the length of its chains, as the daemon notes it."""

_CA_CERTIFICATES: Final = ("root-certs", "root-other-certs", "other-certs")
"""Properties of a CA with its certificates."""

_Line = tuple[str, str]


def _seconds(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp())


def _validity(described: "Described", *, now: float, utc: object) -> Iterator[_Line]:
    facts = described.facts
    yield "issued", time_text(_seconds(facts.not_before), utc=utc)
    end = _seconds(facts.not_after)
    days = days_left(end, now)
    if days is None:
        remark = ""
    elif days < 0:
        remark = " (expired)"
    else:
        remark = f" ({days} {'day' if days == 1 else 'days'} left)"
    yield "expires", time_text(end, utc=utc) + remark


def _ca(described: "Described") -> str:
    if not described.facts.is_ca:
        return "no"
    length = described.facts.ca_path_length
    return "yes" if length == _UNLIMITED else f"yes, path length {length}"


def _names_and_uses(described: "Described") -> Iterator[_Line]:
    facts = described.facts
    yield "dns", ",".join(facts.hostname)
    yield "email", ",".join(facts.email)
    yield "IP address", ",".join(facts.ip_address)
    yield "URI", ",".join(described.uris)
    yield "principal name", ",".join(facts.principal)
    yield "key usage", key_usage_names(facts.ku)
    yield "eku", ",".join(map(object_identifier_name, facts.eku))
    yield "CA", _ca(described)
    yield "profile", facts.profile
    yield "OCSP", ",".join(facts.ocsp)
    yield "CRL", ",".join(facts.crldp)
    yield "subject key identifier", described.key_identifier
    yield "authority key identifier", described.authority_key_identifier
    yield "other extensions", ",".join(described.other_extensions)


def _certificate_lines(described: "Described", *, now: float, utc: object) -> Iterator[_Line]:
    facts = described.facts
    yield "subject", facts.subject
    yield "issuer", facts.issuer
    yield "serial", facts.serial
    yield from _validity(described, now=now, utc=utc)
    yield "key", described.key
    yield from _names_and_uses(described)
    yield "signature", described.signature
    yield from ((f"{name} fingerprint", digest) for name, digest in described.fingerprints)


def _csr_lines(described: "Described") -> Iterator[_Line]:
    yield "subject", described.facts.subject
    yield "key", described.key
    yield from _names_and_uses(described)
    yield from described.attributes
    yield "signature", described.signature
    yield from ((f"{name} fingerprint", digest) for name, digest in described.fingerprints)


def _pems(properties: Properties, *names: str) -> list[str]:
    """The PEM texts of lists of nicknames and certificates."""
    values = [properties.values.get(name) for name in names]
    pairs = [pair for value in values if isinstance(value, Sequence) for pair in value]
    return [pair[1] for pair in pairs if isinstance(pair, Sequence) and len(pair) > 1 and isinstance(pair[1], str)]


def _issuers(pems: Sequence[str], authority: Properties) -> Iterator[str]:
    """The certificates among those of the CA which lead from the end of *pems* towards a root."""
    from certmongerd.core.errors import InvalidValue
    from certmongerd.pki.description import describe_certificate

    by_subject: dict[bytes, tuple[bytes, str]] = {}
    for pem in _pems(authority, *_CA_CERTIFICATES):
        try:
            facts = describe_certificate(pem).facts
        except InvalidValue:
            continue  # it cannot be the issuer of anything
        by_subject.setdefault(facts.subject_der, (facts.issuer_der, pem))
    try:
        last = describe_certificate(pems[-1]).facts
    except InvalidValue:
        return
    subject, issuer = last.subject_der, last.issuer_der
    while issuer != subject and issuer in by_subject:
        subject = issuer
        issuer, pem = by_subject.pop(subject)
        yield pem


def _tell(context: Context, heading: str, lines: Callable[[], Iterator[_Line]]) -> None:
    from certmongerd.core.errors import InvalidValue

    context.tell(f"{heading}:")
    try:
        shown = [(label, text) for label, text in lines() if text]
    except InvalidValue as exc:
        shown = [("unreadable", exc.reason)]
    for label, text in shown:
        context.tell(f"\t{label}: {text}")


def run(context: Context) -> int:
    """Print what the daemon holds of the request."""
    from certmongerd.pki.description import describe_certificate, describe_request

    with context.client() as client:
        entry = choose_request(context.options, context.tell, client)
        authority = client.ca(entry.ca_path).properties if entry.ca_path else Properties({})
    certificate, csr = entry.properties.text("cert"), entry.properties.text("csr")
    if not certificate and not csr:
        raise CommandFailed(
            f'Request "{entry.nickname}" has neither a certificate nor a signing request yet.',
            f"It is in state {entry.status}; getcert why -i {entry.nickname} tells what comes next.",
        )
    now, utc = time.time(), context.options.given("utc")

    def tell_certificate(heading: str, pem: str) -> None:
        _tell(context, heading, lambda: _certificate_lines(describe_certificate(pem), now=now, utc=utc))

    context.tell(f"Request ID '{entry.nickname}':")
    if certificate:
        tell_certificate("Certificate", certificate)
        chain = _pems(entry.properties, "cert-chain", "cert-roots")
        for number, pem in enumerate((*chain, *_issuers([certificate, *chain], authority)), start=1):
            tell_certificate(f"Chain certificate {number}", pem)
    if csr:
        _tell(context, "Signing request", lambda: _csr_lines(describe_request(csr)))
    return 0
