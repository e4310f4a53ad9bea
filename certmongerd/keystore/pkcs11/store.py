"""Keys in PKCS #11 tokens, through worker processes."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from certmongerd.core.errors import FailureKind, InvalidValue, KeyStoreError
from certmongerd.core.model import CertStorage, KeyRecord, KeyStorage
from certmongerd.core.pkcs11_uri import parse_uri
from certmongerd.keystore.generation import generation_of
from certmongerd.keystore.pin import read_pin, read_pin_for_new_key
from certmongerd.keystore.protocol import Generated, Saved
from certmongerd.keystore.worker import Worker
from certmongerd.keystore.worker_key import WorkerKey, key_facts_of, usable_key
from certmongerd.pki.keys import KeyFacts, PrivateKey

_WORKER: Final = Worker("certmongerd.keystore.pkcs11.process", time_limit_s=120)
"""A smart card needs a minute for a key of 4096 bits."""


@dataclass(frozen=True, slots=True)
class Pkcs11KeyStore:
    """Keys that a `pkcs11:` URI names; see `certmongerd.keystore.protocol.KeyStore`. Certificates go to files."""

    worker: Worker = _WORKER

    def read_key(self, storage: KeyStorage, marker: str = "", *, known_spki: bytes = b"") -> KeyFacts | None:
        """Facts of the key, or of the candidate that *marker* names; None when there is none."""
        answer = self.worker.ask(
            "read_key",
            storage.location,
            pin=_pin(storage),
            candidate=_candidate_label(storage, marker),
            known_spki=known_spki.hex(),
        )
        return key_facts_of(storage, answer["spki"]) if answer["spki"] is not None else None

    def private_key(self, storage: KeyStorage, marker: str = "", *, known_spki: bytes = b"") -> PrivateKey:
        """The key, which stays in the token. Raises KeyMissing for a candidate that is not there (any more)."""
        facts = self.read_key(storage, marker, known_spki=known_spki)
        absent = "There is no such private key in the token."
        return usable_key(storage, marker, facts, partial(self._key, storage, marker), absent=absent)

    def generate_key(self, storage: KeyStorage, record: KeyRecord, marker: str, cipher: str) -> Generated:
        """Make the key that *record* describes, under its name if that is free, else as a candidate.

        *cipher* is the token's affair.
        """
        wanted = generation_of(storage, record)
        answer = self.worker.change(
            "generate_key",
            storage.location,
            pin=_pin(storage, for_new_key=True),
            candidate=_candidate_label(storage, marker),
            algorithm=wanted.algorithm,
            bits=wanted.bits,
            curve=wanted.curve,
        )
        return Generated(facts=key_facts_of(storage, answer["spki"]), marker=marker if answer["is_candidate"] else "")

    def discard_candidate(self, storage: KeyStorage, marker: str) -> None:
        """Remove the candidate that *marker* names, if it is there."""
        candidate = _candidate_label(storage, marker)
        self.worker.change("discard_key", storage.location, pin=_pin(storage), candidate=candidate)

    def adopt_candidate(
        self, storage: KeyStorage, marker: str, *, spki: bytes, known_spki: bytes, preserve: bool
    ) -> bool:
        """Let the candidate of *spki* be the key, in place of that of *known_spki*; whether it was not yet."""
        answer = self.worker.change(
            "adopt_key",
            storage.location,
            pin=_pin(storage),
            candidate=_candidate_label(storage, marker),
            spki=spki.hex(),
            known_spki=known_spki.hex(),
            preserve=preserve,
        )
        return answer["is_swapped"] is True

    def read_certificate(self, storage: CertStorage) -> str | None:
        """Certificates are not kept in tokens."""
        raise _no_certificates(storage)

    def save_certificate(
        self,
        cert_pem: str,
        cert_storage: CertStorage,
        key_storage: KeyStorage,
        *,
        marker: str,
        preserve_as: str,
        known_spki: bytes = b"",
        user: str = "",
    ) -> Saved:
        """Certificates are not kept in tokens."""
        raise _no_certificates(cert_storage)

    def sweep_leftovers(self, location: str) -> None:
        """Nothing: a token has no unfinished writes."""

    def finish_exchange(self, storage: CertStorage, spki: bytes) -> None:
        """Nothing: an exchange that was cut off is repeated."""

    def candidate_location(self, storage: KeyStorage, marker: str) -> str:
        """No file."""
        return ""

    def _key(self, storage: KeyStorage, marker: str, spki: bytes) -> WorkerKey:
        return WorkerKey(
            self.worker,
            storage.location,
            lambda: {"pin": _pin(storage), "candidate": _candidate_label(storage, marker), "spki": spki.hex()},
        )


def _candidate_label(storage: KeyStorage, marker: str) -> str:
    """What the key that *marker* names is called until its certificate is stored; empty without a marker."""
    if not marker:
        return ""
    try:
        uri = parse_uri(storage.location)
    except InvalidValue as exc:
        raise KeyStoreError(FailureKind.TOKEN, storage.location, exc.reason) from exc
    return f"{uri.object or uri.id.hex()} (candidate {marker})"


def _pin(storage: KeyStorage, *, for_new_key: bool = False) -> str | None:
    """The PIN of the request, else that of the URI's `pin-source`."""
    if not storage.pin and not storage.pin_file:
        try:
            storage = replace(storage, pin_file=parse_uri(storage.location).pin_file)
        except InvalidValue as exc:
            raise KeyStoreError(FailureKind.TOKEN, storage.location, exc.reason) from exc
    return read_pin_for_new_key(storage) if for_new_key else read_pin(storage)


def _no_certificates(storage: CertStorage) -> KeyStoreError:
    return KeyStoreError(FailureKind.TOKEN, storage.location, "Certificates are kept in files, not in tokens.")
