"""Nicknames and locations that are in use already."""

from collections.abc import Iterator

from certmongerd.busapi.refusal import CallRefused, duplicate
from certmongerd.busapi.table import Context
from certmongerd.core.ids import ObjectPath
from certmongerd.core.model import Ca, CertStorage, KeyStorage, Request, StorageType


def users_of(location: str, context: Context) -> Iterator[Request]:
    """Requests that keep their key or their certificate at *location*, and any on their way into the service."""
    requests = context.service.requests()
    for path in context.service.requests_at(location):
        yield requests[path]
    yield from context.pending


def require_free_nickname(nickname: str, context: Context, *, own: ObjectPath | None = None) -> None:
    """Raises CallRefused when a request other than *own* has *nickname*, without regard to case."""
    wanted = nickname.casefold()
    requests = context.service.requests()
    registered = (requests[path] for path in context.service.requests_named(nickname) if path != own)
    for request in (*registered, *(other for other in context.pending if other.id.casefold() == wanted)):
        raise duplicate(f'There is already a request with the nickname "{request.id}".', ("NICKNAME",))


def require_free_ca_nickname(nickname: str, cas: tuple[Ca, ...]) -> None:
    """Raises CallRefused when a CA has *nickname*, without regard to case."""
    wanted = nickname.casefold()
    for ca in cas:
        if ca.id.casefold() == wanted:
            raise duplicate(f'There is already a CA with the nickname "{ca.id}".', ())


def _location_taken(what: str, request: Request, storage: StorageType) -> CallRefused:
    prefix = "CERT" if what == "Certificate" else "KEY"
    keys = (f"{prefix}_LOCATION", f"{prefix}_NICKNAME") if storage is StorageType.NSSDB else (f"{prefix}_LOCATION",)
    return duplicate(f'{what} at same location is already used by request with nickname "{request.id}".', keys)


def _place(storage: CertStorage | KeyStorage) -> tuple[StorageType, str, str]:
    nickname = storage.nickname if storage.type is StorageType.NSSDB else ""
    return storage.type, storage.location, nickname


def require_free_certificate(storage: CertStorage, context: Context) -> None:
    """Raises CallRefused when a request keeps its certificate at the same place; tokens are not compared."""
    wanted = _place(storage)
    for request in users_of(storage.location, context):
        if request.cert_storage.location == storage.location and _place(request.cert_storage) == wanted:
            raise _location_taken("Certificate", request, storage.type)


def require_free_key(storage: KeyStorage, context: Context) -> None:
    """Raises CallRefused when a request keeps its key at the same place."""
    wanted = _place(storage)
    for request in users_of(storage.location, context):
        if request.key_storage.location == storage.location and _place(request.key_storage) == wanted:
            raise _location_taken("Key", request, storage.type)
