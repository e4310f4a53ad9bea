"""`modify` of a request and `Properties.Set`: all of it or nothing."""

import asyncio
from dataclasses import dataclass, replace

from certmongerd.busapi.add_request import valid_nickname, with_ca
from certmongerd.busapi.entries import Entries, text_of
from certmongerd.busapi.locations import DATABASE_LISTS, FILE_LISTS, check_ca_cert_lists
from certmongerd.busapi.refusal import bad_arg, invalid_args, request_bad_arg
from certmongerd.busapi.service import Caller
from certmongerd.busapi.settings import SETTINGS, SETTINGS_BY_KEY, AnySetting
from certmongerd.busapi.table import Context, Subject
from certmongerd.busapi.transport import Variant
from certmongerd.busapi.uniqueness import require_free_nickname
from certmongerd.core.errors import InvalidValue
from certmongerd.core.ids import Nickname
from certmongerd.core.model import Request


@dataclass(frozen=True, slots=True)
class _Modification:
    """What a checked dictionary asks for; applying it cannot fail any more."""

    nickname: str | None
    ca_path: str | None
    values: tuple[tuple[AnySetting, Variant], ...]
    caller: Caller
    properties: tuple[str, ...]

    def applied(self, request: Request, context: Context) -> Request:
        if self.nickname is not None:
            request = replace(request, id=Nickname(self.nickname))
        if self.ca_path is not None:
            request = with_ca(request, self.ca_path, context, _unknown_ca)
        for setting, variant in self.values:
            changed = setting.applied(request, variant, self.caller)
            if changed is not None:
                request = changed
        return request


def _unknown_ca(path: str) -> str:
    return f'Certificate authority "{path}" not known.'


def _known_setting(key: str, variant: Variant, entries: Entries) -> AnySetting:
    setting = SETTINGS_BY_KEY.get(key)
    if setting is None or setting.read(variant) is None or variant.value == ():
        raise request_bad_arg("Unrecognized parameter or wrong value type.", entries.spelled(key))
    return setting


def _read(entries: Entries, subject: Subject[Request], caller: Caller) -> _Modification:
    """Everything that can be checked without touching files. Raises CallRefused."""
    nickname = entries.text("NICKNAME", "nickname")
    ca_path = entries.text("CA", "ca")
    if nickname is not None:
        require_free_nickname(valid_nickname(nickname), subject.context, own=subject.path)
    if ca_path is not None:
        with_ca(subject.value, ca_path, subject.context, _unknown_ca)
    chosen: dict[int, tuple[AnySetting, Variant]] = {}
    properties: list[str] = []
    for key, variant in entries:
        if key in ("nickname", "ca"):
            if text_of(variant) is None:
                raise request_bad_arg("Unrecognized parameter or wrong value type.", entries.spelled(key))
            properties.append(key)
            continue
        setting = _known_setting(key, variant, entries)
        index = SETTINGS.index(setting)
        if index not in chosen or setting.keys[0].lower() == key:
            chosen[index] = (setting, variant)
        properties += setting.properties
    values = tuple(chosen[index] for index in sorted(chosen))
    return _Modification(nickname, ca_path, values, caller, tuple(dict.fromkeys(properties)))


async def modify(subject: Subject[Request], argument: object, caller: Caller) -> None:
    """Change the request as the dictionary *argument* says. Raises CallRefused; then nothing changed."""
    context = subject.context
    entries = Entries("modify", argument)
    modification = _read(entries, subject, caller)
    try:
        trial = modification.applied(subject.value, context)
    except InvalidValue as exc:
        raise bad_arg(exc.reason, exc.what) from exc
    lists = frozenset(key for key, _ in entries) & (FILE_LISTS.keys() | DATABASE_LISTS.keys())
    if lists:
        await asyncio.to_thread(check_ca_cert_lists, trial.ca_certs, frozenset(lists))
        # Waiting may have let another call take the nickname or remove the CA.
        _read(entries, subject, caller)
    with context.announcer.announcing(subject.path, modification.properties):
        await context.service.change_request(
            subject.path, lambda current: modification.applied(current, context), restart=True
        )


async def set_request_property(subject: Subject[Request], name: str, value: Variant, caller: Caller) -> None:
    """`Properties.Set` of a writable property. Raises CallRefused; then nothing changed."""
    setting = SETTINGS_BY_KEY[name]
    try:
        changed = setting.applied(subject.value, value, caller)
    except InvalidValue as exc:
        raise invalid_args(exc.reason) from exc
    if changed is None:
        raise invalid_args(f'Property "{name}" cannot hold a value of type "{value.signature}".')

    def change(current: Request) -> Request:
        return setting.applied(current, value, caller) or current

    with subject.context.announcer.announcing(subject.path, setting.properties):
        await subject.service.change_request(subject.path, change, restart=False)
