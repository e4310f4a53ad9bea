"""Keys that a worker process works with: what databases and tokens have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from certmongerd.core.errors import FailureKind, InvalidValue, KeyMissing, KeyStoreError
from certmongerd.core.model import KeyStorage
from certmongerd.keystore.worker import Worker
from certmongerd.keystore.worker_process import Value
from certmongerd.pki.keys import KeyFacts, PrivateKey, public_key_facts
from certmongerd.pki.token_key import Oaep, token_key


@dataclass(frozen=True, slots=True)
class WorkerKey:
    """A private key behind *worker*, as `certmongerd.pki.token_key.TokenOperations`."""

    worker: Worker
    location: str
    arguments: Callable[[], Mapping[str, Value]]
    """Which key it is, and the PIN, which is read anew for each operation. Raises `KeyStoreError`."""

    def sign(self, block: bytes) -> bytes:
        """See `TokenOperations`."""
        answer = self.worker.ask("sign", self.location, "", **self.arguments(), block=block.hex())
        return bytes.fromhex(str(answer["signature"]))

    def decrypt(self, ciphertext: bytes, oaep: Oaep | None) -> bytes | None:
        """See `TokenOperations`."""
        answer = self.worker.ask(
            "decrypt",
            self.location,
            "",
            **self.arguments(),
            ciphertext=ciphertext.hex(),
            digest=oaep.digest if oaep else None,
            mask_digest=oaep.mask_digest if oaep else None,
            label=oaep.label.hex() if oaep else "",
        )
        plaintext = answer["plaintext"]
        return None if plaintext is None else bytes.fromhex(str(plaintext))


def usable_key(
    storage: KeyStorage, marker: str, facts: KeyFacts | None, key_of: Callable[[bytes], WorkerKey], *, absent: str
) -> PrivateKey:
    """The key with *facts*, or the candidate that *marker* names.

    Without facts there is none: raises KeyMissing for a candidate that is not there (any more), and `KeyStoreError`,
    which says *absent*, for the key itself.
    """
    if facts is None:
        raise KeyMissing(storage.location) if marker else KeyStoreError(FailureKind.TOKEN, storage.location, absent)
    try:
        return token_key(facts.spki, key_of(facts.spki))
    except InvalidValue as exc:
        raise KeyStoreError(FailureKind.OTHER, storage.location, exc.reason) from exc


def key_facts_of(storage: KeyStorage, spki: object, token: object = "") -> KeyFacts:
    """Facts of the key with a hexadecimal SubjectPublicKeyInfo. Raises `KeyStoreError`."""
    try:
        return public_key_facts(bytes.fromhex(str(spki)), str(token))
    except InvalidValue as exc:
        raise KeyStoreError(FailureKind.OTHER, storage.location, exc.reason) from exc
