"""What a CA tells about itself, and how it is read from a helper's output."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from certmongerd.core.answers import first_line
from certmongerd.core.model import Ca, NamedCertificate


class Phase(Enum):
    """The kinds of data; the value is the helper operation that fetches it."""

    IDENTIFY = "IDENTIFY"
    CERTS = "FETCH-ROOTS"
    PROFILES = "GET-SUPPORTED-TEMPLATES"
    DEFAULT_PROFILE = "GET-DEFAULT-TEMPLATE"
    ENROLLMENT_REQS = "GET-NEW-REQUEST-REQUIREMENTS"
    RENEWAL_REQS = "GET-RENEW-REQUEST-REQUIREMENTS"
    CAPABILITIES = "FETCH-SCEP-CA-CAPS"
    ENCRYPTION_CERTS = "FETCH-SCEP-CA-CERTS"
    RENEWAL_INFO = "GET-RENEWAL-INFO"
    """Asked without a certificate: whether there will be an answer with one."""


@dataclass(frozen=True, slots=True)
class Text:
    """One line: the identification, the default profile."""

    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """A list: profiles, requirements, capabilities."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """The CA's certificates, by how far they are trusted."""

    roots: tuple[NamedCertificate, ...] = ()
    other_roots: tuple[NamedCertificate, ...] = ()
    others: tuple[NamedCertificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionCerts:
    """A SCEP server's certificates, PEM."""

    ra: str = ""
    ca: str = ""
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """Whether the CA answers questions of one kind about certificates."""

    is_there: bool = False


CaData = Text | Words | Roots | EncryptionCerts | Offer

REQUIREMENT_PROPERTIES: Final[Mapping[str, str]] = {
    "CERTMONGER_REQ_SUBJECT": "template-subject",
    "CERTMONGER_REQ_HOSTNAME": "template-hostname",
    "CERTMONGER_REQ_PRINCIPAL": "template-principal",
    "CERTMONGER_REQ_EMAIL": "template-email",
    "CERTMONGER_REQ_IP_ADDRESS": "template-ip-address",
    "CERTMONGER_CA_PROFILE": "template-profile",
}
"""Helper variables that a CA may require, and the request property that fills each."""

_BLOCK_START: Final = "-----BEGIN CERTIFICATE-----"
_BLOCK_END: Final = "-----END CERTIFICATE-----"


def read_words(output: bytes) -> tuple[str, ...]:
    """A list separated by commas or line ends, without empty items."""
    text = output.decode("utf-8", "replace").replace(",", "\n").replace("\r", "\n")
    return tuple(word.strip() for word in text.split("\n") if word.strip())


def read_requirements(output: bytes) -> tuple[str, ...]:
    """Names of helper variables as request properties; unknown names are dropped."""
    names = (REQUIREMENT_PROPERTIES.get(word.upper()) for word in read_words(output))
    return tuple(name for name in names if name is not None)


def read_encryption_certs(output: bytes) -> EncryptionCerts:
    """RA certificate, CA certificate, and the rest, out of PEM blocks in that order."""
    blocks = split_pem(output.decode("ascii", "replace"))
    return EncryptionCerts(ra="".join(blocks[:1]), ca="".join(blocks[1:2]), pool="".join(blocks[2:]))


def split_pem(text: str) -> list[str]:
    """The PEM certificate blocks in *text*, each ended by one LF."""
    blocks = []
    rest = text.replace("\r\n", "\n")
    while (start := rest.find(_BLOCK_START)) >= 0 and (end := rest.find(_BLOCK_END, start)) >= 0:
        end += len(_BLOCK_END)
        blocks.append(rest[start:end] + "\n")
        rest = rest[end:]
    return blocks


def read_text_phase(phase: Phase, output: bytes) -> Text | Words | Offer:
    """The data of a phase whose output is plain text."""
    match phase:
        case Phase.ENROLLMENT_REQS | Phase.RENEWAL_REQS:
            return Words(read_requirements(output))
        case Phase.PROFILES | Phase.CAPABILITIES:
            return Words(read_words(output))
        case Phase.RENEWAL_INFO:
            return Offer(is_there=True)
        case _:
            return Text(first_line(output))


def apply_data(ca: Ca, phase: Phase, data: CaData) -> Ca:
    """*ca* with the data of one phase."""
    match phase, data:
        case Phase.IDENTIFY, Text(text):
            return replace(ca, aka=text)
        case Phase.DEFAULT_PROFILE, Text(text):
            return replace(ca, default_profile=text)
        case Phase.PROFILES, Words(words):
            return replace(ca, profiles=words)
        case Phase.ENROLLMENT_REQS, Words(words):
            return replace(ca, required_enroll_attributes=words)
        case Phase.RENEWAL_REQS, Words(words):
            return replace(ca, required_renewal_attributes=words)
        case Phase.CAPABILITIES, Words(words):
            return replace(ca, capabilities=words)
        case Phase.RENEWAL_INFO, Offer(is_there):
            return replace(ca, offers_renewal_info=is_there)
        case Phase.CERTS, Roots():
            return replace(ca, root_certs=data.roots, other_root_certs=data.other_roots, other_certs=data.others)
        case Phase.ENCRYPTION_CERTS, EncryptionCerts():
            return replace(ca, encryption_cert=data.ra, encryption_issuer_cert=data.ca, encryption_cert_pool=data.pool)
        case _:
            raise TypeError(f"{type(data).__name__} is no data of phase {phase.name}")
