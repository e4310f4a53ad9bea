"""What a database holds for many requests, found out by one process."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from certmongerd.core.errors import KeyStoreError
from certmongerd.core.model import CertStorage, KeyStorage, StorageType
from certmongerd.keystore.nss.store import newest_certificate
from certmongerd.keystore.nss.worker import WORKER
from certmongerd.keystore.pin import read_pin
from certmongerd.keystore.worker_key import key_facts_of
from certmongerd.pki.keys import KeyFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A key and its certificate in one database."""

    key: KeyStorage
    cert: CertStorage
    known_spki: bytes
    """As for `KeyStore.read_key`."""

    @property
    def way_in(self) -> Hashable:
        """Equal for tenants who can be looked at together; None when key and certificate cannot."""
        key, cert = self.key, self.cert
        if not (key.type is cert.type is StorageType.NSSDB) or (key.location, key.token) != (cert.location, cert.token):
            return None
        return key.location, key.token, key.pin.reveal() if key.pin else "", key.pin_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is there for a tenant; None for what is absent or cannot be read."""

    key: KeyFacts | None
    cert_pem: str | None


def survey(tenants: Sequence[Tenant]) -> list[Found]:
    """What is there for each of *tenants*, who have the same `way_in`. Blocks; raises `KeyStoreError`."""
    key = tenants[0].key
    answer = WORKER.ask(
        "survey",
        key.location,
        token=key.token,
        pin=read_pin(key),
        key_nicknames=[tenant.key.nickname for tenant in tenants],
        cert_nicknames=[tenant.cert.nickname for tenant in tenants],
        known_spkis=[tenant.known_spki.hex() for tenant in tenants],
    )
    spkis, certificates = answer["spkis"], answer["certificates"]
    assert isinstance(spkis, list)
    assert isinstance(certificates, list)
    return [
        Found(key=_key(tenant, spki, answer["token"]), cert_pem=_certificate(tenant, encoded))
        for tenant, spki, encoded in zip(tenants, spkis, certificates, strict=True)
    ]


def _key(tenant: Tenant, spki: str, token: object) -> KeyFacts | None:
    try:
        return key_facts_of(tenant.key, spki, token) if spki else None
    except KeyStoreError:
        return None  # told when the key is used


def _certificate(tenant: Tenant, encoded: str) -> str | None:
    try:
        return newest_certificate(tenant.cert, encoded.split())
    except KeyStoreError:
        return None
