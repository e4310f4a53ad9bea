"""Gathers the data of CAs: one task per CA and phase."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from certmongerd.config.settings import Settings
from certmongerd.core.answers import first_line
from certmongerd.core.ca_data import EncryptionCerts, Phase, Roots, read_encryption_certs, read_text_phase
from certmongerd.core.ca_machine import (
    DataNotSaved,
    DataSaved,
    Fetched,
    FetchFailed,
    FetchLater,
    FetchRefused,
    FetchUnsupported,
    GoOn,
    HookFailed,
    HookOver,
    PhaseAction,
    PhaseEvent,
    PhaseRecord,
    PhaseStep,
    Refetch,
    Timer,
    step_phase,
)
from certmongerd.core.errors import CertmongerError, InvalidValue, KeyStoreError, LaunchError, RemoteProtocolError
from certmongerd.core.model import Ca, CaCertLocations, CaType, Hook
from certmongerd.core.schedule import CA_POLL_MAX
from certmongerd.log_fields import set_log_fields
from certmongerd.pki.certs import parse_certificate
from certmongerd.pki.reply import parse_roots
from certmongerd.runner.ca_certificates import CaCertificates
from certmongerd.runner.environment import HookMoment, ca_data_environment, hook_environment
from certmongerd.runner.executor import Executor
from certmongerd.runner.hooks import run_hook
from certmongerd.runner.process import Launcher
from certmongerd.runner.program import CountRun, Finished
from certmongerd.runner.registry import CaEntry, Registry
from certmongerd.runner.words import split_command
from certmongerd.scep.rollover import describe_changes

_log = logging.getLogger(__name__)

_SCEP_PHASES: Final = frozenset({Phase.CAPABILITIES, Phase.ENCRYPTION_CERTS})
_REFETCH_INTERVAL: Final = timedelta(hours=1)
_SELF_SIGN_NEEDS: Final = ("template-subject",)


@dataclass(slots=True, kw_only=True)
class CaWorkers:
    """Runs the phases of every CA; a CA in trouble never disturbs another one."""

    registry: Registry
    executor: Executor
    ca_certificates: CaCertificates
    launcher: Launcher
    settings: Callable[[], Settings]
    base_environment: Mapping[str, str]
    resolve_helper: Callable[[str], str]
    count_run: CountRun
    locations: Callable[[Ca], tuple[CaCertLocations, ...]]
    """Everywhere the CA's certificates are wanted: by itself and by its requests."""
    wake_requests: Callable[[Ca], None]
    """Tells the CA's requests that its data changed."""
    identification: str
    """What the internal CA calls itself."""

    def start(self, entry: CaEntry, tasks: asyncio.TaskGroup) -> None:
        """Begin, or begin again, with all phases of *entry*."""
        if entry.ca.type is CaType.INTERNAL_SELF:
            self.registry.set_ca(
                entry,
                replace(
                    entry.ca,
                    aka=self.identification,
                    required_enroll_attributes=_SELF_SIGN_NEEDS,
                    required_renewal_attributes=_SELF_SIGN_NEEDS,
                ),
            )
        self._start_phases(entry, Phase, tasks)

    def _start_phases(self, entry: CaEntry, phases: Iterable[Phase], tasks: asyncio.TaskGroup) -> None:
        entry.scep_settled.clear()
        for phase in phases:
            running = entry.phases.get(phase)
            if running is not None:
                running.cancel()
            entry.unsettled.add(phase)
            entry.phases[phase] = tasks.create_task(
                self._run_phase(entry, phase), name=f"CA {entry.ca.id} {phase.name}"
            )

    def refetch_scep(self, entry: CaEntry, tasks: asyncio.TaskGroup) -> None:
        """Ask the SCEP server for its data again because it does not answer as they say; at most once an hour."""
        now = self.registry.clock.now()
        if entry.scep_refetched is not None and now - entry.scep_refetched < _REFETCH_INTERVAL:
            return
        entry.scep_refetched = now
        _log.info('CA "%s": its SCEP data are fetched again', entry.ca.id)
        self._start_phases(entry, _SCEP_PHASES, tasks)

    def refetch_roots(self, entry: CaEntry, tasks: asyncio.TaskGroup) -> None:
        """Ask for the CA's certificates again because it issues with one that is not known; at most once an hour."""
        now = self.registry.clock.now()
        if entry.roots_refetched is not None and now - entry.roots_refetched < _REFETCH_INTERVAL:
            return
        entry.roots_refetched = now
        _log.info('CA "%s": its certificates are fetched again', entry.ca.id)
        self._start_phases(entry, (Phase.CERTS,), tasks)

    def restore_certificates(self, entry: CaEntry, tasks: asyncio.TaskGroup) -> None:
        """Put the certificates that are known where they are wanted, though they did not change; without hooks."""
        tasks.create_task(self._restore(entry), name=f"CA {entry.ca.id} certificates")

    async def _restore(self, entry: CaEntry) -> None:
        outcome = await self._save(entry.ca)
        if isinstance(outcome, DataNotSaved):
            _log.warning('CA "%s": %s', entry.ca.id, outcome.reason)
            self.registry.set_ca(entry, replace(entry.ca, error=outcome.reason))

    async def stop(self, entry: CaEntry) -> None:
        """End the phases of *entry* and their helpers."""
        for task in entry.phases.values():
            task.cancel()
        if entry.phases:
            await asyncio.wait(entry.phases.values())

    async def _run_phase(self, entry: CaEntry, phase: Phase) -> None:
        set_log_fields(ca=entry.ca.id)
        try:
            await self._go_through(entry, phase)
        except Exception:
            _log.exception('CA "%s": %s stopped', entry.ca.id, phase.value)
            reason = f"{phase.value}: an internal error; the daemon's log has the details."
            self.registry.set_ca(entry, replace(entry.ca, error=reason))
            _settle(entry, phase)

    async def _go_through(self, entry: CaEntry, phase: Phase) -> None:
        record = PhaseRecord()
        event: PhaseEvent = Refetch()
        never = asyncio.Event()
        while True:
            step = step_phase(entry.ca, phase, record, event, self.registry.clock.now())
            record = step.record
            await self._commit(entry, step)
            if step.action is PhaseAction.REST:
                _settle(entry, phase)
                if step.delay is None:
                    return
                await self.registry.clock.wait(never, step.delay)
                event = Timer()
            else:
                event = await self._carry_out(entry, phase, step.action)

    async def _commit(self, entry: CaEntry, step: PhaseStep) -> None:
        self.registry.set_ca(entry, step.ca)
        try:
            await self.registry.persist_ca(entry)
        except CertmongerError as error:
            # The data can be fetched again: going on without them on disk loses nothing.
            _log.error('CA "%s": %s', entry.ca.id, error)
        if step.wakes_requests:
            self.wake_requests(entry.ca)

    async def _carry_out(self, entry: CaEntry, phase: Phase, action: PhaseAction) -> PhaseEvent:
        match action:
            case PhaseAction.FETCH:
                return await self._fetch(entry.ca, phase)
            case PhaseAction.SAVE:
                return await self._save(entry.ca)
            case PhaseAction.RUN_PRE_SAVE:
                return await self._run_hook(entry.ca, entry.ca.pre_save, HookMoment.PRE_SAVE)
            case PhaseAction.RUN_POST_SAVE:
                return await self._run_hook(entry.ca, entry.ca.post_save, HookMoment.POST_SAVE)
            case _:
                return GoOn()

    async def _fetch(self, ca: Ca, phase: Phase) -> PhaseEvent:
        environment = ca_data_environment(self.base_environment, ca, phase.value)
        try:
            argv = split_command(self.resolve_helper(ca.external_helper))
            if not argv:
                return FetchFailed("The CA has no helper command.")
            run = await self.launcher.run_helper(argv, env=environment, timeout_s=self.settings().ca_data_timeout_s)
            self.count_run(ca.id, phase.value, run.exit_status, run.duration_s)
        except (LaunchError, InvalidValue) as error:
            return FetchFailed(str(error))
        if run.timed_out or run.truncated:
            return FetchFailed(f"{phase.value}: the helper took too long or wrote too much, and was stopped.")
        return await self._read(ca, phase, run)

    async def _read(self, ca: Ca, phase: Phase, run: Finished) -> PhaseEvent:
        text = first_line(run.stdout)
        match run.exit_status:
            case 0:
                try:
                    return await self.executor.io(_parse, phase, run.stdout, ca)
                except (RemoteProtocolError, InvalidValue) as error:
                    _log.warning('CA "%s": %s: %s', ca.id, phase.value, error)
                    return FetchFailed(f"{phase.value}: {error}")
            case 1:
                return FetchLater(None)
            case 5:
                is_number = text.isascii() and text.isdecimal()
                return FetchLater(min(timedelta(seconds=int(text[:9])), CA_POLL_MAX) if is_number else None)
            case 2:
                return FetchRefused(text)
            case 6:
                return FetchUnsupported()
            case 3 | 4:
                return FetchFailed(text)
            case status:
                return FetchFailed(text or f"{phase.value}: the helper ended with status {status}.")

    async def _save(self, ca: Ca) -> PhaseEvent:
        try:
            await self.ca_certificates.save(self.locations(ca), (), ca, None)
        except KeyStoreError as error:
            return DataNotSaved(str(error))
        return DataSaved()

    async def _run_hook(self, ca: Ca, hook: Hook, moment: HookMoment) -> PhaseEvent:
        environment = hook_environment(self.base_environment, moment, ca=ca)
        outcome = await run_hook(self.launcher, hook, environment, self.settings().hook_timeout_s)
        if not outcome.succeeded:
            _log.warning('CA "%s": %s command: %s', ca.id, moment.value, outcome.reason)
            return HookFailed(f"The {moment.value} command failed. {outcome.reason}")
        return HookOver()


