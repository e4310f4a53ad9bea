"""Reading what an enrolment helper answered to SUBMIT or POLL."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from certmongerd.core.events import (
    Answer,
    NeedKeyPair,
    NeedScepMessages,
    Rejected,
    Unconfigured,
    Unreachable,
    Unusable,
    Working,
)

_DELAY_LINE: Final = re.compile(r"(-?[0-9]+)\r?\n")
_LONGEST_TEXT: Final = 1024
_FAR_FUTURE_S: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperRun:
    """How one run of a helper ended."""

    exit_status: int | None
    """None when a signal ended it."""
    signal: int | None = None
    stdout: bytes = b""
    timed_out: bool = False
    truncated: bool = False
    """Whether it wrote more than is read."""
    time_limit_s: float = 0
    stderr_tail: str = ""


@dataclass(frozen=True, slots=True)
class RawIssued:
    """The helper says that its output is the certificate."""

    output: bytes


def first_line(output: bytes) -> str:
    """The first line of *output* as text that can be shown."""
    line = output.decode("utf-8", "replace").lstrip("\r\n").split("\n", 1)[0].strip()
    return "".join(c if c.isprintable() else "�" for c in line)[:_LONGEST_TEXT]


def normalise_cookie(text: str) -> str:
    """A cookie as it is kept: one line without line end, several each ended by one LF."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines[0] if len(lines) == 1 else "\n".join(lines) + "\n"


def read_answer(run: HelperRun, *, scep_given: bool) -> Answer | RawIssued:
    """What *run* says about the request, by exit status and output."""
    trouble = _trouble(run)
    if trouble is not None:
        return trouble
    text = first_line(run.stdout) or _last_line(run.stderr_tail)
    match run.exit_status:
        case 0:
            return RawIssued(run.stdout)
        case 1:
            return _working(run.stdout.decode("utf-8", "replace"), None)
        case 2:
            return Rejected(first_line(run.stdout))
        case 3:
            return Unreachable(text or "The CA's helper could not reach the CA and gave no reason.")
        case 4:
            return Unconfigured(text or "The CA's helper lacks configuration and did not say which.")
        case 5:
            return _working_with_delay(run.stdout.decode("utf-8", "replace"))
        case 6:
            return Unusable(text or "The CA's helper does not support submitting requests.")
        case 16:
            return NeedScepMessages(were_given=scep_given)
        case 17:
            return NeedKeyPair()
        case status:
            return Unusable(text or f"The CA's helper ended with the undefined exit status {status} and said nothing.")


def _trouble(run: HelperRun) -> Answer | None:
    if run.timed_out:
        return Unreachable(f"The CA's helper did not finish within {run.time_limit_s:g} seconds and was stopped.")
    if run.truncated:
        return Unreachable("The CA's helper wrote more output than is accepted and was stopped.")
    if run.exit_status is None:
        return Unusable(f"The CA's helper was ended by signal {run.signal}.")
    return None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:_LONGEST_TEXT] if lines else ""


def _working_with_delay(text: str) -> Answer:
    match = _DELAY_LINE.match(text)
    if match is None and re.fullmatch(r"-?[0-9]+", text):
        match = _DELAY_LINE.match(text + "\n")
    if match is None:
        return Unusable("The CA's helper asked to be run again later, but did not say in how many seconds.")
    # Without a cookie the request is submitted anew after the delay.
    return Working(cookie=normalise_cookie(text[match.end() :]), delay=_delay(match[1]))


def _delay(digits: str) -> timedelta | None:
    """The delay that a decimal number of seconds stands for; None for a negative number."""
    if digits.startswith("-") and digits.strip("-0"):
        return None
    significant = digits.strip("-").lstrip("0") or "0"
    # Compared by length first: Python refuses to convert thousands of digits.
    seconds = int(significant) if len(significant) <= len(str(_FAR_FUTURE_S)) else _FAR_FUTURE_S
    return timedelta(seconds=min(seconds, _FAR_FUTURE_S))


def _working(text: str, delay: timedelta | None) -> Answer:
    cookie = normalise_cookie(text)
    if not cookie.strip():
        return Unusable("The CA's helper asked to be run again later, but left no cookie to continue with.")
    return Working(cookie=cookie, delay=delay)
