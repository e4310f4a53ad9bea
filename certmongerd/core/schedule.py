"""When to look again: retry delays, monitoring thresholds, back-off. docs/renewal.md tells users about them.

The constants are certmonger's where they decide when a certificate is looked at. How a CA is asked again
is not: certmonger's delays leave a first enrolment waiting for a week, and hammer a CA once a certificate expired.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

SOONISH: Final = timedelta(seconds=30)
CA_POLL_MIN: Final = timedelta(minutes=5)
CA_POLL_MAX: Final = timedelta(days=365)
MONITOR_POLL: Final = timedelta(days=1)
MONITOR_POLL_MIN: Final = timedelta(minutes=30)
CADATA_POLL: Final = timedelta(hours=6)
SHORTEST_REFETCH: Final = timedelta(seconds=1)
CADATA_POLL_DEFAULT: Final = timedelta(seconds=15_768_000)
FIRST_RETRY: Final = timedelta(minutes=1)
LONGEST_FIRST_RETRY: Final = timedelta(hours=6)
LONGEST_RETRY: Final = timedelta(days=1)
SHORTEST_LAST_RETRY: Final = timedelta(minutes=5)
LONGEST_CATCH_UP: Final = timedelta(hours=1)
SHORTEST_POLL: Final = timedelta(seconds=15)
MOST_PRE_SAVE_RETRIES: Final = 3
EXPIRED_AGAIN: Final = MONITOR_POLL - MONITOR_POLL_MIN

_ONE_SECOND: Final = timedelta(seconds=1)
_LARGEST_DOUBLING: Final = 20
_SHARE_OF_LIFE: Final = 2 / 3
_SHARE_OF_REST: Final = 3 / 4
_RETRY_SPREAD: Final = 1 / 4
_RENEWAL_SPREAD: Final = 1 / 8


def back_off(attempts: int, first: timedelta, longest: timedelta) -> timedelta:
    """*first* doubled for each of *attempts* earlier failures, at most *longest*."""
    return min(first * (1 << min(attempts, _LARGEST_DOUBLING)), longest)


def ca_retry_delay(not_after: datetime | None, now: datetime, attempts: int, early: float) -> timedelta:
    """When to ask a CA again that was unreachable, working or unconfigured; whole seconds.

    One minute, doubled at each failure: at most six hours while there is no certificate; else at most a day,
    half of the certificate's remaining life or, once it expired, half of the time since then, but six hours.
    The share *early*, from 0 to 1, shortens the delay by up to a quarter, so that not all requests ask at once.
    """
    longest = LONGEST_FIRST_RETRY
    if not_after is not None:
        limit = LONGEST_RETRY if not_after > now else LONGEST_FIRST_RETRY
        longest = min(max(abs(not_after - now) / 2, SHORTEST_LAST_RETRY), limit)
    return _whole(back_off(attempts, FIRST_RETRY, longest) * (1 - early * _RETRY_SPREAD))


def catch_up_delay(not_after: datetime, now: datetime, late: float) -> timedelta:
    """How long a renewal that should have begun already may wait, for the sake of others; whole seconds.

    The share *late*, from 0 to 1, of an hour or of a sixteenth of the remaining life; nothing after expiry.
    """
    leeway = min(LONGEST_CATCH_UP, max(not_after - now, timedelta(0)) / 16)
    return timedelta(seconds=int(late * leeway.total_seconds()))


def _whole(length: timedelta) -> timedelta:
    """*length* cut down to seconds, at least one."""
    return max(length - length % _ONE_SECOND, _ONE_SECOND)


def effective_thresholds(
    thresholds: Sequence[timedelta], not_before: datetime | None, not_after: datetime
) -> tuple[timedelta, ...]:
    """The remaining-life thresholds that make sense for one certificate, ascending.

    A threshold above two thirds of the total life would be crossed from birth; a
    certificate for which none is left gets one at a third of its life.
    """
    return _thresholds_below(thresholds, not_before, not_after, _SHARE_OF_LIFE)


def renewal_thresholds(
    thresholds: Sequence[timedelta],
    not_before: datetime | None,
    not_after: datetime,
    submitted: datetime | None,
    late: float,
) -> tuple[timedelta, ...]:
    """The remaining lives, ascending, at which a renewal is attempted after the submission that ended at *submitted*.

    A submission starts the count anew: at least a quarter of what remained then has to pass before the
    next one, whatever its outcome. So back-dated certificates are not renewed in quick succession, and
    below the last threshold there are further attempts. The share *late*, from 0 to 1, shortens each by up
    to an eighth, so that certificates which were issued together are not renewed together.
    """
    if submitted is None or not (not_before or submitted) <= submitted < not_after:
        usable = effective_thresholds(thresholds, not_before, not_after)
    else:
        usable = _thresholds_below(thresholds, submitted, not_after, _SHARE_OF_REST)
    return tuple(threshold * (1 - late * _RENEWAL_SPREAD) for threshold in usable)


def _thresholds_below(
    thresholds: Sequence[timedelta], not_before: datetime | None, not_after: datetime, share: float
) -> tuple[timedelta, ...]:
    if not_before is None or not_after <= not_before:
        return tuple(sorted(thresholds))
    life = not_after - not_before
    usable = tuple(sorted(t for t in thresholds if timedelta(0) < t <= life * share))
    if usable or not thresholds:
        return usable
    return (life / 3,)


def is_crossed(
    thresholds: Sequence[timedelta], not_after: datetime, last_check: datetime | None, now: datetime
) -> bool:
    """Whether the remaining life passed a threshold since *last_check* (never checked: since for ever).

    Expiry is a threshold too, and an expired certificate crosses it again about every day, see
    `last_check_to_keep`; a clock that was moved back counts as crossing in the other direction.
    """
    ttl = max(timedelta(0), not_after - now)
    if last_check is None:
        return any(ttl < t for t in thresholds)
    if ttl == timedelta(0) and thresholds:
        return last_check < not_after or not timedelta(0) <= now - last_check < EXPIRED_AGAIN
    previous = max(timedelta(0), not_after - last_check)
    return any(ttl < t <= previous or previous < t <= ttl for t in thresholds)


def last_check_to_keep(not_after: datetime, last_check: datetime | None, now: datetime, *, crossed: bool) -> datetime:
    """The time to remember as the last check, after one at *now*.

    While a certificate is expired that is the last check that had consequences: otherwise a daemon
    that is restarted more than once a day would never try again.
    """
    if crossed or last_check is None or now < not_after:
        return now
    return last_check


def next_crossing(
    thresholds: Sequence[timedelta], not_after: datetime, last_check: datetime | None, now: datetime
) -> datetime | None:
    """When a threshold is crossed next, to the second, if looked at as `monitoring_delay` says; None for never."""
    if not thresholds:
        return None
    if is_crossed(thresholds, not_after, last_check, now):
        return now
    if not_after <= now:
        return now + MONITOR_POLL
    return (not_after - _threshold_ahead(thresholds, not_after - now) + _ONE_SECOND).replace(microsecond=0)


def _threshold_ahead(thresholds: Sequence[timedelta], remaining: timedelta) -> timedelta:
    """The largest threshold that is not passed yet; expiry is the last one."""
    return max((t for t in thresholds if t <= remaining), default=timedelta(0))


def monitoring_delay(thresholds: Sequence[timedelta], not_after: datetime | None, now: datetime) -> timedelta:
    """How long a monitored certificate may be left alone: until just past the next threshold; at most a day."""
    if not_after is None or not_after <= now:
        return MONITOR_POLL
    remaining = not_after - now
    return min(MONITOR_POLL, remaining - _threshold_ahead(thresholds, remaining) + _ONE_SECOND)


def ca_data_delay(not_afters: Sequence[datetime], now: datetime) -> timedelta | None:
    """When fetched certificates are to be fetched again: at half of the shortest remaining life.

    Expired ones do not count; None when there is none left.
    """
    remaining = [end - now for end in not_afters if end > now]
    if not remaining:
        return None
    return min(max(min(remaining) / 2, CA_POLL_MIN), CA_POLL_MAX)