def _settle(entry: CaEntry, phase: Phase) -> None:
    entry.unsettled.discard(phase)
    if not entry.unsettled & _SCEP_PHASES:
        entry.scep_settled.set()


def _parse(phase: Phase, output: bytes, ca: Ca) -> Fetched:
    match phase:
        case Phase.CERTS:
            lists = parse_roots(output)
            data = Roots(roots=lists.roots, other_roots=lists.other_roots, others=lists.others)
            pems = [c.pem for c in (*data.roots, *data.other_roots, *data.others)]
            return Fetched(data=data, not_afters=_ends(pems))
        case Phase.ENCRYPTION_CERTS:
            certificates = read_encryption_certs(output)
            known = EncryptionCerts(ra=ca.encryption_cert, ca=ca.encryption_issuer_cert, pool=ca.encryption_cert_pool)
            for line in describe_changes(known, certificates):
                # They are trusted as they come, since nobody vouches for them; so nobody may miss it.
                _log.warning('CA "%s": %s', ca.id, line)
            return Fetched(data=certificates, not_afters=_ends([certificates.ra, certificates.ca]))
        case _:
            return Fetched(data=read_text_phase(phase, output))


def _ends(pems: list[str]) -> tuple[datetime, ...]:
    return tuple(parse_certificate(pem).not_valid_after_utc for pem in pems if pem)
