"""Names of key usages and object identifiers in certificates, as certmonger's programs take and show them."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from certmongerd.core.errors import InvalidValue

KEY_USAGES: Final = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
"""In the order of the bits (RFC 5280, section 4.2.1.3)."""

_CONTENT_COMMITMENT: Final = "contentCommitment"
"""The newer name of nonRepudiation."""

OBJECT_IDENTIFIERS: Final[Mapping[str, str]] = {
    "id-pkix": "1.3.6.1.5.5.7",
    "id-mod": "1.3.6.1.5.5.7.0",
    "id-pe": "1.3.6.1.5.5.7.1",
    "id-qt": "1.3.6.1.5.5.7.2",
    "id-kp": "1.3.6.1.5.5.7.3",
    "id-kp-serverAuth": "1.3.6.1.5.5.7.3.1",
    "id-kp-clientAuth": "1.3.6.1.5.5.7.3.2",
    "id-kp-codeSigning": "1.3.6.1.5.5.7.3.3",
    "id-kp-emailProtection": "1.3.6.1.5.5.7.3.4",
    "id-kp-timeStamping": "1.3.6.1.5.5.7.3.8",
    "id-kp-OCSPSigning": "1.3.6.1.5.5.7.3.9",
    "id-on": "1.3.6.1.5.5.7.8",
    "id-ad": "1.3.6.1.5.5.7.48",
    "id-pkinit": "1.3.6.1.5.2.3",
    "id-pkinit-KPClientAuth": "1.3.6.1.5.2.3.4",
    "id-pkinit-KPKdc": "1.3.6.1.5.2.3.5",
    "id-ms-kp-sc-logon": "1.3.6.1.4.1.311.20.2.2",
    "id-ce": "2.5.29",
    "id-ce-extKeyUsage": "2.5.29.37",
}
"""Names that -U takes and `list` shows. Arcs below a named one are written `id-kp.17`."""

_BY_FOLDED_NAME: Final = {name.lower(): oid for name, oid in OBJECT_IDENTIFIERS.items()}
_OID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")


def key_usage_bits(names: Iterable[str]) -> str:
    """Key usage names as the bus has them: a string of 0 and 1, digitalSignature first. Raises InvalidValue."""
    known = {name.lower(): number for number, name in enumerate(KEY_USAGES)}
    known[_CONTENT_COMMITMENT.lower()] = KEY_USAGES.index("nonRepudiation")
    chosen = set()
    for name in names:
        number = known.get(name.lower())
        if number is None:
            raise InvalidValue("key usage", f'Unrecognized keyUsage "{name}".')
        chosen.add(number)
    return "".join("1" if number in chosen else "0" for number in range(max(chosen, default=-1) + 1))


def object_identifier(text: str) -> str | None:
    """The dotted form of an OID given by name, by name and further arcs, or in dotted form; None for anything else."""
    name, _, arcs = text.partition(".")
    base = _BY_FOLDED_NAME.get(name.lower())
    dotted = text if base is None else f"{base}.{arcs}" if arcs else base
    return dotted if _OID.fullmatch(dotted) else None
