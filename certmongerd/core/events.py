"""What can happen to a request: results of effects, the clock, operators, its CA."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from certmongerd.core.errors import FailureKind
from certmongerd.core.model import CertificateFacts, KeyAlgorithm, NamedCertificate, ScepMessages


@dataclass(frozen=True, slots=True)
class Begin:
    """The daemon started, or the entry was modified: go on from the state's restart point."""

    with_daemon: bool = False
    """Whether it is the daemon that started: then nothing is known that would make a CA answer sooner."""


@dataclass(frozen=True, slots=True)
class Continue:
    """The state was entered and asked to go on at once."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The delay that the last step asked for is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRead:
    """The key at the location (or the candidate) was read."""

    type: KeyAlgorithm
    size: int
    pubkey_info: bytes
    """DER SubjectPublicKeyInfo."""
    token: str = ""
    """Name of the token that the key is in; empty for a file."""


@dataclass(frozen=True, slots=True)
class KeyAbsent:
    """There is no key at the location."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGenerated:
    """A key pair was made and is on disk."""

    type: KeyAlgorithm
    size: int
    pubkey_info: bytes
    marker: str
    """Names the candidate; empty when the key is at its final location."""
    token: str = ""
    """As in KeyRead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertRead:
    """The certificate at the location was read."""

    cert: str
    """PEM."""
    facts: CertificateFacts


@dataclass(frozen=True, slots=True)
class CertAbsent:
    """There is no certificate at the location."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrBuilt:
    """A signing request was made."""

    csr: str
    """PEM."""
    spkac: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScepBuilt:
    """SCEP messages were made; their nonce is unused."""

    messages: ScepMessages


class ScepObstacle(Enum):
    """Why no SCEP messages can be made."""

    NO_ENCRYPTION_CERTIFICATE = "no encryption certificate"
    NOT_RSA = "not an RSA key"
    BAD_SETTING = "bad setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScepImpossible:
    """SCEP messages cannot be made."""

    obstacle: ScepObstacle
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """The CA answered with a certificate for one of the request's keys."""

    cert: str
    """PEM."""
    spki: bytes
    """Its DER SubjectPublicKeyInfo."""
    chain: tuple[NamedCertificate, ...] = ()
    roots: tuple[NamedCertificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """The CA will decide later."""

    cookie: str
    delay: timedelta | None = None
    """When to ask again; None leaves it to the schedule."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The CA refused the request."""

    text: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The CA could not be asked, or did not answer in time."""

    text: str


@dataclass(frozen=True, slots=True)
class Unconfigured:
    """The helper lacks settings, or cannot be run at all."""

    text: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """The helper's answer makes no sense."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedScepMessages:
    """The helper wants SCEP messages."""

    were_given: bool
    """Whether this run had been given fresh ones."""


@dataclass(frozen=True, slots=True)
class NeedKeyPair:
    """The CA wants a new key pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalInfo:
    """The CA told when it wants the certificate renewed (RFC 9773, section 4.2)."""

    start: datetime
    end: datetime
    retry_after: timedelta | None = None
    """When to ask again; None leaves it to the schedule."""
    explanation: str = ""
    """URL of a page about it."""


@dataclass(frozen=True, slots=True)
class HookEnded:
    """A pre- or post-save command ended well, and after saving the service presents the certificate."""


@dataclass(frozen=True, slots=True)
class HookFailed:
    """A pre- or post-save command failed or could not be run, or the service does not present the certificate."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertSaved:
    """Certificate (and a changed key) are durable at their locations."""

    key_swapped: bool
    """The candidate has become the key."""
    token: str = ""
    """Name of the token that the certificate is in; empty for a file."""


@dataclass(frozen=True, slots=True)
class CaCertsSaved:
    """CA certificates are durable at their locations."""


@dataclass(frozen=True, slots=True)
class Notified:
    """A notification was delivered, or given up."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An effect did not succeed."""

    kind: FailureKind
    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """An effect cannot succeed until somebody changes the request."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resubmit:
    """An operator wants a new certificate for the present key."""


@dataclass(frozen=True, slots=True)
class Rekey:
    """An operator wants a new key and certificate."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """An operator wants the CA asked again now."""


@dataclass(frozen=True, slots=True)
class CaChanged:
    """The CA was added, or its data changed."""


Answer = Issued | Working | Rejected | Unreachable | Unconfigured | Unusable | NeedScepMessages | NeedKeyPair
"""How a submission can end."""

EffectResult = (
    KeyRead
    | KeyAbsent
    | KeyGenerated
    | CertRead
    | CertAbsent
    | CsrBuilt
    | ScepBuilt
    | ScepImpossible
    | Answer
    | RenewalInfo
    | HookEnded
    | HookFailed
    | CertSaved
    | CaCertsSaved
    | Notified
    | Failed
    | Impossible
)
Event = Begin | Continue | TimerFired | EffectResult | Resubmit | Rekey | Refresh | CaChanged
