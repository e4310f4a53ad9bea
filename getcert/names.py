"""Names in requests: key usages, extended key usages, and the defaults for this host."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from certmongerd.core import usages
from certmongerd.core.errors import InvalidValue
from certmongerd.core.usages import KEY_USAGES, OBJECT_IDENTIFIERS
from getcert.errors import CommandFailed

SERVER_AUTH: Final = OBJECT_IDENTIFIERS["id-kp-serverAuth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDefaults:
    """What `request` asks for when the user names nothing."""

    subject: str
    dns: str
    principal: str | None
    eku: str = SERVER_AUTH


def default_names(host: str, principal: str | None) -> HostDefaults:
    """The names of a server certificate for *host*."""
    return HostDefaults(subject=f"CN={host}", dns=host, principal=principal)


def key_usage_bits(names: Iterable[str]) -> str:
    """Key usage names as the bus has them: a string of 0 and 1, digitalSignature first. Raises CommandFailed."""
    try:
        return usages.key_usage_bits(names)
    except InvalidValue as exc:
        raise CommandFailed(exc.reason) from exc


def key_usage_names(bits: str) -> str:
    """The other way round, for `list`."""
    return ",".join(name for name, bit in zip(KEY_USAGES, bits, strict=False) if bit == "1")


def object_identifier(text: str) -> str:
    """The dotted form of an OID given by name, by name and further arcs, or in dotted form; empty stays empty.

    Raises CommandFailed.
    """
    if not text:
        return text
    dotted = usages.object_identifier(text)
    if dotted is None:
        raise CommandFailed(f'Could not evaluate OID "{text}".')
    return dotted


def object_identifier_name(dotted: str) -> str:
    """The name of an OID; the name of the nearest named arc and the rest; or *dotted* itself."""
    names = {oid: name for name, oid in OBJECT_IDENTIFIERS.items()}
    base, rest = dotted, ""
    while base:
        if base in names:
            return names[base] + rest
        base, _, arc = base.rpartition(".")
        rest = f".{arc}{rest}"
    return dotted
