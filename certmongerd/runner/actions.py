"""Carries out what the request machine asks for; results come back as its events."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, assert_never

from certmongerd.config.settings import Settings
from certmongerd.core.effects import (
    AskRenewalInfo,
    BuildCsr,
    BuildScep,
    Effect,
    GenerateKey,
    Notify,
    ReadCert,
    ReadKey,
    RunPostSave,
    RunPreSave,
    SaveCaCerts,
    SaveCert,
    Submit,
)
from certmongerd.core.errors import FailureKind, InvalidValue, KeyMissing, KeyStoreError
from certmongerd.core.events import (
    CaCertsSaved,
    CertAbsent,
    CertRead,
    CertSaved,
    CsrBuilt,
    EffectResult,
    Failed,
    HookEnded,
    HookFailed,
    Impossible,
    KeyAbsent,
    KeyGenerated,
    Notified,
)
from certmongerd.core.ids import Nickname
from certmongerd.core.model import (
    Ca,
    CaCertLocations,
    CertStorage,
    Hook,
    KeyAlgorithm,
    KeyStorage,
    Request,
    StorageType,
)
from certmongerd.core.secret import Secret
from certmongerd.keystore.file import FileKeyStore
from certmongerd.keystore.links import located
from certmongerd.keystore.pairs import save_pair
from certmongerd.keystore.protocol import Generated, Saved
from certmongerd.keystore.store import KeyStore, open_key_store
from certmongerd.pki.csr import build_csr, build_spkac
from certmongerd.pki.keys import KeyFacts
from certmongerd.runner.ca_certificates import CaCertificates
from certmongerd.runner.environment import HookMoment, hook_environment
from certmongerd.runner.executor import Executor
from certmongerd.runner.found import cert_read, key_read
from certmongerd.runner.hooks import run_hook
from certmongerd.runner.key_maker import KeyMaker
from certmongerd.runner.locks import LocationLocks
from certmongerd.runner.marker import new_marker
from certmongerd.runner.notify import Notifier
from certmongerd.runner.probe import probe_service
from certmongerd.runner.process import Launcher
from certmongerd.runner.submission import Submissions
from certmongerd.store.secret_file import secret_file

_log = logging.getLogger(__name__)

_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """The result of an effect, from the one before it."""

    effect: Effect
    result: EffectResult
    storage: KeyStorage | CertStorage
    marker: str = ""

    def is_about(self, request: Request, effect: Effect) -> bool:
        """Whether this is what *effect* would find."""
        if effect != self.effect:
            return False
        if isinstance(self.storage, CertStorage):
            return request.cert_storage == self.storage
        return (request.key_storage, request.key_next_marker) == (self.storage, self.marker)


@dataclass(slots=True, kw_only=True)
class Actions:
    """Performs effects. Blocking work runs in threads, under the locks of the locations it touches."""

    executor: Executor
    key_maker: KeyMaker
    locks: LocationLocks
    launcher: Launcher
    submissions: Submissions
    notifier: Notifier
    ca_certificates: CaCertificates
    settings: Callable[[], Settings]
    find_ca: Callable[[Request], Ca | None]
    other_locations: Callable[[Request], tuple[CaCertLocations, ...]]
    """CA certificate locations of the request's CA and of that CA's other requests."""
    base_environment: Mapping[str, str]
    host_name: str
    """Common name for a signing request that names no subject."""
    _foreseen: dict[Nickname, _Foreseen] = field(default_factory=dict)
    """What the last effect of a request has found out, for the next one."""

    async def perform(self, request: Request, effect: Effect) -> EffectResult:
        """Do *effect*; expected failures are results, not exceptions."""
        if effect == SaveCaCerts() and request.ca_certs == CaCertLocations():
            return CaCertsSaved()  # nothing changes: what is foreseen is so still
        foreseen = self._foreseen.pop(request.id, None)
        if foreseen is not None and foreseen.is_about(request, effect):
            return foreseen.result
        try:
            return await self._perform(request, effect)
        except KeyMissing:
            return KeyAbsent()
        except KeyStoreError as error:
            return Failed(error.kind, str(error))

    async def _perform(self, request: Request, effect: Effect) -> EffectResult:
        match effect:
            case ReadKey():
                return await self._read_key(request, effect)
            case ReadCert():
                return await self._read_cert(request)
            case GenerateKey():
                return await self._generate_key(request)
            case BuildCsr():
                return await self._build_csr(request)
            case BuildScep():
                return await self.submissions.build_scep(request)
            case Submit():
                return await self.submissions.submit(request, effect)
            case AskRenewalInfo():
                return await self.submissions.ask_renewal_info(request)
            case RunPreSave():
                return await self._run_hook(request, request.pre_save, HookMoment.PRE_SAVE)
            case SaveCert():
                return await self._save_cert(request)
            case SaveCaCerts():
                return await self._save_ca_certs(request)
            case RunPostSave():
                return await self._deploy(request)
            case Notify(notice):
                await self.notifier.notify(request, notice, self.settings())
                return Notified()
            case _:
                assert_never(effect)

    async def _read_key(self, request: Request, effect: ReadKey) -> EffectResult:
        storage = request.key_storage
        foresees = effect.cert_is_next and _is_foreseeable(request.cert_storage)
        locations = [storage.location, *([request.cert_storage.location] if foresees else [])]
        async with self.locks.holding(locations):
            facts, cert = await self.executor.store({storage.type}, _read_key, request, effect)
        if cert is not None:
            self._foreseen[request.id] = _Foreseen(ReadCert(), cert, request.cert_storage)
        if facts is None:
            return KeyAbsent()
        return key_read(facts)

    async def _read_cert(self, request: Request) -> EffectResult:
        storage = request.cert_storage
        async with self.locks.holding([storage.location]):
            return await self.executor.store({storage.type}, _read_certificate, request)

    async def _generate_key(self, request: Request) -> EffectResult:
        storage = request.key_storage
        store = open_key_store(storage.type)
        marker = request.key_next_marker or new_marker()
        cipher = self.settings().symmetric_cipher
        async with self.locks.holding([storage.location]):
            if request.key_next_marker:
                # Whatever is wrong with the place, making the key there says it better.
                with suppress(KeyStoreError):
                    await self.executor.store({storage.type}, store.discard_candidate, storage, request.key_next_marker)
            try:
                generated = await self._new_key(store, request, marker, cipher)
            except asyncio.CancelledError:
                # The thread has ended, perhaps with a candidate of which nobody will ever know. The executor
                # may be closed already, when it is the daemon that ends.
                await asyncio.to_thread(store.discard_candidate, storage, marker)
                raise
        facts = generated.facts
        self._foreseen[request.id] = _Foreseen(ReadKey(), key_read(facts), storage, generated.marker)
        return KeyGenerated(
            type=facts.algorithm,
            size=facts.bits,
            pubkey_info=facts.spki,
            marker=generated.marker,
            token=facts.token,
        )

    async def _new_key(self, store: KeyStore, request: Request, marker: str, cipher: str) -> Generated:
        storage, wanted = request.key_storage, request.key
        if not isinstance(store, FileKeyStore):  # the computing is done in another process, or another machine
            return await self.executor.store({storage.type}, store.generate_key, storage, wanted, marker, cipher)
        if wanted.gen_type is not KeyAlgorithm.RSA:  # takes less time than storing it
            return await self.executor.io(store.generate_key, storage, wanted, marker, cipher)
        try:
            key = await self.key_maker.make(wanted.gen_type, wanted.gen_size)
        except InvalidValue as error:
            raise KeyStoreError(FailureKind.OTHER, storage.location, error.reason) from error
        return await self.executor.io(store.keep_key, storage, key, marker, cipher)

    async def discard_candidate(self, request: Request) -> None:
        """Remove the candidate key of a request that nothing is being done for; what cannot be removed is named."""
        self._foreseen.pop(request.id, None)
        storage = request.key_storage
        if not request.key_next_marker:
            return
        try:
            store = open_key_store(storage.type)
            async with self.locks.holding([storage.location]):
                await self.executor.store({storage.type}, store.discard_candidate, storage, request.key_next_marker)
        except KeyStoreError as error:
            _log.warning('Request "%s": the key that waits for its certificate stays behind: %s', request.id, error)

    async def _build_csr(self, request: Request) -> EffectResult:
        storage = request.key_storage
        store = open_key_store(storage.type)
        digest = self.settings().digest
        async with self.locks.holding([storage.location]):
            return await self.executor.store({storage.type}, _sign_csr, store, request, digest, self.host_name)

    async def _save_cert(self, request: Request) -> EffectResult:
        preserve_as = request.cert_facts.serial if request.key_preserve else ""
        kept_in = {request.key_storage.type, request.cert_storage.type}
        async with self.locks.holding([request.key_storage.location, request.cert_storage.location]):
            saved, cert = await self.executor.store(kept_in, _save, request, preserve_as)
        if cert is not None:
            self._foreseen[request.id] = _Foreseen(ReadCert(), cert, request.cert_storage)
        return CertSaved(key_swapped=saved.key_swapped, token=saved.token)

    async def _save_ca_certs(self, request: Request) -> EffectResult:
        await self.ca_certificates.save(
            [request.ca_certs], self.other_locations(request), self.find_ca(request), request
        )
        return CaCertsSaved()

    async def _run_hook(self, request: Request, hook: Hook, moment: HookMoment) -> EffectResult:
        environment = hook_environment(self.base_environment, moment, request=request)
        outcome = await run_hook(self.launcher, hook, environment, self.settings().hook_timeout_s)
        if not outcome.succeeded:
            _log.warning('Request "%s": %s command: %s', request.id, moment.value, outcome.reason)
            return HookFailed(f"The {moment.value} command failed. {outcome.reason}")
        return HookEnded()

    async def _deploy(self, request: Request) -> EffectResult:
        ended = await self._run_hook(request, request.post_save, HookMoment.POST_SAVE)
        if isinstance(ended, HookFailed) or not request.deployment.probe:
            return ended
        failure = await probe_service(request.deployment.probe, request.cert)
        if failure:
            _log.warning('Request "%s": %s', request.id, failure)
            return HookFailed(failure)
        return ended


def _read_key(request: Request, effect: ReadKey) -> tuple[KeyFacts | None, CertRead | CertAbsent | None]:
    """Read the key, and foresee the certificate where that is next."""
    storage = request.key_storage
    facts = open_key_store(storage.type).read_key(
        storage, request.key_next_marker, known_spki=request.signing_key.pubkey_info
    )
    return facts, _foresee_certificate(request) if effect.cert_is_next else None


def _save(request: Request, preserve_as: str) -> tuple[Saved, CertRead | CertAbsent | None]:
    """Store the certificate, and foresee what reading it gives."""
    saved = save_pair(
        request.cert,
        request.cert_storage,
        request.key_storage,
        marker=request.key_next_marker,
        preserve_as=preserve_as,
        known_spki=request.key.pubkey_info,
        user=request.nss_user,
    )
    return saved, _foresee_certificate(request)


def _is_foreseeable(storage: CertStorage) -> bool:
    return storage.type is StorageType.FILE  # others take a process, which has a time limit of its own


def _foresee_certificate(request: Request) -> CertRead | CertAbsent | None:
    """What `ReadCert` would find; None where it is left to that."""
    if not _is_foreseeable(request.cert_storage):
        return None
    try:
        return _read_certificate(request)
    except KeyStoreError:
        return None


def _read_certificate(request: Request) -> CertRead | CertAbsent:
    pem = open_key_store(request.cert_storage.type).read_certificate(request.cert_storage)
    if pem is None:
        return CertAbsent()
    try:
        return cert_read(pem)
    except InvalidValue as error:
        raise KeyStoreError(FailureKind.OTHER, request.cert_storage.location, error.reason) from error


def _sign_csr(store: KeyStore, request: Request, digest: str, host_name: str) -> CsrBuilt | Impossible:
    key = store.private_key(request.key_storage, request.key_next_marker, known_spki=request.signing_key.pubkey_info)
    try:
        challenge = read_challenge(request)
        csr = build_csr(
            request.template,
            key,
            digest=digest,
            friendly_name=request.id,
            default_subject=host_name,
            challenge=challenge,
        )
    except InvalidValue as error:
        return Impossible(f"No signing request can be made: {error}")
    return CsrBuilt(csr=csr, spkac=build_spkac(key, challenge.reveal() if challenge else "", digest))


def read_challenge(request: Request) -> Secret | None:
    """The challenge password of the request's template; the file is read anew each time.

    Raises InvalidValue when the file cannot be read.
    """
    path = request.template.challenge_password_file
    if not path:
        return request.template.challenge_password
    try:
        with located(secret_file(path)) as place:
            text = place.read(_MEBIBYTE).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InvalidValue(
            "template-challenge-password-file", f'challenge password file "{path}" cannot be read: {reason}'
        ) from error
    return Secret(text.removesuffix("\n").removesuffix("\r"))
