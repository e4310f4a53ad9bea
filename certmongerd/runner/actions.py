"""Carries out what the request machine asks for; results come back as its events."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never

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
from certmongerd.core.errors import KeyMissing, KeyStoreError
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
    Hook,
    KeyAlgorithm,
    Request,
    StorageType,
)
from certmongerd.keystore.protocol import Generated, Saved
from certmongerd.keystore.store import open_key_store
from certmongerd.runner import jobs
from certmongerd.runner.ca_certificates import CaCertificates
from certmongerd.runner.environment import HookMoment, hook_environment
from certmongerd.runner.executor import Executor
from certmongerd.runner.found import key_read
from certmongerd.runner.hooks import run_hook
from certmongerd.runner.locks import LocationLocks
from certmongerd.runner.marker import new_marker
from certmongerd.runner.notify import Notifier
from certmongerd.runner.probe import probe_service
from certmongerd.runner.process import Launcher
from certmongerd.runner.request_worker import Persist
from certmongerd.runner.submission import Submissions
from certmongerd.runner.work_pool import Interrupted
from certmongerd.store.repository import FileWork

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """The result of an effect, from one before it."""

    effect: Effect
    result: EffectResult
    inputs: tuple[object, ...]
    """What it depends on, see `Actions._inputs`."""


@dataclass(slots=True, kw_only=True)
class Actions:
    """Performs effects. Blocking work runs in threads, under the locks of the locations it touches."""

    executor: Executor
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
    _foreseen: dict[Nickname, tuple[_Foreseen, ...]] = field(default_factory=dict)
    """What the last effect of a request has found out, for those that come next."""

    def foreseen(self, request: Request, effect: Effect) -> EffectResult | None:
        """The result of *effect* where nothing is left to do for it."""
        if effect == SaveCaCerts() and request.ca_certs == CaCertLocations():
            return CaCertsSaved()  # nothing changes: what is foreseen is so still
        foreseen = self._foreseen.pop(request.id, ())
        if foreseen and foreseen[0].effect == effect and foreseen[0].inputs == self._inputs(request, effect):
            self._foresee(request, *foreseen[1:])
            return foreseen[0].result
        return None

    def stores_request(self, request: Request, effect: Effect) -> bool:
        """Whether `perform` stores the request along with *effect*, before it."""
        kept_in = {request.key_storage.type, request.cert_storage.type}
        return isinstance(effect, SaveCert) and self.executor.is_quick(kept_in)

    async def perform(self, request: Request, effect: Effect, persist: Persist) -> EffectResult:
        """Do *effect*; its expected failures are results. Raises StateStoreError where the request cannot be stored."""
        try:
            return await self._perform(request, effect, persist)
        except KeyMissing:
            return KeyAbsent()
        except KeyStoreError as error:
            return Failed(error.kind, str(error))

    def _foresee(self, request: Request, *foreseen: _Foreseen) -> None:
        if foreseen:
            self._foreseen[request.id] = foreseen

    def _inputs(self, request: Request, effect: Effect) -> tuple[object, ...]:
        """What the result of *effect* depends on, as far as it can be foreseen."""
        match effect:
            case ReadCert():
                return (request.cert_storage,)
            case ReadKey():
                return (request.key_storage, request.key_next_marker)
            case BuildCsr():
                return (request.key_storage, request.key_next_marker, self._csr_wanted(request))
            case _:
                return ()

    def _csr_wanted(self, request: Request) -> jobs.CsrWanted:
        return jobs.CsrWanted(
            template=request.template,
            digest=self.settings().digest,
            friendly_name=request.id,
            host_name=self.host_name,
        )

    async def _perform(self, request: Request, effect: Effect, persist: Persist) -> EffectResult:
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
                return await self._save_cert(request, persist)
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
        foresees = effect.cert_is_next and jobs.is_foreseeable(request.cert_storage)
        locations = [storage.location, *([request.cert_storage.location] if foresees else [])]
        async with self.locks.holding(locations):
            facts, cert = await self.executor.store(
                {storage.type},
                jobs.read_key,
                storage,
                request.key_next_marker,
                request.signing_key.pubkey_info,
                request.cert_storage if foresees else None,
            )
        self._foresee_certificate(request, cert)
        return KeyAbsent() if facts is None else key_read(facts)

    def _foresee_certificate(self, request: Request, cert: CertRead | CertAbsent | None) -> None:
        if cert is not None:
            self._foresee(request, _Foreseen(ReadCert(), cert, (request.cert_storage,)))

    async def store_new(self, request: Request, store: FileWork) -> None:
        """Store a new request by *store*, and foresee what the first look at files finds. Raises StateStoreError."""
        storage, cert_storage = request.key_storage, request.cert_storage
        if storage.type is not StorageType.FILE or not jobs.is_foreseeable(cert_storage):
            await self.executor.file_work(store)
            return
        async with self.locks.holding([storage.location, cert_storage.location]):
            found = await self.executor.file_work(jobs.in_turn, store, jobs.look, storage, cert_storage)
        if found is None:
            return
        facts, cert = found
        key = KeyAbsent() if facts is None else key_read(facts)
        foreseen = [_Foreseen(ReadKey(cert_is_next=True), key, (storage, request.key_next_marker))]
        if cert is not None:
            foreseen.append(_Foreseen(ReadCert(), cert, (cert_storage,)))
        self._foresee(request, *foreseen)

    async def _read_cert(self, request: Request) -> EffectResult:
        storage = request.cert_storage
        async with self.locks.holding([storage.location]):
            return await self.executor.store({storage.type}, jobs.read_certificate, storage)

    async def _generate_key(self, request: Request) -> EffectResult:
        storage = request.key_storage
        wanted = jobs.KeyWanted(
            storage=storage,
            record=request.key,
            marker=request.key_next_marker or new_marker(),
            is_known=bool(request.key_next_marker),
            cipher=self.settings().symmetric_cipher,
            csr=self._csr_wanted(request),
        )
        async with self.locks.holding([storage.location]):
            try:
                generated, csr = await self._new_key(wanted)
            except asyncio.CancelledError:
                # The work has ended, perhaps with a candidate of which nobody will ever know. The executor
                # may be closed already, when it is the daemon that ends.
                store = open_key_store(storage.type)
                await asyncio.to_thread(store.discard_candidate, storage, wanted.marker)
                raise
        facts, marker = generated.facts, generated.marker
        foreseen = [_Foreseen(ReadKey(), key_read(facts), (storage, marker))]
        if csr is not None:
            foreseen.append(_Foreseen(BuildCsr(), csr, (storage, marker, wanted.csr)))
        self._foresee(request, *foreseen)
        return KeyGenerated(
            type=facts.algorithm, size=facts.bits, pubkey_info=facts.spki, marker=marker, token=facts.token
        )

    async def _new_key(self, wanted: jobs.KeyWanted) -> tuple[Generated, CsrBuilt | Impossible | None]:
        # For a token the computing is done in another process, or another machine; with EC it is less than the storing.
        is_heavy = wanted.storage.type is StorageType.FILE and wanted.record.gen_type is KeyAlgorithm.RSA
        try:
            if is_heavy:
                return await self.executor.heavy_work_once(jobs.generate_key, wanted)
            return await self.executor.store_once({wanted.storage.type}, jobs.generate_key, wanted)
        except Interrupted:
            return await self.executor.cpu(jobs.generate_key_again, wanted)

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
        storage, key, wanted = request.key_storage, jobs.SigningKey.of(request), self._csr_wanted(request)
        async with self.locks.holding([storage.location]):
            return await self.executor.store({storage.type}, jobs.sign_csr, key, wanted)

    async def _save_cert(self, request: Request, persist: Persist) -> EffectResult:
        kept_in = {request.key_storage.type, request.cert_storage.type}
        save = partial(
            jobs.save,
            request.cert,
            request.cert_storage,
            request.key_storage,
            marker=request.key_next_marker,
            preserve_as=request.cert_facts.serial if request.key_preserve else "",
            known_spki=request.key.pubkey_info,
            user=request.nss_user,
        )
        done: list[tuple[Saved, CertRead | CertAbsent | None]] = []

        async def save_after(store: FileWork) -> None:
            done.append(await self.executor.store(kept_in, jobs.in_turn, store, save))

        async with self.locks.holding([request.key_storage.location, request.cert_storage.location]):
            if self.stores_request(request, SaveCert()):
                await persist(save_after)
            if not done:  # the request is on disk already
                done.append(await self.executor.store(kept_in, save))
        ((saved, cert),) = done
        self._foresee_certificate(request, cert)
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
