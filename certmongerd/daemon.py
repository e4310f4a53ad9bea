"""Wires engine, stores and helpers together; no bus here."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from certmongerd import __version__
from certmongerd.config.builtin import missing_builtins, resolve_helper
from certmongerd.config.durations import Duration
from certmongerd.config.paths import Paths
from certmongerd.config.settings import ProgramLauncher, Settings
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaCertLocations, KeyStorage, Request
from certmongerd.core.step import Policy
from certmongerd.installation import helper_directory
from certmongerd.keystore.nss.authorities import is_same_database
from certmongerd.observe.run_times import RunTimes
from certmongerd.runner.actions import Actions
from certmongerd.runner.ca_certificates import CaCertificates
from certmongerd.runner.ca_worker import CaWorkers
from certmongerd.runner.clock import SystemClock
from certmongerd.runner.disk import LoadedState, sweep_ca_files
from certmongerd.runner.engine import Engine
from certmongerd.runner.environment import base_environment
from certmongerd.runner.executor import Executor
from certmongerd.runner.history import HistoryKeeper
from certmongerd.runner.locks import LocationLocks
from certmongerd.runner.notify import Notifier
from certmongerd.runner.process import Launcher
from certmongerd.runner.registry import CaEntry, Registry
from certmongerd.runner.request_worker import RequestWorkers
from certmongerd.runner.simulation import Simulations
from certmongerd.runner.submission import Submissions
from certmongerd.runner.transient import find_own_unit
from certmongerd.runner.work_pool import WorkPool
from certmongerd.store.halves import by_two_processes
from certmongerd.store.repository import Repository

_log = logging.getLogger(__name__)

_FILE_PROCESSES: Final = 4
"""They wait for the disk half of the time; more of them get no more to do by one event loop."""


def read_state(repository: Repository, helper_dir: str) -> LoadedState:
    """Prepare the state directories and read them. Damaged files are reported and left as they are."""
    repository.prepare()
    loaded = repository.load(by_two_processes)
    for problem in loaded.problems:
        _log.warning("State file %s", problem)
    sweep_ca_files([*(stored.value.ca_certs for stored in loaded.cas), *(s.value.ca_certs for s in loaded.requests)])
    cas = tuple((stored.name, stored.value) for stored in loaded.cas)
    builtins = missing_builtins([ca for _, ca in cas], helper_dir)
    return LoadedState(
        requests=tuple((stored.name, stored.value) for stored in loaded.requests),
        cas=(*cas, *(("", ca) for ca in builtins)),
    )


def policy_of(settings: Settings, now: datetime, host_name: str) -> Policy:
    """The decisions' part of *settings*; calendar durations are counted from *now*."""
    lifetime = settings.max_key_lifetime
    return Policy(
        notify_ttls=_timedeltas(settings.notify_ttls, now),
        enroll_ttls=_timedeltas(settings.enroll_ttls, now),
        max_key_use_count=settings.max_key_use_count,
        key_expires_at=lifetime.add_to if lifetime is not None else None,
        challenge_password_otp=settings.challenge_password_otp,
        default_ca=CaName(settings.default_ca),
        spread_seed=host_name if settings.spread else None,
    )


def _timedeltas(durations: Iterable[Duration], now: datetime) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=duration.seconds_from(now)) for duration in durations)


def _loaded_meanwhile() -> tuple[str, ...]:
    """What only some daemons need, and this one does."""
    return tuple(name for name in ("certmongerd.runner.scep_exchange",) if name in sys.modules)


