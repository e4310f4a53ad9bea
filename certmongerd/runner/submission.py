"""Handing requests to CAs: external helpers, the internal self-signer, SCEP messages."""

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, ParamSpec, TypeVar

from certmongerd.busapi.service import ScepQuery
from certmongerd.config.settings import Settings
from certmongerd.core.answers import HelperRun, RawIssued, first_line, read_answer
from certmongerd.core.ca_data import Phase
from certmongerd.core.effects import Submit
from certmongerd.core.errors import (
    FailureKind,
    InvalidValue,
    KeyStoreError,
    LaunchError,
    QueryRefused,
)
from certmongerd.core.events import (
    Answer,
    EffectResult,
    Failed,
    Rejected,
    ScepImpossible,
    ScepObstacle,
    Unconfigured,
    Unreachable,
    Unusable,
)
from certmongerd.core.evolve import replace
from certmongerd.core.machine_enroll import is_scep_ca
from certmongerd.core.mask import NOTHING_HIDDEN, Mask
from certmongerd.core.model import Ca, CaType, Request
from certmongerd.core.renewal_info import read_renewal_info
from certmongerd.core.serials import next_serial, usable_serial
from certmongerd.pki.csr import challenge_in
from certmongerd.runner import jobs
from certmongerd.runner.environment import query_environment, renewal_info_environment, submission_environment
from certmongerd.runner.executor import Executor
from certmongerd.runner.process import Launcher
from certmongerd.runner.program import CountRun
from certmongerd.runner.registry import CaEntry, Registry
from certmongerd.runner.words import split_command

_log = logging.getLogger(__name__)

