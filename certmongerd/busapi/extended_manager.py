"""What the root object offers beyond certmonger's interface: simulations, documents, all objects page by page."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from certmongerd.api import EXTENDED_MANAGER_INTERFACE, MOST_LISTED
from certmongerd.busapi.managed import page_of_objects
from certmongerd.busapi.marshal import MANAGED_OBJECTS
from certmongerd.busapi.refusal import invalid_args
from certmongerd.busapi.table import Answer, Arg, Arguments, Interface, Method, Subject
from certmongerd.core.ids import CaName
from certmongerd.core.simulation import Assumptions, Outage
from certmongerd.installation import helper_directory

_LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Times behind it are taken for mistakes, and certificates may still live for centuries then."""


def _moment(seconds: object) -> datetime:
    """A Unix time. Raises CallRefused."""
    try:
        moment = datetime.fromtimestamp(cast("int", seconds), UTC)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or moment > _LAST:
        raise invalid_args(f"{seconds} is not a time that can be simulated.")
    return moment


def _length(seconds: object) -> timedelta:
    """A number of seconds. Raises CallRefused."""
    number = cast("int", seconds)
    if not 0 <= number <= _LAST.timestamp():
        raise invalid_args(f"{number} is not a number of seconds that makes sense.")
    return timedelta(seconds=number)


async def _simulate(subject: Subject[None], arguments: Arguments) -> Answer:
    until, outages, delay_s, life_s = arguments.body
    assumptions = Assumptions(
        until=_moment(until),
        outages=tuple(
            Outage(ca=CaName(name) if name else None, begin=_moment(begin), end=_moment(end))
            for name, begin, end in cast("tuple[tuple[str, int, int], ...]", outages)
        ),
        delay=_length(delay_s),
        life=_length(life_s) if life_s else None,
    )
    arguments.pass_on()
    return Answer("s", (await subject.service.simulate(assumptions),))


async def _apply(subject: Subject[None], arguments: Arguments) -> Answer:
    # These bring a YAML parser with them, which most daemons never need.
    from certmongerd.busapi.apply import Application, apply
    from certmongerd.declared.document import read_document

    name = arguments.text(0)
    document = await asyncio.to_thread(read_document, name, arguments.text(1), helper_directory())
    application = Application(
        document=document,
        owner=f"apply {name}",
        is_trial=bool(arguments.body[2]),
        prunes=bool(arguments.body[3]),
    )
    outcomes = await apply(application, arguments.caller, subject.context)
    return Answer("a(ss)", (tuple((outcome.effect.value, outcome.text) for outcome in outcomes),))


async def _list_objects(subject: Subject[None], arguments: Arguments) -> Answer:
    """As GetManagedObjects, so not for those who only read."""
    return Answer(MANAGED_OBJECTS, (await page_of_objects(subject.service, arguments.text(0)),))


async def _list_properties(subject: Subject[None], arguments: Arguments) -> Answer:
    """As list_objects; properties that nothing has are not there."""
    names = frozenset(cast("tuple[str, ...]", arguments.body[2]))
    page = page_of_objects(subject.service, arguments.text(0), arguments.text(1), names=names, most=MOST_LISTED)
    return Answer(MANAGED_OBJECTS, (await page,))


EXTENDED_MANAGER: Final[Interface[None]] = Interface(
    EXTENDED_MANAGER_INTERFACE,
    (
        Method(
            name="simulate",
            takes=(Arg("until", "x"), Arg("outages", "a(sxx)"), Arg("ca_delay_s", "x"), Arg("lifetime_s", "x")),
            gives=(Arg("forecast", "s"),),
            handle=_simulate,
        ),
        Method(
            name="apply",
            takes=(Arg("name", "s"), Arg("document", "s"), Arg("dry_run", "b"), Arg("prune", "b")),
            gives=(Arg("outcomes", "a(ss)"),),
            handle=_apply,
        ),
        Method(
            name="list_objects",
            takes=(Arg("after", "o"),),
            gives=(Arg("objpath_interfaces_and_properties", MANAGED_OBJECTS),),
            handle=_list_objects,
        ),
        Method(
            name="list_properties",
            takes=(Arg("after", "o"), Arg("until", "o"), Arg("names", "as")),
            gives=(Arg("objpath_interfaces_and_properties", MANAGED_OBJECTS),),
            handle=_list_properties,
        ),
    ),
)
"""`org.certmongerd.manager`."""
