"""Watching over a certificate while its request waits for something else.

A request that waits for its CA, or for somebody, is not in MONITORING, but the
certificate it holds gets older all the same. So whatever it waits for, it wakes
up for notices too, stays in its state, and goes on waiting.
"""

from datetime import timedelta
from typing import Final

from certmongerd.core.effects import Idle, Notice, Notify, Wait
from certmongerd.core.events import Event, Failed, Notified, TimerFired
from certmongerd.core.evolve import replace
from certmongerd.core.model import Request
from certmongerd.core.schedule import effective_thresholds, is_crossed, last_check_to_keep, monitoring_delay
from certmongerd.core.states import State
from certmongerd.core.step import Context, Step

_SHORTEST_DELAY: Final = timedelta(seconds=1)
_PLANNED_BY_MONITORING: Final = frozenset({State.MONITORING, State.NEED_TO_NOTIFY_VALIDITY, State.NOTIFYING_VALIDITY})
"""States in which the next attempt is the next renewal; it stays planned while people are told."""


def attend(request: Request, event: Event, context: Context) -> Step | None:
    """What to do about an *event* that concerns the watch alone; None when it concerns the state."""
    if not request.is_watching:
        return None
    match event:
        case TimerFired() if _was_clock_set_back(request, context):
            # When the state's own wait would be over cannot be told any more: it is over now.
            return None
        case TimerFired() | Notified() | Failed():
            return _wait_on(request, context)
        case _:
            return None


def watch_over(outcome: Step, context: Context) -> Step:
    """*outcome* with the time of the next attempt noted and, if the request waits, with a watch on its certificate."""
    request, action = outcome.request, outcome.action
    if not outcome.accepted or request.state in _PLANNED_BY_MONITORING:
        return outcome
    if not isinstance(action, Idle | Wait):
        if request.next_attempt is None and not request.is_watching:
            return outcome
        return replace(outcome, request=replace(request, next_attempt=None, is_watching=False))
    next_attempt = context.now + action.delay if isinstance(action, Wait) else None
    waiting = _wait_on(replace(request, next_attempt=next_attempt), context)
    return replace(waiting, certificate_saved=outcome.certificate_saved)


def _was_clock_set_back(request: Request, context: Context) -> bool:
    return request.last_need_notify_check is not None and context.now < request.last_need_notify_check


def _wait_on(request: Request, context: Context) -> Step:
    """Wait for the next attempt or the next notice, or give notice now."""
    now, facts = context.now, request.cert_facts
    own_delay = None if request.next_attempt is None else max(request.next_attempt - now, timedelta(0))
    own_action = Idle() if own_delay is None else Wait(own_delay)
    if not request.monitor or facts.not_after is None or not context.policy.notify_ttls:
        return Step(request=replace(request, is_watching=False), action=own_action)
    thresholds = effective_thresholds(context.policy.notify_ttls, facts.not_before, facts.not_after)
    last = request.last_need_notify_check
    notice_due = is_crossed(thresholds, facts.not_after, last, now)
    last = last_check_to_keep(facts.not_after, last, now, crossed=notice_due)
    request = replace(request, last_need_notify_check=last, is_watching=True)
    if notice_due:
        return Step(request=request, action=Notify(Notice.VALIDITY))
    delay = monitoring_delay(thresholds, facts.not_after, now)
    if facts.not_after <= now:
        # A day after the last notice, however often the state's own business comes in between.
        delay = min(max(last + delay - now, _SHORTEST_DELAY), delay)
    if own_delay is not None and own_delay <= delay:
        return Step(request=replace(request, is_watching=False), action=own_action)
    return Step(request=request, action=Wait(delay))