_UNIQUE_ID_BYTES: Final = 16
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class Submissions:
    """Submits requests and reads the answers."""

    registry: Registry
    executor: Executor
    launcher: Launcher
    settings: Callable[[], Settings]
    base_environment: Mapping[str, str]
    resolve_helper: Callable[[str], str]
    """Maps a helper path of another certmonger installation to ours."""
    count_run: CountRun
    refetch_scep: Callable[[CaEntry], None]
    """Has the data of a SCEP server fetched again, now and then."""
    refetch_roots: Callable[[CaEntry], None]
    """Has a CA's certificates fetched again, now and then."""

    async def submit(self, request: Request, effect: Submit) -> EffectResult:
        """Hand *request* to its CA."""
        entry = self.registry.ca_entry(request.ca_name)
        if entry is None:
            return Unconfigured(f'The CA "{request.ca_name}" was removed.')
        if entry.ca.type is CaType.INTERNAL_SELF:
            return await self._self_sign(request, entry)
        mask = _mask_of(request)
        said = await self._run_helper(request, entry.ca, effect, mask)
        if isinstance(said, RawIssued):
            answer, is_by_new_key = await self._with_key(request, jobs.read_issued, request, entry.ca, said.output)
            if is_by_new_key:
                # Whoever keeps the CA's certificates needs the new one as soon as the new key is used.
                self.refetch_roots(entry)
        else:
            answer = said
        if isinstance(answer, Rejected | Unreachable | Unconfigured | Unusable):
            answer = replace(answer, text=mask.hide(answer.text))
        if effect.with_scep and isinstance(answer, Unreachable):
            # A server that was given new keys signs with them; its answers are not trusted before they are known.
            self.refetch_scep(entry)
        return answer

    async def _run_helper(self, request: Request, ca: Ca, effect: Submit, mask: Mask) -> Answer | RawIssued:
        # The nonce was marked as used when the submission was decided; this run is the one use.
        unused = replace(request.scep, last_nonce=b"" if effect.with_scep else request.scep.nonce)
        environment = submission_environment(
            self.base_environment, replace(request, scep=unused), ca, effect.operation.value
        )
        limit_s = self.settings().submit_timeout_s
        try:
            argv = split_command(self.resolve_helper(ca.external_helper))
            if not argv:
                return Unconfigured(f'The CA "{ca.id}" has no helper command.')
            run = await self.launcher.run_helper(argv, env=environment, timeout_s=limit_s, mask=mask, recurs=True)
            self.count_run(ca.id, effect.operation.value, run.exit_status, run.duration_s)
        except (LaunchError, InvalidValue) as error:
            return Unconfigured(f'The helper of the CA "{ca.id}" cannot be run: {error}')
        return read_answer(
            HelperRun(
                exit_status=run.exit_status,
                signal=run.signal,
                stdout=run.stdout,
                timed_out=run.timed_out,
                truncated=run.truncated,
                time_limit_s=limit_s,
                stderr_tail=run.stderr_tail,
            ),
            scep_given=effect.with_scep,
        )

    async def _self_sign(self, request: Request, entry: CaEntry) -> EffectResult:
        serial = usable_serial(entry.ca.internal_serial)
        self.registry.set_ca(entry, replace(entry.ca, internal_serial=next_serial(serial)))
        # On disk before it is used, so that no serial is used twice.
        await self.registry.persist_ca(entry)
        settings = self.settings()
        start = self.registry.clock.now()
        return await self._with_key(
            request,
            jobs.sign_own,
            request.csr,
            jobs.SigningKey.of(request),
            serial=int(serial, 16),
            not_before=start,
            not_after=settings.selfsign_validity.add_to(start),
            digest=settings.digest,
            unique_id=secrets.token_bytes(_UNIQUE_ID_BYTES) if settings.selfsign_populate_unique_id else None,
        )

    async def build_scep(self, request: Request) -> EffectResult:
        """Make SCEP messages with fresh nonces."""
        entry = self.registry.ca_entry(request.ca_name)
        if entry is None:
            return ScepImpossible(obstacle=ScepObstacle.BAD_SETTING, reason=f'The CA "{request.ca_name}" was removed.')
        from certmongerd.runner.scep_exchange import make_messages  # brings a library that only SCEP needs

        # Right after a CA was added its certificates are on their way; whether they are missing shows then.
        await entry.scep_settled.wait()
        return await self._with_key(request, make_messages, request, entry.ca, self.registry.clock.now())

    async def ask_renewal_info(self, request: Request) -> EffectResult:
        """Ask the CA when it wants the certificate renewed (RFC 9773)."""
        entry = self.registry.ca_entry(request.ca_name)
        if entry is None:
            return Failed(FailureKind.OTHER, f'The CA "{request.ca_name}" was removed.')
        ca = entry.ca
        try:
            argv = split_command(self.resolve_helper(ca.external_helper))
            environment = renewal_info_environment(self.base_environment, request, ca)
            run = await self.launcher.run_helper(argv, env=environment, timeout_s=self.settings().ca_data_timeout_s)
            self.count_run(ca.id, Phase.RENEWAL_INFO.value, run.exit_status, run.duration_s)
            if run.exit_status != 0:
                reason = first_line(run.stdout) or f"the helper ended with status {run.exit_status}"
                _log.info('Request "%s": no renewal information: %s', request.id, reason)
                return Failed(FailureKind.OTHER, reason)
            return read_renewal_info(run.stdout)
        except (LaunchError, InvalidValue) as error:
            _log.warning('Request "%s": no renewal information: %s', request.id, error)
            return Failed(FailureKind.OTHER, str(error))

    async def query_scep(self, request: Request, query: ScepQuery) -> str:
        """Ask the request's SCEP server something that changes nothing. Raises QueryRefused."""
        entry = self.registry.ca_entry(request.ca_name)
        if entry is None or not is_scep_ca(entry.ca):
            raise QueryRefused(f'Request "{request.id}" does not go to a SCEP server whose data are known.')
        from certmongerd.runner.scep_exchange import make_query, open_answer

        ca = entry.ca
        try:
            message = await self._with_key(
                request,
                partial(make_query, wants_crl=query.wants_crl, serial=query.serial),
                request,
                ca,
                self.registry.clock.now(),
            )
            argv = split_command(self.resolve_helper(ca.external_helper))
            run = await self.launcher.run_helper(
                argv,
                env=query_environment(self.base_environment, ca, message),
                timeout_s=self.settings().submit_timeout_s,
            )
            if run.exit_status in (1, 5):
                raise QueryRefused(f'The CA "{ca.id}" wants to answer the question later, which cannot be waited for.')
            if run.exit_status != 0:
                reason = first_line(run.stdout) or f"it ended with status {run.exit_status}"
                raise QueryRefused(f'The CA "{ca.id}" did not answer the question: {reason}')
            return await self._with_key(
                request, partial(open_answer, wants_crl=query.wants_crl), request, ca, run.stdout
            )
        except (LaunchError, InvalidValue, KeyStoreError) as error:
            raise QueryRefused(f'The CA "{ca.id}" cannot be asked: {error}') from error

    async def _with_key(self, request: Request, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run work that uses the key of *request*."""
        return await self.executor.store({request.key_storage.type}, function, *args, **kwargs)


def _mask_of(request: Request) -> Mask:
    """Hides the challenge password of *request*, also as it is in what the helper gets to sign or to send."""
    given = request.template.challenge_password
    challenges = (given.reveal() if given else "", challenge_in(request.csr))
    if not any(challenges):
        return NOTHING_HIDDEN
    encoded = (line for line in f"{request.csr}\n{request.spkac}".splitlines() if "-----" not in line)
    return Mask((*challenges, *encoded))
