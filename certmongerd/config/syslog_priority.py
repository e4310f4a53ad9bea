"""Syslog facility and level (RFC 5424, section 6.2.1) from texts such as `daemon.notice`."""

import re
from collections.abc import Mapping
from typing import Final

FACILITIES: Final[Mapping[str, int]] = {
    "kern": 0,
    "user": 1,
    "mail": 2,
    "daemon": 3,
    "auth": 4,
    "security": 4,
    "syslog": 5,
    "lpr": 6,
    "news": 7,
    "uucp": 8,
    "cron": 9,
    "authpriv": 10,
    "ftp": 11,
    **{f"local{number}": 16 + number for number in range(8)},
}
LEVELS: Final[Mapping[str, int]] = {
    "emerg": 0,
    "panic": 0,
    "alert": 1,
    "crit": 2,
    "err": 3,
    "error": 3,
    "warning": 4,
    "warn": 4,
    "notice": 5,
    "info": 6,
    "debug": 7,
}


_SEPARATORS: Final = re.compile(r"[.,:/|\s]+")


def priority(text: str) -> int:
    """The number in front of a message: words nobody knows are skipped, `user` and `notice` fill the gaps."""
    facility, level = FACILITIES["user"], LEVELS["notice"]
    for word in _SEPARATORS.split(text.lower()):
        facility = FACILITIES.get(word, facility)
        level = LEVELS.get(word, level)
    return facility * 8 + level


def unknown_words(text: str) -> tuple[str, ...]:
    """The words of *text* that `priority` skips."""
    words = filter(None, _SEPARATORS.split(text.lower()))
    return tuple(word for word in words if word not in FACILITIES and word not in LEVELS)
