"""What the SCEP messages of a request are made of."""

from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from certmongerd.core.model import Ca, ScepMessages
from certmongerd.scep.message import RandomBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ScepInputs:
    """Everything that messages are made of."""

    csr: str
    """PEM PKCS#10, made with `key`, or with `key_next` during a rekey."""
    ca: Ca
    """Its capabilities, encryption certificates, cipher and digest settings are used."""
    key: PrivateKeyTypes = field(repr=False)
    """The current key."""
    key_next: PrivateKeyTypes | None = field(default=None, repr=False)
    """The candidate key of a rekey."""
    certificate: str = ""
    """PEM of the certificate held so far; empty when there is none."""
    old: ScepMessages = field(default_factory=ScepMessages)
    """Messages made before, for the transaction and the self-signed certificate to stay the same."""
    nickname: str = ""
    """Names the signer of a request without any name."""
    is_polling: bool = False
    """Whether the CA is still deciding: the old transactionID is kept, whatever made it."""
    now: datetime
    nonce: bytes
    """16 random bytes never used before."""
    random_bytes: RandomBytes = field(repr=False)
    """For content keys and initialisation vectors, as `secrets.token_bytes`."""
