"""What a request's machine can ask the engine to do, one thing at a time."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing until an operator, the CA or a restart moves the request."""


@dataclass(frozen=True, slots=True)
class Again:
    """Step again at once, with `Continue`."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Step again with `TimerFired` after the delay."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class ReadKey:
    """Read type, size and public key of the key that signs requests."""

    cert_is_next: bool = False
    """Whether `ReadCert` follows."""


@dataclass(frozen=True, slots=True)
class ReadCert:
    """Read the certificate from its location."""


@dataclass(frozen=True, slots=True)
class GenerateKey:
    """Make a key pair with the generation parameters of the signing key."""


@dataclass(frozen=True, slots=True)
class BuildCsr:
    """Make the signing request."""


@dataclass(frozen=True, slots=True)
class BuildScep:
    """Make SCEP messages with fresh nonces."""


class Operation(Enum):
    """What a helper is asked about a request; values as in `CERTMONGER_OPERATION`."""

    SUBMIT = "SUBMIT"
    POLL = "POLL"


@dataclass(frozen=True, slots=True)
class Submit:
    """Hand the request to its CA."""

    operation: Operation
    with_scep: bool
    """Whether fresh SCEP messages go along."""
    is_internal: bool = False
    """Whether the CA is the daemon itself."""


@dataclass(frozen=True, slots=True)
class AskRenewalInfo:
    """Ask the CA when it wants the certificate renewed."""


@dataclass(frozen=True, slots=True)
class RunPreSave:
    """Run the pre-save command."""


@dataclass(frozen=True, slots=True)
class SaveCert:
    """Store the issued certificate, and the candidate key with it."""


@dataclass(frozen=True, slots=True)
class SaveCaCerts:
    """Store the CA's certificates where the request wants them."""


@dataclass(frozen=True, slots=True)
class RunPostSave:
    """Run the post-save command, then look whether the service presents the certificate."""


class Notice(Enum):
    """What a notification is about."""

    VALIDITY = "validity"
    REJECTION = "rejection"
    ISSUED_SAVE_FAILED = "issued-save-failed"
    ISSUED_CA_SAVE_FAILED = "issued-ca-save-failed"
    ISSUED_SAVED = "issued-saved"
    ONLY_CA_SAVE_FAILED = "only-ca-save-failed"


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell people."""

    notice: Notice


Effect = (
    ReadKey
    | ReadCert
    | GenerateKey
    | BuildCsr
    | BuildScep
    | Submit
    | AskRenewalInfo
    | RunPreSave
    | SaveCert
    | SaveCaCerts
    | RunPostSave
    | Notify
)
Action = Idle | Again | Wait | Effect


def has_outside_consequences(effect: Effect) -> bool:
    """Whether somebody outside would notice *effect* done twice, or its reason forgotten.

    Before such an effect the request has to be on disk. The others – reading,
    making a key or a signing request, signing a certificate that nobody has seen –
    are simply done again after a crash, from an earlier state, and find what the
    first run left.
    """
    if isinstance(effect, Submit):
        return not effect.is_internal
    return isinstance(effect, RunPreSave | SaveCert | RunPostSave)
