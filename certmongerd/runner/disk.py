"""What is found on disk when the daemon starts."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from certmongerd.core.errors import InvalidValue, KeyStoreError
from certmongerd.core.events import CertRead, KeyRead
from certmongerd.core.model import Ca, CaCertLocations, Request, StorageType
from certmongerd.keystore.store import open_key_store
from certmongerd.pki.certs import certificate_facts, parse_certificate


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


def look_at_disk(request: Request) -> Seen:
    """Read key and certificate of *request*; trouble with either is left to the machine, which reports it."""
    key = _look_at_key(request)
    return Seen(key=key, cert=_look_at_cert(request, key))


def _look_at_key(request: Request) -> KeyRead | None:
    if request.key_storage.type is StorageType.NONE:
        return None
    try:
        store = open_key_store(request.key_storage.type)
        store.sweep_leftovers(request.key_storage.location)
        if request.key_next_marker:
            store.sweep_leftovers(store.candidate_location(request.key_storage, request.key_next_marker))
        facts = store.read_key(request.key_storage, known_spki=request.key.pubkey_info)
    except KeyStoreError:
        return None
    if facts is None:
        return None
    return KeyRead(type=facts.algorithm, size=facts.bits, pubkey_info=facts.spki, token=facts.token)


def _look_at_cert(request: Request, key: KeyRead | None) -> CertRead | None:
    try:
        store = open_key_store(request.cert_storage.type)
        if key is not None:
            store.finish_exchange(request.cert_storage, key.pubkey_info)
        store.sweep_leftovers(request.cert_storage.location)
        pem = store.read_certificate(request.cert_storage)
        if pem is None:
            return None
        return CertRead(cert=pem, facts=certificate_facts(parse_certificate(pem)))
    except (KeyStoreError, InvalidValue):
        return None
