"""Which servers of an IPA domain to ask, and in which order: those configured, then those of DNS (RFC 2782)."""

import importlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from certmonger_helpers.ipa.settings import IpaSettings, json_url
from certmonger_helpers.outcome import Unconfigured, Unreachable

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_RECORD_KINDS = ("IN.A", "IN.AAAA", "IN.SRV", "ANY.CNAME", "ANY.NS", "ANY.OPT", "ANY.SOA")
"""What is in answers to questions for SRV records."""


async def first_answer(settings: IpaSettings, ask: Callable[[str], Awaitable[_Result]]) -> _Result:
    """The answer of the first server that could be asked; *ask* gets the address.

    Raises what the first server raised, Unreachable or Unconfigured, when none could, and Unconfigured when
    there are none.
    """
    first: Unreachable | Unconfigured | None = None
    async for url in _addresses(settings):
        try:
            return await ask(url)
        except (Unreachable, Unconfigured) as exc:
            _log.info("%s", exc)
            first = first or exc
    raise first or Unconfigured("Unable to determine location of an IPA server: there is no -h, -J or -d.")


async def _addresses(settings: IpaSettings) -> AsyncIterator[str]:
    """Each address once; DNS is asked when the configured servers did not do."""
    seen = {""}
    for url in (settings.url, *map(json_url, settings.other_hosts)):
        if url not in seen:
            seen.add(url)
            yield url
    for host in await servers_of(settings.domain) if settings.domain else ():
        if json_url(host) not in seen:
            seen.add(json_url(host))
            yield json_url(host)


def load_resolver() -> None:
    """Load what looks up servers, as long as it can be read."""
    for name in ("dns.asyncresolver", "dns._asyncio_backend", *(f"dns.rdtypes.{kind}" for kind in _RECORD_KINDS)):
        importlib.import_module(name)


async def servers_of(domain: str) -> tuple[str, ...]:
    """The hosts of the domain's LDAP service, which all IPA servers run, in the order to try them; none on failure."""
    import dns.asyncresolver  # seldom needed, and a tenth of a second to load
    import dns.exception
    from dns.rdtypes.IN.SRV import SRV

    try:
        answer = await dns.asyncresolver.resolve(f"_ldap._tcp.{domain}", "SRV")
    except (dns.exception.DNSException, OSError) as exc:
        _log.info("no servers of %s are found: %s", domain, exc)
        return ()
    records = [record for record in answer if isinstance(record, SRV)]
    records.sort(key=lambda record: (record.priority, -(random.random() ** (1 / max(record.weight, 0.01)))))
    return tuple(name for record in records if (name := record.target.to_text(omit_final_dot=True)) not in {"", "."})
