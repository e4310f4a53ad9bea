"""Keys that a worker process works with: what databases and tokens have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from certmongerd.core.errors import FailureKind, InvalidValue, KeyStoreError
from certmongerd.core.model import KeyStorage
from certmongerd.keystore.worker import Worker
from certmongerd.keystore.worker_process import Value
from certmongerd.pki.keys import KeyFacts, public_key_facts
from certmongerd.pki.token_key import Oaep


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


def key_facts_of(storage: KeyStorage, spki: object, token: object = "") -> KeyFacts:
    """Facts of the key with a hexadecimal SubjectPublicKeyInfo. Raises `KeyStoreError`."""
    try:
        return public_key_facts(bytes.fromhex(str(spki)), str(token))
    except InvalidValue as exc:
        raise KeyStoreError(FailureKind.OTHER, storage.location, exc.reason) from exc
