"""Which CA a request belongs to, and which CA certificates it wants stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaCertLocations, NamedCertificate, Request


def choose_ca(request: Request, cas: Sequence[Ca], default_ca: CaName) -> CaName:
    """The CA for a request that names none; empty when there is no reason for any.

    The CA that knows the present certificate's issuer comes first, then the
    default CA, then the configured default; of several the last in load order.
    """
    if request.cert_facts.issuer:
        for ca in reversed(cas):
            if request.cert_facts.issuer in ca.issuer_names:
                return ca.id
    for ca in reversed(cas):
        if ca.is_default:
            return ca.id
    return default_ca


def find_ca(cas: Sequence[Ca], name: CaName) -> Ca | None:
    """The CA called *name*, compared exactly."""
    return next((ca for ca in cas if ca.id == name), None)


def ca_certificate_files(
    locations: Sequence[CaCertLocations], ca: Ca | None, request: Request | None
) -> dict[str, tuple[NamedCertificate, ...]]:
    """What belongs into each CA certificate file that *locations* name.

    Roots, other roots and others of *ca* go to the files listed for that kind;
    roots and chain that came with *request*'s certificate join the first and the last.
    Files for which there is nothing are left out, and so left alone.
    """
    contents: dict[str, dict[NamedCertificate, None]] = {}
    for place in locations:
        for files, certificates in _kinds(place, ca, request):
            for file in files:
                contents.setdefault(file, {}).update(dict.fromkeys(certificates))
    return {file: tuple(certificates) for file, certificates in contents.items() if certificates}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseCertificate:
    """A CA certificate for an NSS database."""

    certificate: NamedCertificate
    is_root: bool
    """Whether it is to be trusted as a CA; else it only completes chains."""


def ca_certificate_databases(
    locations: Sequence[CaCertLocations], ca: Ca | None, request: Request | None
) -> dict[str, tuple[DatabaseCertificate, ...]]:
    """As `ca_certificate_files`, for NSS databases. What is wanted as root and as another one is a root."""
    databases = [
        CaCertLocations(root_files=p.root_dbs, other_root_files=p.other_root_dbs, other_files=p.other_dbs)
        for p in locations
    ]
    roots = ca_certificate_files([replace(place, other_files=()) for place in databases], ca, request)
    return {
        database: tuple(
            DatabaseCertificate(certificate=certificate, is_root=certificate in roots.get(database, ()))
            for certificate in certificates
        )
        for database, certificates in ca_certificate_files(databases, ca, request).items()
    }


def _kinds(
    place: CaCertLocations, ca: Ca | None, request: Request | None
) -> Iterator[tuple[tuple[str, ...], tuple[NamedCertificate, ...]]]:
    delivered_roots = request.cert_roots if request is not None else ()
    delivered_chain = request.cert_chain if request is not None else ()
    yield place.root_files, (ca.root_certs if ca is not None else ()) + delivered_roots
    yield place.other_root_files, ca.other_root_certs if ca is not None else ()
    yield place.other_files, (ca.other_certs if ca is not None else ()) + delivered_chain


def wants_ca_certs(request: Request, cas: Sequence[Ca]) -> bool:
    """Whether there are CA certificates of a kind that *request* wants stored."""
    places, ca = [request.ca_certs], find_ca(cas, request.ca_name)
    return bool(ca_certificate_files(places, ca, request) or ca_certificate_databases(places, ca, request))
