"""Keys and certificates in NSS databases, through worker processes."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from certmongerd.core.errors import FailureKind, InvalidValue, KeyStoreError
from certmongerd.core.model import CertStorage, KeyRecord, KeyStorage, StorageType
from certmongerd.keystore.failures import translating
from certmongerd.keystore.generation import generation_of
from certmongerd.keystore.links import located
from certmongerd.keystore.nss.location import CERTIFICATE_FILES, KEY_FILES, directory_of
from certmongerd.keystore.nss.worker import WORKER
from certmongerd.keystore.ownership import apply_ownership
from certmongerd.keystore.pin import read_pin, read_pin_for_new_key
from certmongerd.keystore.protocol import Generated, Saved
from certmongerd.keystore.worker_key import WorkerKey, key_facts_of, usable_key
from certmongerd.pki.certs import ParsedCertificate, parse_certificate, parse_der_certificate, spki_of, to_pem
from certmongerd.pki.keys import KeyFacts, PrivateKey


def candidate_nickname(storage: KeyStorage, marker: str) -> str:
    """What the key that *marker* names is called until it has its certificate."""
    return f"{storage.nickname} (candidate {marker})"


class NssKeyStore:
    """Keys and certificates under nicknames; see `certmongerd.keystore.protocol.KeyStore`."""

    def read_key(self, storage: KeyStorage, marker: str = "", *, known_spki: bytes = b"") -> KeyFacts | None:
        """Facts of the key, or of the candidate that *marker* names; None when there is none, or no database."""
        answer = WORKER.ask(
            "read_key",
            storage.location,
            token=storage.token,
            nickname=candidate_nickname(storage, marker) if marker else storage.nickname,
            pin=read_pin(storage),
            known_spki=known_spki.hex(),
        )
        if answer["spki"] is None:
            return None
        return key_facts_of(storage, answer["spki"], answer["token"])

    def private_key(self, storage: KeyStorage, marker: str = "", *, known_spki: bytes = b"") -> PrivateKey:
        """The key, which stays in the database. Raises KeyMissing for a candidate that is not there (any more)."""
        facts = self.read_key(storage, marker, known_spki=known_spki)
        absent = "There is no private key of this nickname."
        return usable_key(storage, marker, facts, partial(_database_key, storage), absent=absent)

    def generate_key(self, storage: KeyStorage, record: KeyRecord, marker: str, cipher: str) -> Generated:
        """Make the key that *record* describes, under its nickname if that is free, else as a candidate.

        A database that is not there is made, with the PIN as its password. *cipher* is NSS's affair. RSA and EC keys
        only: others raise `KeyStoreError` of kind OTHER.
        """
        wanted = generation_of(storage, record)
        answer = WORKER.change(
            "generate_key",
            storage.location,
            token=storage.token,
            nickname=storage.nickname,
            candidate=candidate_nickname(storage, marker),
            pin=read_pin_for_new_key(storage),
            algorithm=wanted.algorithm,
            bits=wanted.bits,
            curve=wanted.curve,
        )
        facts = key_facts_of(storage, answer["spki"], answer["token"])
        _set_ownership(storage, KEY_FILES)
        return Generated(facts=facts, marker=marker if answer["is_candidate"] else "")

    def discard_candidate(self, storage: KeyStorage, marker: str) -> None:
        """Remove the candidate that *marker* names, if it is there."""
        WORKER.change(
            "discard_key",
            storage.location,
            token=storage.token,
            nickname=candidate_nickname(storage, marker),
            pin=read_pin(storage),
        )

    def adopt_candidate(
        self, storage: KeyStorage, marker: str, *, spki: bytes, known_spki: bytes, preserve: bool
    ) -> bool:
        """Let the candidate of *spki* be the key; whether it was not yet. The key before it goes, or loses its name."""
        answer = WORKER.change(
            "adopt_key",
            storage.location,
            token=storage.token,
            nickname="",
            key_nickname=storage.nickname,
            candidate=candidate_nickname(storage, marker),
            spki=spki.hex(),
            preserve=preserve,
            pin=read_pin(storage),
        )
        _set_ownership(storage, KEY_FILES)
        return answer["is_swapped"] is True

    def read_certificate(self, storage: CertStorage) -> str | None:
        """PEM of the newest certificate of the nickname; None when there is none, or no database."""
        answer = WORKER.ask("read_certificates", storage.location, token=storage.token, nickname=storage.nickname)
        found = answer["certificates"]
        assert isinstance(found, list)
        return newest_certificate(storage, found)

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
        """Store a certificate and, when it belongs to the candidate key, give that the nickname.

        What was stored under the nickname before goes; other nicknames are left alone, also when they have the same
        subject. May be repeated after a crash at any point. A certificate for neither key raises `KeyStoreError` of
        kind OTHER and changes nothing. With *preserve_as* a replaced key stays in the database without nickname.
        """
        try:
            certificate = parse_certificate(cert_pem)
        except InvalidValue as exc:
            raise KeyStoreError(FailureKind.OTHER, cert_storage.location, exc.reason) from exc
        has_key = key_storage.type is StorageType.NSSDB
        if key_storage.type in (StorageType.FILE, StorageType.PKCS11):
            reason = "A certificate in a database cannot belong to a key in a file or another token."
            raise KeyStoreError(FailureKind.TOKEN, cert_storage.location, reason)
        answer = WORKER.change(
            "save_certificate",
            cert_storage.location,
            user,
            token=cert_storage.token,
            nickname=cert_storage.nickname,
            certificate=certificate.encoded.hex(),
            subject=certificate.subject.hex(),
            spki=spki_of(certificate).hex(),
            has_key=has_key,
            key_nickname=key_storage.nickname,
            candidate=candidate_nickname(key_storage, marker) if marker else key_storage.nickname,
            preserve=bool(preserve_as),
            pin=read_pin(key_storage),
        )
        _set_ownership(cert_storage, CERTIFICATE_FILES)
        _set_ownership(key_storage, KEY_FILES)
        was_swapped = bool(marker) and spki_of(certificate) != known_spki
        return Saved(key_swapped=answer["is_swapped"] is True or was_swapped, token=str(answer["token"]))

    def sweep_leftovers(self, location: str) -> None:
        """Nothing: the database's own transactions leave none."""

    def finish_exchange(self, storage: CertStorage, spki: bytes) -> None:
        """Nothing: the exchange is one transaction, or is repeated."""

    def candidate_location(self, storage: KeyStorage, marker: str) -> str:
        """No file."""
        return ""


