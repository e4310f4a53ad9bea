"""What the methods of a request answer."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from certmongerd.busapi.modify import modify
from certmongerd.busapi.service import RequestCommand, Service
from certmongerd.busapi.table import Answer, Arg, Arguments, Method, Subject
from certmongerd.core.model import CertStorage, KeyStorage, Request, StorageType


def getter(
    name: str, read: Callable[[Request, Service], Answer], *gives: Arg, tells_secret: bool = False
) -> Method[Request]:
    """A method that takes nothing and reads something."""

    async def handle(subject: Subject[Request], _: Arguments) -> Answer:
        return read(subject.value, subject.service)

    return Method(name=name, gives=gives, handle=handle, only_reads=not tells_secret)


def optional_text(text: str) -> Answer:
    """*text*, or an empty body when it is not set."""
    return Answer("s", (text,)) if text else Answer()


def optional_time(moment: datetime | None) -> Answer:
    """Unix time, or an empty body when it is not set."""
    return Answer("x", (int(moment.timestamp()),)) if moment is not None else Answer()


def _usage_mask(bits: str) -> int:
    return sum(1 << index for index, bit in enumerate(bits) if bit == "1")


def answer_cert_info(request: Request, _: Service) -> Answer:
    """The certificate's facts; the full signature even when there is no certificate."""
    facts = request.cert_facts
    not_before = int(facts.not_before.timestamp()) if facts.not_before else 0
    not_after = int(facts.not_after.timestamp()) if facts.not_after else 0
    names = (facts.email, facts.hostname, facts.principal)
    usage = (_usage_mask(facts.ku), facts.eku)
    return Answer("sssxasasasxasx", (facts.issuer, facts.serial, facts.subject, not_after, *names, *usage, not_before))


def answer_csr_info(request: Request, _: Service) -> Answer:
    """What the template asks for; empty while there is no signing request."""
    template = request.template
    if not request.csr:
        return Answer()
    names = (template.email, template.hostname, template.principal)
    return Answer("sasasasxas", (template.subject, *names, _usage_mask(template.ku), template.eku))


def _storage(storage: CertStorage | KeyStorage) -> Answer:
    values: tuple[str, ...] = (storage.type.value,)
    if storage.type is not StorageType.NONE:
        values += (storage.location,)
    if storage.type is StorageType.NSSDB:
        values += (storage.nickname, storage.token) if storage.token else (storage.nickname,)
    return Answer("s" * len(values), values)


def answer_cert_storage(request: Request, _: Service) -> Answer:
    """Type and location; for databases also nickname and, when known, token."""
    return _storage(request.cert_storage)


def answer_key_storage(request: Request, _: Service) -> Answer:
    """As for the certificate; the type alone without a key location."""
    return _storage(request.key_storage)


def answer_key_type_and_size(request: Request, _: Service) -> Answer:
    """The present key's; UNKNOWN and 0 before one was read."""
    if request.key.type is None:
        return Answer("sx", ("UNKNOWN", 0))
    return Answer("sx", (request.key.type.value, request.key.size))


def answer_status(request: Request, _: Service) -> Answer:
    """State and whether the request waits for somebody."""
    return Answer("sb", (request.state.value, request.is_stuck))


def answer_ca(request: Request, service: Service) -> Answer:
    """The CA's path; empty without a CA or while its nickname is unknown."""
    path = service.ca_path(request.ca_name) if request.ca_name else None
    return Answer("o", (path,)) if path else Answer()


def command(which: RequestCommand) -> Callable[[Subject[Request], Arguments], Awaitable[Answer]]:
    """A method that has the state machine do something."""

    async def handle(subject: Subject[Request], _: Arguments) -> Answer:
        return Answer("b", (await subject.service.command_request(subject.path, which),))

    return handle


async def modify_request(subject: Subject[Request], arguments: Arguments) -> Answer:
    """Change several settings at once; answers with the request's own path, whatever its nickname is now."""
    await modify(subject, arguments.body[0], arguments.caller)
    return Answer("bo", (True, subject.path))
