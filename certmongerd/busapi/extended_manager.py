"""What the root object offers beyond certmonger's interface: simulations."""

from datetime import UTC, datetime, timedelta
from typing import Final, cast

from certmongerd.api import EXTENDED_MANAGER_INTERFACE
from certmongerd.busapi.refusal import invalid_args
from certmongerd.busapi.table import Answer, Arg, Arguments, Interface, Method, Subject
from certmongerd.core.ids import CaName
from certmongerd.core.simulation import Assumptions, Outage

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


EXTENDED_MANAGER: Final[Interface[None]] = Interface(
    EXTENDED_MANAGER_INTERFACE,
    (
        Method(
            name="simulate",
            takes=(Arg("until", "x"), Arg("outages", "a(sxx)"), Arg("ca_delay_s", "x"), Arg("lifetime_s", "x")),
            gives=(Arg("forecast", "s"),),
            handle=_simulate,
        ),
    ),
)
"""`org.certmongerd.manager`."""
