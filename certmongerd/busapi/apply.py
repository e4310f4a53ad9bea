"""Making CAs and requests what documents declare them to be: what is missing is added, what differs is changed.

Whatever was added this way remembers by what (`declared_by`); only that can be pruned. Keys and certificates stay in
any case, as with `remove_request`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, cast

from certmongerd.busapi.add_request import add_request, checked_request
from certmongerd.busapi.entries import Entries
from certmongerd.busapi.locations import DATABASE_LISTS, FILE_LISTS, check_ca_cert_lists, normalised_database
from certmongerd.busapi.refusal import CallRefused, bad_arg
from certmongerd.busapi.service import Caller, RequestCommand, Service
from certmongerd.busapi.settings import SETTINGS, SETTINGS_BY_KEY, hook
from certmongerd.busapi.table import Context
from certmongerd.busapi.transport import Variant
from certmongerd.busapi.uniqueness import require_free_ca_nickname
from certmongerd.config.paths import DROP_IN_DIRECTORY_NAME
from certmongerd.core.errors import CertmongerError, InvalidValue
from certmongerd.core.ids import CaName, ObjectPath
from certmongerd.core.model import Ca, CaCertLocations, CaType, KeyAlgorithm, Request, StorageType
from certmongerd.declared.document import DeclaredCa, DeclaredRequest, Document
from certmongerd.declared.schema import Value

_ALL_LISTS: Final = frozenset(FILE_LISTS) | frozenset(DATABASE_LISTS)
_CHALLENGES: Final = frozenset({"template-challenge-password", "template-challenge-password-file"})


_amend_ca: Final[Callable[..., Ca]] = replace
_amend_locations: Final[Callable[..., CaCertLocations]] = replace


class Effect(StrEnum):
    """What became of something declared."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    KEPT = "kept"
    """It is declared no longer, and was left alone."""
    MISTAKE = "mistake"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of a report."""

    effect: Effect
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A document, and how it is to be applied."""

    document: Document
    owner: str
    """What is remembered of entries that are added."""
    is_trial: bool
    """Whether only to say what would be done."""
    prunes: bool
    """Whether entries of the same owner that are declared no longer are removed."""


async def apply(application: Application, caller: Caller, context: Context) -> tuple[Outcome, ...]:
    """Apply a document; one at a time. A document with mistakes is not applied at all, a mistake that only shows when
    something is added or changed concerns that alone. Raises nothing but CancelledError."""
    if application.document.mistakes:
        return tuple(Outcome(Effect.MISTAKE, mistake) for mistake in application.document.mistakes)
    async with context.applying:
        return await _Run(application, caller, context).outcomes()


class _Refused(CertmongerError):
    """Something declared cannot be had."""


