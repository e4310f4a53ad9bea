"""Drives requests: events in, the machine's decision, one action at a time out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

from certmongerd.core import machine
from certmongerd.core.effects import Again, Effect, Idle, SaveCert, Wait, has_outside_consequences
from certmongerd.core.errors import FailureKind, StateStoreError
from certmongerd.core.events import Begin, Continue, EffectResult, Event, Failed, Rekey, Resubmit, TimerFired
from certmongerd.core.evolve import replace
from certmongerd.core.history import HistoryEntry, history_entry
from certmongerd.core.model import Request
from certmongerd.core.states import State
from certmongerd.log_fields import set_log_fields
from certmongerd.runner.registry import CarryOut, Registry, RequestEntry

_log = logging.getLogger(__name__)

_STORE_RETRY: Final = timedelta(seconds=10)
_STOP_WITHIN_S: Final = 2.0
_MOST_STEPS: Final = 64
_SAVING: Final = frozenset(
    {
        State.PRE_SAVE_CERT,
        State.START_SAVING_CERT,
        State.SAVING_CERT,
        State.SAVED_CERT,
        State.NEED_TO_SAVE_CA_CERTS,
        State.START_SAVING_CA_CERTS,
        State.SAVING_CA_CERTS,
        State.NEED_TO_READ_CERT,
        State.READING_CERT,
        State.POST_SAVED_CERT,
    }
)


Persist = Callable[[CarryOut], Awaitable[None]]
"""Has what brings the disk up to date with a request carried out, if there is something. Raises StateStoreError."""


class Performer(Protocol):
    """Carries effects out."""

    def foreseen(self, request: Request, effect: Effect) -> EffectResult | None:
        """The result of *effect* where nothing is left to do for it."""

    def stores_request(self, request: Request, effect: Effect) -> bool:
        """Whether `perform` brings the disk up to date with the request before it does *effect*."""

    async def perform(self, request: Request, effect: Effect, persist: Persist) -> EffectResult:
        """Do *effect* for *request*. Cancelling it stops the work, leaving nothing half done.

        Raises StateStoreError where the request is stored along with it, by *persist*: then *effect* was not done.
        """


class Chronicler(Protocol):
    """Remembers what happened to requests."""

    def add(self, entry: RequestEntry, happened: HistoryEntry) -> None:
        """Remember it; returns at once."""


def _must_be_on_disk(entry: RequestEntry) -> bool:
    """Whether the present action may begin only once the request is on disk.

    Before it rests or waits, so that a restart finds what was reached; before an effect that cannot
    be taken back; and all through a rekey, lest a crash leaves a candidate key that nobody knows.
    """
    if isinstance(entry.action, Idle | Wait | Again) or entry.request.key_next_marker:
        return True
    return has_outside_consequences(entry.action)


class RequestWorkers:
    """One task for each request that has something to do. A failing request never disturbs another one."""

    def __init__(self, registry: Registry, performer: Performer, chronicler: Chronicler) -> None:
        self._registry = registry
        self._performer = performer
        self._chronicler = chronicler
        self._tasks: asyncio.TaskGroup | None = None
        # From pre-save to post-save command, requests with such commands exclude one another:
        # one that stops a service must not meet one that starts it.
        self._hooks = asyncio.Lock()

    def start(self, entry: RequestEntry, tasks: asyncio.TaskGroup, *, with_daemon: bool = False) -> None:
        """Begin working on *entry*, unless it is being removed; *with_daemon*, because the daemon began."""
        self._tasks = tasks
        if entry.is_leaving:
            return
        entry.is_started = True
        if entry.worker is not None:  # of an earlier time, which is about to end
            entry.worker.add_done_callback(lambda _: self._set_to_work(entry))
        self.deliver(entry, Begin(with_daemon))

    def begin_to_stop(self, entry: RequestEntry) -> None:
        """End the work on *entry* soon, and do nothing more for it."""
        entry.is_started = False
        self._silence(entry)
        if entry.worker is not None:
            entry.worker.cancel()

    async def stop(self, entry: RequestEntry) -> None:
        """End the work on *entry*, and whatever it has started.

        A key that is being made can only be thrown away once it is there: for that nobody is kept waiting long.
        """
        self.begin_to_stop(entry)
        if entry.worker is not None:
            await asyncio.wait([entry.worker], timeout=_STOP_WITHIN_S)

    def deliver(self, entry: RequestEntry, event: Event) -> bool:
        """Let *event* happen to *entry*; False when its state refuses it.

        A certificate that is being saved is saved before anything is begun again.
        """
        if isinstance(event, Resubmit | Rekey) and isinstance(entry.action, SaveCert) and entry.effect_task is not None:
            # Saving cannot be stopped halfway, and decides which key is the request's: how it ends comes first.
            entry.postponed += (event,)
            return True
        try:
            return self._step(entry, event)
        except Exception:
            _log.exception('Request "%s": %s in state %s', entry.request.id, event, entry.request.state.value)
            reason = "An internal error stopped this request; the daemon's log has the details."
            before = entry.request
            self._set_action(entry, replace(before, state=State.NEED_GUIDANCE, ca_error=reason), Idle())
            self._remember(entry, before, event)
            return True

    def _step(self, entry: RequestEntry, event: Event) -> bool:
        before, cause = entry.request, event
        for _ in range(_MOST_STEPS):
            step = machine.step(entry.request, event, self._registry.context(entry.request))
            if not step.accepted:
                return False
            if step.certificate_saved:
                # As certmonger does: the announcement of what is in the certificate comes after this one.
                self._registry.tell(lambda listener: listener.certificate_saved(entry.path))
            if not isinstance(step.action, Again):
                self._set_action(entry, step.request, step.action)
                self._remember(entry, before, cause)
                return True
            self._registry.set_request(entry, step.request)
            event = Continue()
        raise RuntimeError("the request's states go round in a circle")

    def _remember(self, entry: RequestEntry, before: Request, cause: Event) -> None:
        happened = history_entry(before, cause, entry.request, self._registry.clock.now())
        if happened is not None:
            self._chronicler.add(entry, happened)

    def _set_action(self, entry: RequestEntry, request: Request, action: Idle | Wait | Effect) -> None:
        self._registry.set_request(entry, request)
        entry.action = action
        entry.generation += 1
        self._silence(entry)
        if entry.effect_task is not None:
            entry.effect_task.cancel()
        if entry.holds_hooks and not self._needs_hooks(entry):
            entry.holds_hooks = False
            self._hooks.release()
        self._set_to_work(entry)

    def _set_to_work(self, entry: RequestEntry) -> None:
        """Have the present action carried out, by the task that is there already or by a new one."""
        if entry.worker is None and entry.is_started and self._tasks is not None:
            entry.worker = self._tasks.create_task(self._work(entry), name=f"request {entry.request.id}")

    @staticmethod
    def _silence(entry: RequestEntry) -> None:
        if entry.alarm is not None:
            entry.alarm.cancel()
            entry.alarm = None

    @staticmethod
    def _needs_hooks(entry: RequestEntry) -> bool:
        request = entry.request
        has_hooks = bool(request.pre_save.command or request.post_save.command)
        is_saving = request.state in _SAVING and not isinstance(entry.action, Idle | Wait)
        return has_hooks and is_saving and not request.is_watching

    async def _work(self, entry: RequestEntry) -> None:
        """Carry out one action after the other, until one is to wait."""
        set_log_fields(request=entry.request.id)
        try:
            is_at_rest = False
            while not is_at_rest:
                is_at_rest = await self._act(entry, entry.generation)
        finally:
            entry.worker = None
            if entry.holds_hooks:
                entry.holds_hooks = False
                self._hooks.release()

    async def _act(self, entry: RequestEntry, generation: int) -> bool:
        """Carry out the present action; whether nothing is left to do until the alarm rings or somebody comes."""
        try:
            if _must_be_on_disk(entry) and not self._is_stored_along(entry):
                await self._registry.persist_request(entry)
            if entry.generation != generation:
                return False
            return await self._act_now(entry, generation)
        except StateStoreError as error:
            # What is not on disk is not acted upon: after a crash it would be unknown.
            _log.error('Request "%s" waits: %s', entry.request.id, error)
            if entry.generation == generation:
                self._set_alarm(entry, _STORE_RETRY, partial(self._set_to_work, entry))
            return entry.generation == generation

    def _is_stored_along(self, entry: RequestEntry) -> bool:
        action = entry.action
        return not isinstance(action, Idle | Wait | Again) and self._performer.stores_request(entry.request, action)

    async def _act_now(self, entry: RequestEntry, generation: int) -> bool:
        match entry.action:
            case Idle() | Again():
                return True
            case Wait(delay):
                self._set_alarm(entry, delay, partial(self._on_time, entry))
                return True
            case effect:
                result = None
                if entry.holds_hooks or not self._needs_hooks(entry):
                    result = self._performer.foreseen(entry.request, effect)
                if result is not None:
                    self.deliver(entry, result)
                else:
                    await self._carry_out(entry, effect, generation)
                return False

    def _set_alarm(self, entry: RequestEntry, delay: timedelta, ring: Callable[[], None]) -> None:
        self._silence(entry)
        entry.alarm = self._registry.clock.call_after(delay, ring)

    def _on_time(self, entry: RequestEntry) -> None:
        entry.alarm = None
        self.deliver(entry, TimerFired())

    async def _carry_out(self, entry: RequestEntry, effect: Effect, generation: int) -> None:
        task = asyncio.create_task(self._perform(entry, effect), name=f"{entry.request.id} {type(effect).__name__}")
        entry.effect_task = task
        ended = asyncio.Event()
        task.add_done_callback(lambda _: ended.set())
        try:
            await ended.wait()  # asyncio.wait costs more
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            entry.postponed = ()
            raise
        finally:
            entry.effect_task = None
        try:
            if entry.generation == generation:
                # Nobody replaced the action, so nobody cancelled the task.
                self.deliver(entry, task.result())
            elif not task.cancelled():
                task.exception()  # an abandoned effect's failure is of no interest
        finally:
            postponed, entry.postponed = entry.postponed, ()
            for event in postponed:
                self.deliver(entry, event)

    async def _perform(self, entry: RequestEntry, effect: Effect) -> EffectResult:
        if self._needs_hooks(entry) and not entry.holds_hooks:
            await self._hooks.acquire()
            entry.holds_hooks = True
            result = self._performer.foreseen(entry.request, effect)
            if result is not None:
                return result
        try:
            persist = partial(self._registry.persist_request, entry)
            return await self._performer.perform(entry.request, effect, persist)
        except StateStoreError:
            raise
        except Exception:
            _log.exception('Request "%s": %s failed', entry.request.id, type(effect).__name__)
            return Failed(FailureKind.OTHER, f"{type(effect).__name__} failed; the daemon's log has the details.")
