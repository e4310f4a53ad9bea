"""What is found on disk when the daemon starts."""

from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from certmongerd.core.errors import InvalidValue, KeyStoreError
from certmongerd.core.events import CertRead, KeyRead
from certmongerd.core.model import Ca, CaCertLocations, Request, StorageType
from certmongerd.keystore.nss.survey import Tenant, survey
from certmongerd.keystore.store import open_key_store
from certmongerd.pki.keys import KeyFacts
from certmongerd.runner.found import cert_read, key_read


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedState:
    """Requests and CAs with the names of their files; a CA that is new has no file yet."""

    requests: tuple[tuple[str, Request], ...]
    cas: tuple[tuple[str, Ca], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a request's locations hold now; None for what is absent or cannot be read."""

    key: KeyRead | None
    cert: CertRead | None


def sweep_ca_files(locations: Iterable[CaCertLocations]) -> None:
    """Remove what a crash left of unfinished writes of CA certificates; whatever else is wrong there shows later."""
    store = open_key_store(StorageType.FILE)
    for place in locations:
        for path in {*place.root_files, *place.other_root_files, *place.other_files}:
            with suppress(KeyStoreError):
                store.sweep_leftovers(path)


def way_in(request: Request) -> Hashable:
    """Requests that are looked at together have this in common; None for one that is looked at alone."""
    return _tenant(request).way_in


def look_at_disk(requests: Sequence[Request]) -> list[Seen]:
    """Read keys and certificates of *requests*; trouble with either is left to the machine, which reports it.

    Several requests have the same `way_in`. Blocks.
    """
    if way_in(requests[0]) is not None:
        # A database that is broken or locked is broken for all, but only the machine tells how.
        with suppress(KeyStoreError):
            return [
                Seen(key=_key_read(found.key), cert=_cert_read(found.cert_pem))
                for found in survey([_tenant(request) for request in requests])
            ]
    return [_look_at(request) for request in requests]


def _tenant(request: Request) -> Tenant:
    return Tenant(key=request.key_storage, cert=request.cert_storage, known_spki=request.key.pubkey_info)


def _look_at(request: Request) -> Seen:
    key = _look_at_key(request)
    return Seen(key=key, cert=_look_at_cert(request, key))


def _key_read(facts: KeyFacts | None) -> KeyRead | None:
    return None if facts is None else key_read(facts)


def _cert_read(pem: str | None) -> CertRead | None:
    if pem is None:
        return None
    try:
        return cert_read(pem)
    except InvalidValue:
        return None


def _look_at_key(request: Request) -> KeyRead | None:
    if request.key_storage.type is StorageType.NONE:
        return None
    try:
        store = open_key_store(request.key_storage.type)
        store.sweep_leftovers(request.key_storage.location)
        if request.key_next_marker:
            store.sweep_leftovers(store.candidate_location(request.key_storage, request.key_next_marker))
        return _key_read(store.read_key(request.key_storage, known_spki=request.key.pubkey_info))
    except KeyStoreError:
        return None


def _look_at_cert(request: Request, key: KeyRead | None) -> CertRead | None:
    try:
        store = open_key_store(request.cert_storage.type)
        if key is not None:
            store.finish_exchange(request.cert_storage, key.pubkey_info)
        store.sweep_leftovers(request.cert_storage.location)
        return _cert_read(store.read_certificate(request.cert_storage))
    except KeyStoreError:
        return None
