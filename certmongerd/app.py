"""The daemon as a process: signals, lock, buses, the `-c` command, and the end."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from certmongerd.api import PRIVATE_ADDRESS_VARIABLE
from certmongerd.busapi.access import AccessControl
from certmongerd.busapi.address import session_bus_address, system_bus_address
from certmongerd.busapi.bus import BusConnection
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.faults import BusUnavailable, NameTaken
from certmongerd.busapi.peer import PeerServer
from certmongerd.busapi.service import Caller
from certmongerd.config.load import load_settings
from certmongerd.config.paths import Paths, is_session_program, session_paths, system_paths
from certmongerd.config.settings import Settings
from certmongerd.core.errors import CertmongerError, InvalidValue
from certmongerd.daemon import Daemon
from certmongerd.dropins import DropIns
from certmongerd.idle import IdleWatch
from certmongerd.keystore.worker import lock_places_in
from certmongerd.metrics import offering_metrics
from certmongerd.observe.service_manager import take_from_environment
from certmongerd.observe.summary import summary
from certmongerd.options import Options
from certmongerd.pidfile import PidFile
from certmongerd.runner.words import split_command
from certmongerd.store.lock import InstanceLock
from certmongerd.store.work_lock import work_lock

_log = logging.getLogger(__name__)

_END_WITHIN_S: Final = 1.7
_RECONNECT_S: Final = 2.0
_STATUS_EVERY_S: Final = 60.0
_SIGNAL_BASE: Final = 128
_COMMAND_NOT_FOUND: Final = 127
_COLLECTED_AFTER: Final = (10_000, 50, 100)
"""New objects, and collections of younger ones, before the collector looks at each of three generations."""


async def run(options: Options, say_ready: Callable[[], None] | None) -> int:
    """Be the daemon until told to stop; the exit status."""
    try:
        return await _App(options, say_ready).run()
    except* CertmongerError as errors:
        for error in errors.exceptions:
            print(f"certmongerd: {error}", file=sys.stderr)
    return 1


def _spare_collector() -> None:
    """Let the collector of cycles look at what comes from now on, and at that more seldom."""
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)
    gc.enable()


class _Done(Exception):
    """Ends the task group."""


class _App:
    """One run of the daemon."""

    def __init__(self, options: Options, say_ready: Callable[[], None] | None) -> None:
        self._is_session = is_session_program(sys.argv[0])
        self._paths: Paths = session_paths(os.environ) if self._is_session else system_paths(os.environ)
        self._options = options
        self._say_ready = say_ready
        self._settings = Settings()
        self._stop = asyncio.Event()
        self._is_reload_wanted = asyncio.Event()
        self._status = 0
        self._daemon: Daemon | None = None
        self._bus: BusConnection | None = None
        self._pid_file = PidFile(options.pid_file)
        self._manager = take_from_environment(os.environ)

    async def run(self) -> int:
        self._read_settings()
        InstanceLock(self._paths.lock_file).acquire()
        lock_places_in(self._paths.place_lock_file)
        with work_lock(self._paths.place_lock_file) as self._work_lock:
            return await self._run()

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._is_reload_wanted.set)
        with self._pid_file:
            os.chdir(self._paths.config_dir if self._is_on_session_bus() else "/")
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._serve(tasks)
            except* _Done:
                pass
        return self._status

    def _is_on_session_bus(self) -> bool:
        given = self._options.session_bus
        return self._is_session if given is None else given

    def _read_settings(self, present: Settings | None = None) -> None:
        loaded = load_settings(self._paths.config_file, present)
        for problem in loaded.problems:
            _log.warning("%s", problem)
        self._settings = loaded.settings

    async def _keep_reloading(self, daemon: Daemon, drop_ins: DropIns) -> None:
        """Read the configuration again whenever that is wanted."""
        while True:
            await self._is_reload_wanted.wait()
            self._is_reload_wanted.clear()
            self._manager.reloading()
            self._read_settings(self._settings)
            daemon.use_settings(self._settings)
            await drop_ins.apply(prunes=self._settings.prune_declared)
            _log.info("The configuration was read again")
            self._manager.ready(self._summary())

    def _summary(self) -> str:
        return summary(self._daemon.engine.requests().values()) if self._daemon is not None else "starting"

    async def _show_life(self) -> None:
        """Tell the service manager now and then that the event loop turns, and how things stand."""
        interval_s = _STATUS_EVERY_S if self._manager.watchdog_s is None else self._manager.watchdog_s / 2
        while True:
            await asyncio.sleep(interval_s)
            self._manager.alive(self._summary())

    async def _serve(self, tasks: asyncio.TaskGroup) -> None:
        """Everything between start and end; ends by raising _Done."""
        peer: PeerServer | None = None
        daemon = self._daemon = Daemon(self._paths, self._settings, tasks, self._work_lock)
        try:
            daemon.load()
            idle = IdleWatch(self._options.idle_timeout_s, lambda: bool(daemon.engine.requests()), self._stop.set)
            access = AccessControl(lambda: self._settings.reader_group)
            api = CertmongerApi(daemon.engine, activity=idle.touch, access=access)
            if self._options.listen:
                peer = await PeerServer.start(self._options.listen_location, api)
                daemon.tell_private_address(peer.address)
            if not self._options.only_listen:
                address = self._bus_address()
                self._bus = await BusConnection.connect(address, api)
                tasks.create_task(self._keep_bus(address, api), name="bus")
            await daemon.begin()
            _spare_collector()
            drop_ins = DropIns(self._paths.drop_in_dir, api.context, Caller(os.geteuid(), os.getpid()))
            await drop_ins.apply(prunes=self._settings.prune_declared)
            tasks.create_task(self._keep_reloading(daemon, drop_ins), name="configuration")
            if self._say_ready is not None:
                self._say_ready()
            if self._manager.is_there:
                self._manager.ready(self._summary())
                tasks.create_task(self._show_life(), name="service manager")
            idle.touch()
            if self._options.command is not None:
                private_address = peer.address if peer is not None else None
                tasks.create_task(self._run_command(self._options.command, private_address), name="command")
            async with offering_metrics(self._options, daemon, tasks):
                await self._stop.wait()
        finally:
            # Whatever refuses to end is left behind: what is on disk is complete at any moment.
            asyncio.get_running_loop().call_later(_END_WITHIN_S, self._leave_hard)
            self._manager.stopping()
            if self._bus is not None:
                await self._bus.close()
            if peer is not None:
                await peer.close()
            self._pid_file.remove()
            await daemon.close()
        raise _Done

    def _bus_address(self) -> str:
        if not self._is_on_session_bus():
            return system_bus_address(os.environ)
        address = session_bus_address(os.environ)
        if address is None:
            raise BusUnavailable("session bus", "DBUS_SESSION_BUS_ADDRESS is not set")
        return address

    async def _keep_bus(self, address: str, api: CertmongerApi) -> None:
        """The system bus comes back after a restart; a session ends with its bus."""
        while self._bus is not None:
            await self._bus.lost.wait()
            if self._stop.is_set():
                return  # the daemon itself has closed it
            _log.error("The connection to the message bus was lost")
            await self._bus.close()
            self._bus = None
            if self._is_on_session_bus():
                self._status = 1
                self._stop.set()
                return
            await self._reconnect(address, api)

    async def _reconnect(self, address: str, api: CertmongerApi) -> None:
        while self._bus is None:
            await asyncio.sleep(_RECONNECT_S)
            try:
                self._bus = await BusConnection.connect(address, api)
            except (BusUnavailable, NameTaken) as error:
                _log.info("No message bus yet: %s", error)
        _log.warning("Connected to the message bus again")

    async def _run_command(self, command: str, address: str | None) -> None:
        """Run the `-c` command; the daemon ends when it does, with its status."""
        try:
            argv = split_command(command)
            environment = dict(os.environ) | ({PRIVATE_ADDRESS_VARIABLE: address} if address else {})
            process = await asyncio.create_subprocess_exec(*argv, env=environment)
        except (OSError, InvalidValue, TypeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is empty or malformed"
            print(f'certmongerd: The command "{command}" cannot be run: {reason}', file=sys.stderr)
            self._status = _COMMAND_NOT_FOUND
        else:
            status = await process.wait()
            self._status = status if status >= 0 else _SIGNAL_BASE - status
        self._stop.set()

    def _leave_hard(self) -> None:
        logging.shutdown()
        os._exit(self._status)
