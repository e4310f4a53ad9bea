"""When the CA wants a certificate renewed (RFC 9773), and what is made of it.

A CA that knows tells a window of time for each certificate: usually the same share of every certificate's life, but
earlier for all of them when it has to revoke. The renewal is put into the window, before or after the time that the
thresholds say; where the attempt fails, the thresholds are valid again.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from certmongerd.core.errors import InvalidValue
from certmongerd.core.events import RenewalInfo
from certmongerd.core.model import Ca, CaType, RenewalAdvice, Request, StorageType
from certmongerd.core.step import Context

ASK_AGAIN: Final = timedelta(hours=6)
_SOONEST_QUESTION: Final = timedelta(minutes=1)
_LATEST_QUESTION: Final = timedelta(days=1)
_YOUNG: Final = timedelta(days=1)
_SHARE_OF_LIFE: Final = 1 / 4
_LINE: Final = re.compile(r"\s*(start|end|retry-after|explanation-url)\s*[=:]\s*(\S.*?)\s*")
_MOST_DIGITS: Final = 9


def read_renewal_info(output: bytes) -> RenewalInfo:
    """A helper's answer to GET-RENEWAL-INFO: `start`, `end` (RFC 3339), `retry-after` (seconds), `explanation-url`.

    One per line, as `name=value`; the first two are necessary. Raises InvalidValue.
    """
    matches = (_LINE.fullmatch(line) for line in output.decode("utf-8", "replace").splitlines())
    values = {match[1]: match[2] for match in matches if match is not None}
    start, end = _time(values.get("start", ""), "start"), _time(values.get("end", ""), "end")
    if end <= start:
        raise InvalidValue("renewal information", "the window ends before it starts")
    digits = values.get("retry-after", "")
    explanation = "".join(c for c in values.get("explanation-url", "") if c.isprintable())
    return RenewalInfo(
        start=start,
        end=end,
        retry_after=timedelta(seconds=int(digits[:_MOST_DIGITS])) if digits.isascii() and digits.isdecimal() else None,
        explanation=explanation[:500],
    )


def _time(text: str, what: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidValue("renewal information", f"{what} is no time: {text[:40]!r}") from error
    if moment.tzinfo is None:
        raise InvalidValue("renewal information", f"{what} has no time zone")
    return moment.astimezone(UTC).replace(microsecond=0)


def may_ask(request: Request, ca: Ca | None) -> bool:
    """Whether the CA has something to say about the certificate's renewal, and whether that matters."""
    return (
        ca is not None
        and ca.type is CaType.EXTERNAL
        and ca.offers_renewal_info
        and request.autorenew
        and request.key_storage.type is not StorageType.NONE
        and bool(request.cert)
    )


def is_question_due(request: Request, context: Context) -> bool:
    """Whether to ask the CA now."""
    ask_at = request.renewal_advice.ask_at
    return may_ask(request, context.ca) and (ask_at is None or ask_at <= context.now)


def with_answer(request: Request, info: RenewalInfo, context: Context) -> Request:
    """*request* with its renewal put into the window that the CA told (RFC 9773, section 4.2).

    A window that is over already means now – but not for a certificate that has just been issued, lest a CA that is
    mistaken gets one request after the other.
    """
    known, now = request.renewal_advice, context.now
    renew_at = known.renew_at
    if (known.start, known.end) != (info.start, info.end) or renew_at is None:
        place = info.start + (info.end - info.start) * context.policy.share(request.id)
        renew_at = max(place.replace(microsecond=0), now, _no_sooner_than(request))
    delay = min(max(info.retry_after or ASK_AGAIN, _SOONEST_QUESTION), _LATEST_QUESTION)
    advice = RenewalAdvice(
        start=info.start, end=info.end, explanation=info.explanation, renew_at=renew_at, ask_at=now + delay
    )
    return replace(request, renewal_advice=advice)


def without_answer(request: Request, context: Context) -> Request:
    """*request* after a question that brought nothing: what was told before stays valid."""
    return replace(request, renewal_advice=replace(request.renewal_advice, ask_at=context.now + ASK_AGAIN))


def advised_renewal(request: Request) -> datetime | None:
    """When the CA's advice has the certificate renewed; None when there is none, or it was followed already.

    Advice to renew after the certificate's end is none.
    """
    renew_at, not_after = request.renewal_advice.renew_at, request.cert_facts.not_after
    if renew_at is None or not_after is None or renew_at >= not_after:
        return None
    if request.submitted is not None and request.submitted >= renew_at:
        return None
    return renew_at


def _no_sooner_than(request: Request) -> datetime:
    """From when on a certificate may be renewed because of advice alone: a day or a quarter of its life old."""
    facts = request.cert_facts
    begin = request.submitted or facts.not_before
    if begin is None:
        return datetime.min.replace(tzinfo=UTC)
    if facts.not_before is None or facts.not_after is None:
        return begin + _YOUNG
    return begin + min(_YOUNG, (facts.not_after - facts.not_before) * _SHARE_OF_LIFE)
