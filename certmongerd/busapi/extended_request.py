"""What requests offer beyond certmonger's interface: explanations, history, plans, and questions to SCEP servers."""

import re
from typing import Final

from certmongerd.api import EXTENDED_REQUEST_INTERFACE
from certmongerd.busapi.refusal import invalid_args, query_refused
from certmongerd.busapi.service import ScepQuery, Service
from certmongerd.busapi.table import EMITS_CHANGED, Answer, Arg, Arguments, Interface, Method, Property, Subject
from certmongerd.core.errors import QueryRefused
from certmongerd.core.history import HistoryEntry
from certmongerd.core.model import Request

_HISTORY: Final = "a(xssusx)"
_HEX: Final = re.compile(r"[0-9A-Fa-f]{1,64}")


async def _explain(subject: Subject[Request], _: Arguments) -> Answer:
    return Answer("a(ss)", (await subject.service.explain_request(subject.path),))


def _next_attempt(request: Request, _: Service) -> object:
    return int(request.next_attempt.timestamp()) if request.next_attempt is not None else 0


def _attempts(request: Request, _: Service) -> object:
    return request.attempts


def _probe(request: Request, _: Service) -> object:
    return request.deployment.probe


def _has_key_pin(request: Request, _: Service) -> object:
    return request.key_storage.pin is not None


def _struct(entry: HistoryEntry) -> tuple[int, str, str, int, str, int]:
    due = int(entry.due.timestamp()) if entry.due is not None else 0
    return int(entry.at.timestamp()), entry.event, entry.state, entry.attempts, entry.error, due


async def _history(subject: Subject[Request], _: Arguments) -> Answer:
    entries = await subject.service.request_history(subject.path)
    return Answer(_HISTORY, (tuple(map(_struct, entries)),))


async def _ask(subject: Subject[Request], query: ScepQuery) -> Answer:
    try:
        return Answer("s", (await subject.service.query_scep(subject.path, query),))
    except QueryRefused as error:
        raise query_refused(str(error)) from error


async def _get_crl(subject: Subject[Request], _: Arguments) -> Answer:
    return await _ask(subject, ScepQuery(wants_crl=True))


async def _get_cert(subject: Subject[Request], arguments: Arguments) -> Answer:
    text = arguments.text(0)
    if text and not _HEX.fullmatch(text):
        raise invalid_args(f'A serial number is hexadecimal; "{text}" is not.')
    return await _ask(subject, ScepQuery(wants_crl=False, serial=int(text, 16) if text else None))


EXTENDED_REQUEST: Final[Interface[Request]] = Interface(
    EXTENDED_REQUEST_INTERFACE,
    (
        Method(name="explain", gives=(Arg("facts", "a(ss)"),), handle=_explain, only_reads=True),
        Method(name="history", gives=(Arg("entries", _HISTORY),), handle=_history, only_reads=True),
        Property(name="next-attempt", type="x", get=_next_attempt, source="next_attempt", annotations=(EMITS_CHANGED,)),
        Property(name="attempts", type="x", get=_attempts, source="attempts", annotations=(EMITS_CHANGED,)),
        Property(name="has-pin", type="b", get=_has_key_pin, source="key_storage", annotations=(EMITS_CHANGED,)),
        Property(name="probe", type="s", get=_probe, source="deployment", annotations=(EMITS_CHANGED,)),
        Method(name="get_crl", gives=(Arg("pem", "s"),), handle=_get_crl),
        Method(name="get_cert", takes=(Arg("serial_hex", "s"),), gives=(Arg("pem", "s"),), handle=_get_cert),
    ),
)
"""`org.certmongerd.request`."""
