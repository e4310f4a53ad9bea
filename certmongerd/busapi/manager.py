"""The interface of the root object: its rows, in the order of certmonger's introspection data."""

from collections.abc import Awaitable, Callable
from typing import Final

from certmongerd.api import ROOT_INTERFACE
from certmongerd.busapi.add_request import add_request
from certmongerd.busapi.entries import Entries
from certmongerd.busapi.refusal import bad_arg, no_such_entry
from certmongerd.busapi.table import Answer, Arg, Arguments, Interface, Method, Subject
from certmongerd.busapi.uniqueness import require_free_ca_nickname
from certmongerd.core.ids import CaName, ObjectPath
from certmongerd.core.model import Ca, StorageType
from certmongerd.pki.keys import supported_algorithms

_Handler = Callable[[Subject[None], Arguments], Awaitable[Answer]]


async def _add_known_ca(subject: Subject[None], arguments: Arguments) -> Answer:
    nickname, command, names = arguments.text(0), arguments.text(1), arguments.body[2]
    if not nickname or not nickname.isprintable():
        raise bad_arg(f"The nickname {nickname!r} must not be empty or hold control characters.", "nickname")
    pending = subject.context.pending_cas
    require_free_ca_nickname(nickname, (*subject.service.cas().values(), *pending))
    issuer_names = tuple(str(name) for name in names) if isinstance(names, tuple) else ()
    ca = Ca(id=CaName(nickname), external_helper=command, issuer_names=issuer_names)
    pending.append(ca)
    try:
        return Answer("bo", (True, await subject.service.add_ca(ca)))
    finally:
        pending.remove(ca)


async def _add_request(subject: Subject[None], arguments: Arguments) -> Answer:
    entries = Entries("add_request", arguments.body[0])
    path = await add_request(entries, arguments.caller, subject.context, pass_on=arguments.pass_on)
    return Answer("bo", (True, path))


async def _find_ca(subject: Subject[None], arguments: Arguments) -> Answer:
    path = subject.service.ca_path(CaName(arguments.text(0)))
    return Answer("o", (path,)) if path else Answer()


async def _find_request(subject: Subject[None], arguments: Arguments) -> Answer:
    nickname = arguments.text(0)
    requests = subject.service.requests()
    for path in subject.service.requests_named(nickname):
        if requests[path].id == nickname:
            return Answer("o", (path,))
    return Answer()


async def _remove_ca(subject: Subject[None], arguments: Arguments) -> Answer:
    path = ObjectPath(arguments.text(0))
    if path not in subject.service.cas():
        raise no_such_entry()
    await subject.service.remove_ca(path)
    return Answer("b", (True,))


async def _remove_request(subject: Subject[None], arguments: Arguments) -> Answer:
    path = ObjectPath(arguments.text(0))
    if path not in subject.service.requests():
        raise no_such_entry()
    await subject.service.remove_request(path)
    return Answer("b", (True,))


def _paths(read: Callable[[Subject[None]], tuple[str, ...]], type_: str) -> _Handler:
    async def handle(subject: Subject[None], _: Arguments) -> Answer:
        return Answer(type_, (read(subject),))

    return handle


_STORAGE_TYPES: Final = (StorageType.NSSDB.value, StorageType.FILE.value)
_ADDED: Final = (Arg("status", "b"), Arg("name", "o"))

MANAGER: Final[Interface[None]] = Interface(
    ROOT_INTERFACE,
    (
        Method(
            name="add_known_ca",
            takes=(Arg("nickname", "s"), Arg("command", "s"), Arg("known_names", "as")),
            gives=_ADDED,
            handle=_add_known_ca,
        ),
        Method(name="add_request", takes=(Arg("template", "a{sv}"),), gives=_ADDED, handle=_add_request),
        Method(
            name="find_ca_by_nickname",
            takes=(Arg("nickname", "s"),),
            gives=(Arg("ca", "o"),),
            handle=_find_ca,
            only_reads=True,
        ),
        Method(
            name="find_request_by_nickname",
            takes=(Arg("nickname", "s"),),
            gives=(Arg("request", "o"),),
            handle=_find_request,
            only_reads=True,
        ),
        Method(
            name="get_known_cas",
            gives=(Arg("ca_list", "ao"),),
            handle=_paths(lambda subject: tuple(subject.service.cas()), "ao"),
            only_reads=True,
        ),
        Method(
            name="get_requests",
            gives=(Arg("requests", "ao"),),
            handle=_paths(lambda subject: tuple(subject.service.requests()), "ao"),
            only_reads=True,
        ),
        Method(
            name="get_supported_key_types",
            gives=(Arg("key_type_list", "as"),),
            handle=_paths(lambda _: tuple(item.value for item in supported_algorithms()), "as"),
            only_reads=True,
        ),
        Method(
            name="get_supported_key_storage",
            gives=(Arg("key_storage_type_list", "as"),),
            handle=_paths(lambda _: _STORAGE_TYPES, "as"),
            only_reads=True,
        ),
        Method(
            name="get_supported_cert_storage",
            gives=(Arg("cert_storage_type_list", "as"),),
            handle=_paths(lambda _: _STORAGE_TYPES, "as"),
            only_reads=True,
        ),
        Method(name="remove_known_ca", takes=(Arg("ca", "o"),), gives=(Arg("status", "b"),), handle=_remove_ca),
        Method(
            name="remove_request", takes=(Arg("request", "o"),), gives=(Arg("status", "b"),), handle=_remove_request
        ),
    ),
)
"""`org.fedorahosted.certmonger`."""
