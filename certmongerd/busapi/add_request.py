"""`add_request`: from the caller's dictionary to a registered request.

The order of the checks is certmonger's, so that a call with several mistakes gets the same answer.
"""

import asyncio
from collections.abc import Callable

from certmongerd.busapi.entries import Entries
from certmongerd.busapi.locations import (
    DATABASE_LISTS,
    FILE_LISTS,
    Places,
    check_ca_cert_lists,
    normalised_database,
    require_place_of_secret,
)
from certmongerd.busapi.refusal import CallRefused, bad_arg, duplicate, missing_arg
from certmongerd.busapi.service import Caller
from certmongerd.busapi.settings import KEY_SETTINGS, OTHER_SETTINGS, AnySetting, with_generation
from certmongerd.busapi.table import Context
from certmongerd.busapi.uniqueness import require_free_certificate, require_free_key, require_free_nickname, users_of
from certmongerd.core.errors import InvalidValue
from certmongerd.core.evolve import replace
from certmongerd.core.ids import Nickname, ObjectPath
from certmongerd.core.model import CaCertLocations, CertStorage, KeyStorage, Request, StorageType
from certmongerd.core.pkcs11_uri import is_pkcs11, parse_uri


def valid_nickname(nickname: str) -> str:
    """*nickname*; raises CallRefused for one that could not be stored or listed."""
    if not nickname or not nickname.isprintable():
        raise bad_arg(f"The nickname {nickname!r} must not be empty or hold control characters.", "NICKNAME")
    return nickname


def _cert_storage_type(entries: Entries) -> StorageType:
    text = entries.text("CERT_STORAGE", "cert-storage")
    if text is None:
        raise missing_arg("Certificate storage type not specified.", "CERT_STORAGE")
    if text.upper() not in (StorageType.FILE.value, StorageType.NSSDB.value):
        raise bad_arg(f'Certificate storage type "{text}" not supported.', "CERT_STORAGE")
    return StorageType(text.upper())


def _cert_storage(entries: Entries, storage: StorageType, places: Places) -> CertStorage:
    alias = "cert-file" if storage is StorageType.FILE else "cert-database"
    location = entries.text("CERT_LOCATION", alias)
    if location is None:
        raise missing_arg("Certificate storage location not specified.", "CERT_LOCATION")
    places.check(storage, location, "CERT_LOCATION")
    if storage is StorageType.FILE:
        return CertStorage(type=storage, location=location)
    nickname = entries.text("CERT_NICKNAME", "cert-nickname")
    if not nickname:
        raise missing_arg("Certificate nickname not specified.", "CERT_NICKNAME")
    token = entries.text("CERT_TOKEN", "cert-token") or ""
    return CertStorage(type=storage, location=normalised_database(location), nickname=nickname, token=token)


def _key_storage(entries: Entries, places: Places) -> KeyStorage:
    text = entries.text("KEY_STORAGE", "key-storage")
    if text is None or text.upper() == StorageType.NONE.value:
        return KeyStorage()
    if text.upper() not in (StorageType.FILE.value, StorageType.NSSDB.value, StorageType.PKCS11.value):
        raise bad_arg(f'Key storage type "{text}" not supported.', "KEY_STORAGE")
    storage = StorageType(text.upper())
    location = entries.text("KEY_LOCATION", "key-database" if storage is StorageType.NSSDB else "key-file")
    if location is None:
        raise missing_arg("Key storage location not specified.", "KEY_LOCATION")
    if storage is StorageType.PKCS11 or (storage is StorageType.FILE and is_pkcs11(location)):
        return _token_storage(location)
    if storage is StorageType.FILE:
        places.check(storage, location, "KEY_LOCATION")
        return KeyStorage(type=storage, location=location)
    nickname = entries.text("KEY_NICKNAME", "key-nickname")
    places.check(storage, location, "KEY_LOCATION")
    if nickname is None:
        raise missing_arg("Key nickname not specified.", "KEY_NICKNAME")
    token = entries.text("KEY_TOKEN", "key-token") or ""
    return KeyStorage(type=storage, location=normalised_database(location), nickname=nickname, token=token)


def _token_storage(location: str) -> KeyStorage:
    try:
        parse_uri(location)
    except InvalidValue as exc:
        raise bad_arg(exc.reason, "KEY_LOCATION") from exc
    return KeyStorage(type=StorageType.PKCS11, location=location, nickname=location)


def _require_different_files(cert: CertStorage, key: KeyStorage, places: Places) -> None:
    """The certificate would replace the key."""
    if cert.type is not StorageType.FILE or key.type is not StorageType.FILE:
        return
    if places.are_one(cert.location, key.location):
        raise bad_arg("Key and certificate can not both be saved to the same file.", "KEY_LOCATION")


def _require_no_crossing(request: Request, context: Context) -> None:
    """A certificate must not replace another request's key, nor a key another's certificate."""
    for other in (*users_of(request.cert_storage.location, context), *users_of(request.key_storage.location, context)):
        cert, key = other.cert_storage, other.key_storage
        if request.cert_storage.type is key.type is StorageType.FILE and request.cert_storage.location == key.location:
            text = f'Key at same location is already used by request with nickname "{other.id}".'
            raise duplicate(text, ("CERT_LOCATION",))
        if request.key_storage.type is cert.type is StorageType.FILE and request.key_storage.location == cert.location:
            text = f'Certificate at same location is already used by request with nickname "{other.id}".'
            raise duplicate(text, ("KEY_LOCATION",))