class Daemon:
    """The engine and all it needs, on one set of directories."""

    def __init__(self, paths: Paths, settings: Settings, tasks: asyncio.TaskGroup, work_lock: int) -> None:
        """*work_lock* is held by all processes that work for the daemon, also when it is gone."""
        helper_dir = helper_directory()
        self._paths = paths
        self._settings = settings
        self._host_name = socket.getfqdn()
        self._unit = find_own_unit()
        self._launcher = Launcher(helper_dir, unit=self._unit)
        fork = self._launcher.fork_workers
        self._executor = Executor(
            WorkPool(fork, _FILE_PROCESSES, work_lock, modules=_loaded_meanwhile),
            WorkPool(fork, os.cpu_count() or 1, work_lock),
        )
        self._repository = Repository(paths.requests_dir, paths.cas_dir)
        self._helper_dir = helper_dir
        self._registry = Registry(self._repository, self._executor, SystemClock())
        self.run_times = RunTimes()
        locks = LocationLocks()
        self._environment = environment = base_environment(os.environ, paths=paths)
        submissions = Submissions(
            registry=self._registry,
            executor=self._executor,
            launcher=self._launcher,
            settings=self._current,
            base_environment=environment,
            resolve_helper=self._resolve,
            refetch_scep=self._refetch_scep,
            refetch_roots=self._refetch_roots,
            count_run=self.run_times.add,
        )
        ca_certificates = CaCertificates(
            executor=self._executor,
            locks=locks,
            settings=self._current,
            find_key_storage=self._key_storage_in,
        )
        actions = Actions(
            executor=self._executor,
            locks=locks,
            launcher=self._launcher,
            submissions=submissions,
            notifier=Notifier(self._launcher, environment, now=self._registry.clock.now),
            settings=self._current,
            find_ca=self._find_ca,
            other_locations=self._locations_sharing_ca,
            ca_certificates=ca_certificates,
            base_environment=environment,
            host_name=self._host_name,
        )
        histories = HistoryKeeper(self._repository.histories, self._registry, self._executor)
        self.engine = Engine(
            registry=self._registry,
            request_workers=RequestWorkers(self._registry, actions, histories),
            histories=histories,
            simulations=Simulations(self._registry, self._executor),
            ca_workers=CaWorkers(
                registry=self._registry,
                executor=self._executor,
                ca_certificates=ca_certificates,
                launcher=self._launcher,
                settings=self._current,
                base_environment=environment,
                resolve_helper=self._resolve,
                count_run=self.run_times.add,
                locations=self._locations_of,
                wake_requests=self._wake_requests,
                identification=f"SelfSign (certmongerd {__version__})",
            ),
            submissions=submissions,
            discard_candidate=actions.discard_candidate,
            store_new=actions.store_new,
            tasks=tasks,
            settings=self._current,
            cas_dir=str(paths.cas_dir),
        )
        self.use_settings(settings)

    def now(self) -> datetime:
        """The time that the engine works with."""
        return self._registry.clock.now()

    def tell_private_address(self, address: str) -> None:
        """Let helpers and hooks know where the private socket is."""
        self._environment.update(base_environment(os.environ, paths=self._paths, private_address=address))

    def use_settings(self, settings: Settings) -> None:
        """Work with *settings* from now on."""
        self._settings = settings
        launcher = settings.program_launcher
        self._launcher.uses_units = launcher is ProgramLauncher.SYSTEMD_RUN or (
            launcher is ProgramLauncher.AUTO and self._unit is not None
        )
        self._launcher.allow(settings.max_helpers)
        self._registry.policy = policy_of(settings, self._registry.clock.now(), self._host_name)
        self.engine.reconsider()

    def load(self) -> None:
        """Take over what is on disk, and block until that is done. Raises StateStoreError."""
        # Not in a thread: nobody is served yet, and with one thread the process can be forked.
        self.engine.load(read_state(self._repository, self._helper_dir))

    async def begin(self) -> None:
        """Work on everything that was loaded. Raises StateStoreError."""
        await self.engine.begin()

    async def close(self) -> None:
        """End requests' work, helpers and threads; what was under way is done again after the next start."""
        self.engine.stop()
        await self._executor.end_processes()
        await self._launcher.close()
        await self.engine.histories.flush()
        self._executor.close()

    def _current(self) -> Settings:
        return self._settings

    def _resolve(self, command: str) -> str:
        return resolve_helper(command, self._helper_dir, os.path.exists)

    def _find_ca(self, request: Request) -> Ca | None:
        entry = self._registry.ca_entry(request.ca_name)
        return entry.ca if entry is not None else None

    def _refetch_scep(self, entry: CaEntry) -> None:
        self.engine.ca_workers.refetch_scep(entry, self.engine.tasks)

    def _refetch_roots(self, entry: CaEntry) -> None:
        self.engine.ca_workers.refetch_roots(entry, self.engine.tasks)

    def _locations_of(self, ca: Ca) -> tuple[CaCertLocations, ...]:
        return self.engine.ca_locations(ca)

    def _wake_requests(self, ca: Ca) -> None:
        self.engine.wake_requests(ca)

    def _key_storage_in(self, location: str) -> KeyStorage | None:
        storages = (request.key_storage for request in self.engine.requests().values())
        return next((storage for storage in storages if is_same_database(storage, location)), None)

    def _locations_sharing_ca(self, request: Request) -> tuple[CaCertLocations, ...]:
        ca = self._find_ca(request)
        return self.engine.ca_locations(ca) if ca is not None else ()