class _Run:
    """One application."""

    def __init__(self, application: Application, caller: Caller, context: Context) -> None:
        self._document = application.document
        self._owner = application.owner
        self._is_trial = application.is_trial
        self._prunes = application.prunes
        self._caller = caller
        self._context = context
        self._service = context.service
        self._report: list[Outcome] = []

    async def outcomes(self) -> tuple[Outcome, ...]:
        """Do it."""
        gone = await self._no_longer_declared_requests()
        if self._is_trial:
            view = cast("Service", _Without(self._service, gone))
            self._context = replace(self._context, service=view, pending=list(self._context.pending))
        for ca in self._document.cas:
            await self._attempt(f'{ca.place}: CA "{ca.name}"', self._apply_ca(ca))
        for request in self._document.requests:
            await self._attempt(f'{request.place}: request "{request.name}"', self._apply_request(request))
        await self._no_longer_declared_cas(gone)
        return tuple(self._report)

    async def _attempt(self, label: str, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except CallRefused as exc:
            self._tell(Effect.MISTAKE, f"{label}: {str(exc.body[0]).strip()}")
        except CertmongerError as exc:
            self._tell(Effect.MISTAKE, f"{label}: {exc}")

    def _tell(self, effect: Effect, text: str) -> None:
        self._report.append(Outcome(effect, text))

    def _done(self, effect: Effect, what: str, done: str, further: str = "") -> None:
        """Report *done* ("added") of *what*, or that it would be."""
        self._tell(effect, f"{what} {'would be ' if self._is_trial else ''}{done}{further}.")

    # What is declared no longer

    async def _no_longer_declared_requests(self) -> frozenset[ObjectPath]:
        """Remove such requests, if that is wanted; their paths. It goes first, because others may take their files."""
        declared = {request.name for request in self._document.requests}
        found = [
            (path, request)
            for path, request in self._service.requests().items()
            if request.declared_by == self._owner and request.id not in declared
        ]
        if not self._prunes:
            for _, request in found:
                self._tell(Effect.KEPT, f'Request "{request.id}" is no longer declared; it is still tracked.')
            return frozenset()
        for path, request in found:
            if not self._is_trial:
                await self._service.remove_request(path)
            self._done(Effect.REMOVED, f'Request "{request.id}"', "removed", ", it is no longer declared")
        return frozenset(path for path, _ in found)

    async def _no_longer_declared_cas(self, gone: frozenset[ObjectPath]) -> None:
        declared = {ca.name for ca in self._document.cas}
        users = {request.ca_name: request.id for path, request in self._service.requests().items() if path not in gone}
        for path, ca in tuple(self._service.cas().items()):
            if ca.declared_by != self._owner or ca.id in declared:
                continue
            if not self._prunes:
                self._tell(Effect.KEPT, f'CA "{ca.id}" is no longer declared; it is still there.')
            elif ca.id in users:
                self._tell(Effect.KEPT, f'CA "{ca.id}" is no longer declared, but request "{users[ca.id]}" uses it.')
            else:
                if not self._is_trial:
                    await self._service.remove_ca(path)
                self._done(Effect.REMOVED, f'CA "{ca.id}"', "removed", ", it is no longer declared")

    def _require_right(self, present: Request | Ca) -> None:
        """The drop-ins' entries are theirs. Raises _Refused."""
        if present.declared_by == DROP_IN_DIRECTORY_NAME and self._owner != DROP_IN_DIRECTORY_NAME:
            raise _Refused(f"It is declared in {DROP_IN_DIRECTORY_NAME}, and has to be changed there")

    def _owned(self, present: str) -> str:
        """Owner after a change: whoever declares an entry last, but an entry that was added by hand stays so."""
        return self._owner if present else present

    # CAs

    async def _apply_ca(self, declared: DeclaredCa) -> None:
        name = CaName(declared.name)
        path = self._service.ca_path(name)
        if path is None:
            await self._add_ca(declared)
            return
        present = self._service.cas()[path]
        self._require_right(present)
        wanted = self._wanted_ca(replace(present, declared_by=self._owned(present.declared_by)), declared)
        await _check_locations(wanted.ca_certs)
        if wanted == present:
            self._tell(Effect.UNCHANGED, f'CA "{name}" is as declared.')
            return
        if not self._is_trial:
            asks_differently = _asking(wanted) != _asking(present)
            await self._service.change_ca(
                path,
                lambda ca: self._wanted_ca(replace(ca, declared_by=wanted.declared_by), declared),
                refetch=asks_differently,
            )
        self._done(Effect.CHANGED, f'CA "{name}"', "changed")

    async def _add_ca(self, declared: DeclaredCa) -> None:
        name = declared.name
        if declared.command is None:
            raise _Refused("There is no such CA, and neither command nor url says how to ask it")
        if not name.isprintable():
            raise bad_arg(f"The nickname {name!r} must not hold control characters.", "nickname")
        pending = self._context.pending_cas
        require_free_ca_nickname(name, (*self._service.cas().values(), *pending))
        ca = self._wanted_ca(Ca(id=CaName(name), declared_by=self._owner), declared)
        await _check_locations(ca.ca_certs)
        if not self._is_trial:
            pending.append(ca)
            try:
                path = await self._service.add_ca(replace(ca, is_default=False))
            finally:
                pending.remove(ca)
            if ca.is_default:  # the others stop being it
                await self._service.change_ca(path, lambda added: replace(added, is_default=True), refetch=False)
        self._done(Effect.ADDED, f'CA "{name}"', "added")

    def _wanted_ca(self, ca: Ca, declared: DeclaredCa) -> Ca:
        """*ca* as declared. Raises _Refused."""
        texts = {
            "external_helper": declared.command,
            "scep_cipher": declared.scep_cipher,
            "scep_digest": declared.scep_digest,
            "scep_ca_identifier": declared.scep_ca_identifier,
        }
        changes: dict[str, object] = {name: value for name, value in texts.items() if value is not None}
        if ca.type is CaType.INTERNAL_SELF and changes:
            raise _Refused("It is built in, so that there is nobody to ask and no command to do it with")
        if declared.is_default is not None:
            changes["is_default"] = declared.is_default
        if declared.before_command is not None:
            changes["pre_save"] = hook(declared.before_command, self._caller)
        if declared.after_command is not None:
            changes["post_save"] = hook(declared.after_command, self._caller)
        return _amend_ca(ca, ca_certs=_amend_locations(ca.ca_certs, **declared.locations), **changes)

    # Requests

    async def _apply_request(self, declared: DeclaredRequest) -> None:
        if declared.ca is not None and not self._has_ca(declared.ca):
            raise _Refused(f'There is no CA "{declared.ca}"')
        for path, request in self._service.requests().items():
            if request.id == declared.name:
                await self._change_request(path, request, declared)
                return
        await self._add_request(declared)

    def _has_ca(self, name: str) -> bool:
        """Whether there is a CA, or would be."""
        return self._service.ca_path(CaName(name)) is not None or any(ca.name == name for ca in self._document.cas)

    async def _add_request(self, declared: DeclaredRequest) -> None:
        values = {**declared.storage, **declared.settings, "NICKNAME": declared.name}
        entries = Entries("add_request", {key: _variant(value) for key, value in values.items()})

        def complete(request: Request) -> Request:
            return replace(request, declared_by=self._owner, ca_name=CaName(declared.ca or ""))

        if self._is_trial:
            trial = await checked_request(entries, self._caller, self._context, complete=complete)
            self._context.pending.append(trial)
        else:
            await add_request(entries, self._caller, self._context, complete=complete)
        self._done(Effect.ADDED, f'Request "{declared.name}"', "added")

    async def _change_request(self, path: ObjectPath, present: Request, declared: DeclaredRequest) -> None:
        self._require_right(present)
        _require_same_places(present, declared)
        wanted, changed = self._wanted_request(present, declared)
        await _check_locations(wanted.ca_certs)
        if wanted == present:
            self._tell(Effect.UNCHANGED, f'Request "{declared.name}" is as declared.')
            return
        asks = _asks_for_another_certificate(present, wanted)
        if not self._is_trial:
            with self._context.announcer.announcing(path, ()):
                await self._service.change_request(
                    path, lambda request: self._wanted_request(request, declared)[0], restart=not asks
                )
            if asks:
                await self._service.command_request(path, RequestCommand.RESUBMIT)
        further = f" ({', '.join(changed)})" if changed else ""
        if asks:
            further += "; a new certificate " + ("would be" if self._is_trial else "is") + " asked for"
        self._done(Effect.CHANGED, f'Request "{declared.name}"', "changed", further)

    def _wanted_request(self, request: Request, declared: DeclaredRequest) -> tuple[Request, tuple[str, ...]]:
        """*request* as declared, and the document's words for what differs. Raises CallRefused."""
        wanted = replace(request, declared_by=self._owned(request.declared_by))
        changed: list[str] = []
        if declared.ca is not None and request.ca_name != declared.ca:
            wanted = replace(wanted, ca_name=CaName(declared.ca))
            changed.append("ca")
        by_index = sorted(declared.settings.items(), key=lambda item: SETTINGS.index(SETTINGS_BY_KEY[item[0].lower()]))
        for key, value in by_index:
            if key in _CHALLENGES and request.cert and self._service.forgets_challenges():
                continue  # it was used, and taken away
            try:
                after = SETTINGS_BY_KEY[key.lower()].applied(wanted, _variant(value), self._caller)
            except InvalidValue as exc:
                raise bad_arg(exc.reason, exc.what) from exc
            if after is not None and after != wanted:
                wanted = after
                changed.append(declared.options[key])
        return wanted, tuple(changed)


class _Without:
    """A service as it would be without some requests: what checks for a trial look at."""

    def __init__(self, service: Service, gone: frozenset[ObjectPath]) -> None:
        self._service = service
        self._gone = gone

    def requests(self) -> dict[ObjectPath, Request]:
        """The requests that would be left."""
        return {path: request for path, request in self._service.requests().items() if path not in self._gone}

    def requests_named(self, nickname: str) -> tuple[ObjectPath, ...]:
        """Those of the requests that would be left."""
        return tuple(path for path in self._service.requests_named(nickname) if path not in self._gone)

    def requests_at(self, location: str) -> tuple[ObjectPath, ...]:
        """Those of the requests that would be left."""
        return tuple(path for path in self._service.requests_at(location) if path not in self._gone)

    def cas(self) -> Mapping[ObjectPath, Ca]:
        """All CAs."""
        return self._service.cas()

    def new_request(self) -> Request:
        """As the service's."""
        return self._service.new_request()

    def key_size(self, asked: KeyAlgorithm) -> int:
        """As the service's."""
        return self._service.key_size(asked)


def _variant(value: Value) -> Variant:
    match value:
        case bool():
            return Variant("b", value)
        case int():
            return Variant("x", value)
        case str():
            return Variant("s", value)
        case _:
            return Variant("as", value)


def _asking(ca: Ca) -> tuple[object, ...]:
    """What decides how a CA is asked."""
    return ca.external_helper, ca.scep_cipher, ca.scep_digest, ca.scep_ca_identifier


async def _check_locations(locations: CaCertLocations) -> None:
    """Raises CallRefused."""
    if locations != CaCertLocations():
        await asyncio.to_thread(check_ca_cert_lists, locations, _ALL_LISTS)


def _require_same_places(request: Request, declared: DeclaredRequest) -> None:
    """Keys and certificates are not moved. Raises _Refused."""
    wanted, cert, key = declared.storage, request.cert_storage, request.key_storage
    pairs = [(cert.type.value, wanted["CERT_STORAGE"]), (cert.location, _location(wanted, "CERT"))]
    pairs += [(cert.nickname, wanted.get("CERT_NICKNAME", ""))]
    pairs += [(key.type.value, wanted.get("KEY_STORAGE", StorageType.NONE.value))]
    if key.type is not StorageType.NONE:
        pairs += [(key.location, _location(wanted, "KEY")), (key.nickname, wanted.get("KEY_NICKNAME", ""))]
    for present, declared_place in pairs:
        if present != declared_place:
            shown = ", ".join(f'"{place}"' for place in (present, declared_place))
            raise _Refused(
                f"Its key and certificate are elsewhere ({shown}) and are not moved; "
                "give it another id, or stop tracking it first"
            )


def _location(storage: Mapping[str, str], what: str) -> str:
    location = storage.get(f"{what}_LOCATION", "")
    is_database = storage.get(f"{what}_STORAGE") == StorageType.NSSDB.value
    return normalised_database(location) if is_database and location else location


def _asks_for_another_certificate(present: Request, wanted: Request) -> bool:
    """Whether what changed is in the certificate, or decides who issues it."""
    if wanted.key_storage.type is StorageType.NONE:
        return False
    secrets_aside = replace(
        wanted.template,
        challenge_password=present.template.challenge_password,
        challenge_password_file=present.template.challenge_password_file,
    )
    return secrets_aside != present.template or wanted.ca_name != present.ca_name