def apply_settings(request: Request, entries: Entries, settings: tuple[AnySetting, ...], caller: Caller) -> Request:
    """*request* with all of *settings* that the caller gave with the right type. Raises CallRefused."""
    for setting in settings:
        for key in setting.keys:
            variant = entries.value(key)
            try:
                changed = setting.applied(request, variant, caller) if variant is not None else None
            except InvalidValue as exc:
                raise bad_arg(exc.reason, exc.what) from exc
            if changed is not None:
                request = changed
                break
    return request


def _with_key(request: Request, entries: Entries, caller: Caller, context: Context) -> Request:
    """*request* with type and size of its key; what the caller does not say is the configuration's affair."""
    changed = apply_settings(request, entries, KEY_SETTINGS, caller)
    if entries.number("KEY_SIZE", "key-size"):
        return changed
    is_asked_for = entries.text("KEY_TYPE", "key-type") is not None
    size = context.service.key_size(changed.key.gen_type) if is_asked_for else request.key.gen_size
    return with_generation(changed, changed.key.gen_type, size)


def with_ca(request: Request, path: str, context: Context, no_such_ca: Callable[[str], str]) -> Request:
    """*request* with the CA at *path*. Raises CallRefused with the text *no_such_ca* makes of the path."""
    ca = context.service.cas().get(ObjectPath(path))
    if ca is None:
        raise bad_arg(no_such_ca(path), "CA")
    return replace(request, ca_name=ca.id)


def _require_unique(request: Request, context: Context) -> None:
    require_free_nickname(request.id, context)
    require_free_certificate(request.cert_storage, context)
    if request.key_storage.type is not StorageType.NONE:
        require_free_key(request.key_storage, context)
    _require_no_crossing(request, context)


async def _with_places(request: Request, entries: Entries, context: Context) -> Request:
    """Nickname, storage and CA certificate lists: steps two to eight of the checks."""
    storage_type = _cert_storage_type(entries)
    pin_file = entries.text("KEY_PIN_FILE", "key-pin-file")
    if pin_file:
        require_place_of_secret(pin_file, "KEY_PIN_FILE")
    cert_storage, key_storage = await asyncio.to_thread(_storages, entries, storage_type)
    nickname = entries.text("NICKNAME", "nickname")
    if nickname:
        request = replace(request, id=Nickname(valid_nickname(nickname)))
        require_free_nickname(request.id, context)
    require_free_certificate(cert_storage, context)
    if isinstance(key_storage, CallRefused):
        raise key_storage
    if key_storage.type is not StorageType.NONE:
        require_free_key(key_storage, context)
    return replace(request, cert_storage=cert_storage, key_storage=key_storage)


def _storages(entries: Entries, storage_type: StorageType) -> tuple[CertStorage, KeyStorage | CallRefused]:
    """Where certificate and key are to be; what is wrong with the key's place is not told before other things."""
    places = Places()
    cert_storage = _cert_storage(entries, storage_type, places)
    try:
        key_storage = _key_storage(entries, places)
        _require_different_files(cert_storage, key_storage, places)
    except CallRefused as refusal:
        return cert_storage, refusal
    return cert_storage, key_storage


async def checked_request(
    entries: Entries, caller: Caller, context: Context, *, complete: Callable[[Request], Request] = lambda r: r
) -> Request:
    """The request that *entries* ask for, after all checks; it is not registered. Raises CallRefused.

    *complete* adds what is not among the entries.
    """
    request = await _with_places(context.service.new_request(), entries, context)
    request = _with_lists(request, entries)
    lists = frozenset(FILE_LISTS) | frozenset(DATABASE_LISTS)
    if request.ca_certs != CaCertLocations():
        await asyncio.to_thread(check_ca_cert_lists, request.ca_certs, lists)
    request = _with_key(request, entries, caller, context)
    ca_path = entries.text("CA", "ca")
    if ca_path:
        request = with_ca(request, ca_path, context, lambda _: "No such CA.")
    request = complete(apply_settings(request, entries, OTHER_SETTINGS, caller))
    # The checks above waited for threads: look again, now without waiting until the request is reserved.
    if not entries.text("NICKNAME", "nickname"):  # the generated one may have been taken meanwhile
        request = replace(request, id=context.service.new_request().id)
    _require_unique(request, context)
    return request


async def add_request(
    entries: Entries,
    caller: Caller,
    context: Context,
    *,
    pass_on: Callable[[], None] = lambda: None,
    complete: Callable[[Request], Request] = lambda r: r,
) -> ObjectPath:
    """Check everything, then register the request. Raises CallRefused, StateStoreError.

    *pass_on* is called when only the storing is left to wait for; *complete* as in `checked_request`.
    """
    request = await checked_request(entries, caller, context, complete=complete)
    context.pending.append(request)
    pass_on()
    try:
        return await context.service.add_request(request)
    finally:
        context.pending[:] = [other for other in context.pending if other is not request]


def _with_lists(request: Request, entries: Entries) -> Request:
    names = {attribute: entries.texts(key) for key, attribute in (FILE_LISTS | DATABASE_LISTS).items()}
    return replace(
        request,
        ca_certs=replace(
            request.ca_certs,
            root_files=names["root_files"],
            other_root_files=names["other_root_files"],
            other_files=names["other_files"],
            root_dbs=names["root_dbs"],
            other_root_dbs=names["other_root_dbs"],
            other_dbs=names["other_dbs"],
        ),
    )
