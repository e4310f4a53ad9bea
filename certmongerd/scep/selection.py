"""Which of a server's certificates is for encrypting requests, and which is the CA's (RFC 8894 section 3.5.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509

from certmongerd.core.errors import InvalidValue
from certmongerd.scep.asn1 import certificate_der
from certmongerd.scep.certificates import is_ca, is_rsa, is_self_signed, issued, may_encrypt


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A server's certificates by role."""

    ra: x509.Certificate
    """Encrypts requests; a CA without an RA uses its own."""
    ca: x509.Certificate | None
    """The root or issuing CA; None when the server has a single certificate."""
    others: tuple[x509.Certificate, ...] = ()
    """The rest, leaf side first."""

    @property
    def in_order(self) -> tuple[x509.Certificate, ...]:
        """RA, CA, others: the order of the helper's output.

        A single certificate in both roles comes once, unless others follow it: the second place is the CA's.
        """
        if self.ca is None:
            return (self.ra, *((self.ra, *self.others) if self.others else ()))
        return (self.ra, self.ca, *self.others)


class Family:
    """Certificates without duplicates, in the order given, and who issued whom among them."""

    def __init__(self, certificates: Sequence[x509.Certificate]) -> None:
        self.members = tuple({certificate_der(certificate): certificate for certificate in certificates}.values())
        self._issuers: Mapping[x509.Certificate, tuple[x509.Certificate, ...]] = {
            subject: tuple(issuer for issuer in self.members if issuer != subject and issued(issuer, subject))
            for subject in self.members
        }

    def ancestors(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """Members that issued *certificate*, directly or through each other; nearest first."""
        found: list[x509.Certificate] = []
        pending = list(self._issuers[certificate])
        while pending:
            current = pending.pop(0)
            if current not in found and current != certificate:
                found.append(current)
                pending.extend(self._issuers[current])
        return tuple(found)

    def is_issuer(self, certificate: x509.Certificate) -> bool:
        """Whether *certificate* issued another member."""
        return any(certificate in issuers for issuers in self._issuers.values())

    def is_issued(self, certificate: x509.Certificate) -> bool:
        """Whether another member issued *certificate*."""
        return bool(self._issuers[certificate])

    def leaf_side_first(self, certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
        """*certificates* by the number of members below each."""
        above = [ancestor for member in self.members for ancestor in self.ancestors(member)]
        return tuple(sorted(certificates, key=above.count))


def select(
    certificates: Sequence[x509.Certificate],
    *,
    ra: x509.Certificate | None = None,
    ca: x509.Certificate | None = None,
) -> Selection:
    """Sort *certificates* into roles; *ra* and *ca*, obtained out of band, win.

    The encryption certificate is one that issued no other, then one that is not
    a CA, then one that may encrypt, then the first. Raises InvalidValue when no
    certificate has an RSA key.
    """
    given = [certificate for certificate in (ra, ca) if certificate is not None]
    family = Family((*given, *certificates))
    chosen_ra = ra if ra is not None else _choose_ra(family, ca)
    rest = [certificate for certificate in family.members if certificate != chosen_ra]
    chosen_ca = ca if ca is not None else _choose_ca(family, chosen_ra, rest)
    others = [certificate for certificate in rest if certificate != chosen_ca]
    return Selection(
        ra=chosen_ra,
        ca=None if chosen_ca == chosen_ra else chosen_ca,
        others=family.leaf_side_first(others),
    )


def _choose_ra(family: Family, ca: x509.Certificate | None) -> x509.Certificate:
    """The encryption certificate; the given *ca* only when nothing else has an RSA key."""
    candidates = [certificate for certificate in family.members if is_rsa(certificate)]
    if not candidates:
        raise InvalidValue("SCEP certificates", "No certificate of the server has an RSA key to encrypt requests to")
    besides = [certificate for certificate in candidates if certificate != ca]
    return max(
        besides or candidates,
        key=lambda certificate: (
            not family.is_issuer(certificate),
            not is_ca(certificate),
            may_encrypt(certificate),
        ),
    )


def _choose_ca(family: Family, ra: x509.Certificate, rest: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """A self-signed ancestor of *ra*, else anything self-signed, else one that no other member issued."""
    if not rest:
        return None
    above = family.ancestors(ra)
    return max(
        rest,
        key=lambda certificate: (
            is_self_signed(certificate) and certificate in above,
            is_self_signed(certificate),
            certificate in above and not family.is_issued(certificate),
            not family.is_issued(certificate),
        ),
    )