def _database_key(storage: KeyStorage, spki: bytes) -> WorkerKey:
    """The key of *spki*, whatever it is called."""
    return WorkerKey(
        WORKER, storage.location, lambda: {"token": storage.token, "pin": read_pin(storage), "spki": spki.hex()}
    )


def _set_ownership(storage: KeyStorage | CertStorage, names: tuple[str, ...]) -> None:
    """Give the database's files *names* the configured owner and mode."""
    if storage.type is not StorageType.NSSDB or not (storage.owner or storage.perms):
        return
    for name in names:
        path = os.path.join(directory_of(storage.location), name)
        with translating(storage.location, f"Owner and mode of {name} cannot be set"), located(path) as place:
            if place.status() is not None:
                apply_ownership(place, storage.owner, storage.perms)


def newest_certificate(storage: CertStorage, encoded: Sequence[str]) -> str | None:
    """PEM of the newest of certificates in hexadecimal DER; None when there is none. Raises `KeyStoreError`."""
    try:
        certificates = [parse_der_certificate(bytes.fromhex(text)) for text in encoded]
    except InvalidValue as exc:
        raise KeyStoreError(FailureKind.OTHER, storage.location, exc.reason) from exc
    newest = max(certificates, key=_begin_of, default=None)
    return to_pem(newest) if newest is not None else None


def _begin_of(certificate: ParsedCertificate) -> datetime:
    return certificate.not_before or datetime.min.replace(tzinfo=UTC)
