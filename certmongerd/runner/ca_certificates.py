"""Stores CA certificates in the files and databases that requests and CAs name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from certmongerd.config.settings import Settings
from certmongerd.core.choice import DatabaseCertificate, ca_certificate_databases, ca_certificate_files
from certmongerd.core.model import Ca, CaCertLocations, KeyStorage, Request, StorageType
from certmongerd.keystore.file import FileKeyStore
from certmongerd.keystore.nss.authorities import Authority, save_authorities
from certmongerd.runner.executor import Executor
from certmongerd.runner.locks import LocationLocks


@dataclass(slots=True, kw_only=True)
class CaCertificates:
    """Stores them under the locks of the locations."""

    executor: Executor
    locks: LocationLocks
    settings: Callable[[], Settings]
    find_key_storage: Callable[[str], KeyStorage | None]
    """Where some request keeps its key in the database at a location: from there is the PIN."""

    async def save(
        self, own: Sequence[CaCertLocations], others: Sequence[CaCertLocations], ca: Ca | None, request: Request | None
    ) -> None:
        """Write to the locations that *own* names; what *others* want in the same file goes there too.

        Raises `KeyStoreError`.
        """
        files = ca_certificate_files([*own, *others], ca, request)
        store = FileKeyStore()
        for path in ca_certificate_files(own, ca, request):
            async with self.locks.holding([path]):
                await self.executor.io(store.save_certificates, path, [c.pem for c in files[path]])
        for location, certificates in ca_certificate_databases(own, ca, request).items():
            authorities = [self._authority(certificate) for certificate in certificates]
            async with self.locks.holding([location]):
                await self.executor.store(
                    {StorageType.NSSDB}, save_authorities, location, authorities, self.find_key_storage(location)
                )

    def _authority(self, wanted: DatabaseCertificate) -> Authority:
        settings = self.settings()
        trust = settings.nss_ca_trust if wanted.is_root else settings.nss_other_trust
        return Authority(nickname=wanted.certificate.nickname, pem=wanted.certificate.pem, trust=trust)
