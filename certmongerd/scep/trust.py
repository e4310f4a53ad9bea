"""Whether a certificate may sign replies of a SCEP server.

A server's own certificates are accepted as they are, also without a root. Any
other signer has to be a registration authority, or a CA, below the server's CA:
whoever merely holds a certificate of that CA must not be able to answer for it.
Usages are otherwise not looked at, since servers sign with certificates that
have none for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from certmongerd.scep.certificates import extension_of, is_ca, issued
from certmongerd.scep.oids import CERTIFICATE_REQUEST_AGENT, CMC_REGISTRATION_AUTHORITY

_MAX_CHAIN: Final = 8
_AGENT_USAGES: Final = frozenset({CMC_REGISTRATION_AUTHORITY, CERTIFICATE_REQUEST_AGENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedCertificates:
    """What a client knows of its server."""

    ra: x509.Certificate
    """The encryption certificate; an anchor, too, when it is the only one."""
    ca: x509.Certificate | None = None
    others: tuple[x509.Certificate, ...] = ()

    @property
    def all(self) -> tuple[x509.Certificate, ...]:
        """All of them."""
        return (self.ra, *(() if self.ca is None else (self.ca,)), *self.others)

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """Where chains may end."""
        return (self.ra,) if self.ca is None else (self.ca, self.ra)


def why_untrusted(
    signer: x509.Certificate, trusted: TrustedCertificates, embedded: Sequence[x509.Certificate], now: datetime
) -> str | None:
    """Why *signer* may not sign replies at *now*; None when it may."""
    if not _is_valid(signer, now):
        return "the signer's certificate is not valid at this time"
    if signer in trusted.all:
        return None
    if not is_ca(signer) and not _is_registration_authority(signer):
        return "the signer is neither a certificate of the server nor a registration authority"
    if _chains(signer, trusted.anchors, (*trusted.others, *embedded), now):
        return None
    return "the signer's certificate does not lead to the CA's"


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether *now* is within the validity."""
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _is_registration_authority(certificate: x509.Certificate) -> bool:
    """Whether extended key usage makes it one (RFC 6402, or Microsoft's enrolment agent)."""
    usage = extension_of(certificate, x509.ExtendedKeyUsage)
    return usage is not None and any(purpose.dotted_string in _AGENT_USAGES for purpose in usage)


def _chains(
    signer: x509.Certificate,
    anchors: Sequence[x509.Certificate],
    intermediates: Sequence[x509.Certificate],
    now: datetime,
) -> bool:
    """Whether valid CA certificates lead from *signer* to one of *anchors*."""
    usable = [candidate for candidate in intermediates if is_ca(candidate) and _is_valid(candidate, now)]
    ends = [anchor for anchor in anchors if _may_issue(anchor) and _is_valid(anchor, now)]
    reached = [signer]
    level = [signer]
    for _ in range(_MAX_CHAIN):
        if any(issued(anchor, certificate) for anchor in ends for certificate in level):
            return True
        level = [
            issuer
            for issuer in usable
            if issuer not in reached and any(issued(issuer, certificate) for certificate in level)
        ]
        reached.extend(level)
    return False


def _may_issue(anchor: x509.Certificate) -> bool:
    """Whether an anchor may be a CA: basicConstraints say so, or the certificate predates them."""
    return is_ca(anchor) or (extension_of(anchor, x509.BasicConstraints) is None and issued(anchor, anchor))
