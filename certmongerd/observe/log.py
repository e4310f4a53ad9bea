"""Where log records go: standard error or the journal in the foreground, syslog otherwise; as text or as JSON."""

import json
import logging
import logging.handlers
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

from certmongerd.journal import JOURNAL_SOCKET, send_entry
from certmongerd.log_fields import log_fields

_FORMAT: Final = "%(asctime)s [%(process)d] %(message)s"
_FIRST_TALKATIVE_LEVEL: Final = 1
_FIRST_DEBUG_LEVEL: Final = 4
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_PRIORITY: Final = 7
_JOURNAL_TIMEOUT_S: Final = 1.0


def set_up_logging(*, foreground: bool, debug_level: int, as_json: bool = False) -> None:
    """Send records to standard error or syslog.

    Level 0 shows warnings, 1 to 3 every state change, 4 and more everything. *as_json* writes one object per
    record. Where standard error is the journal's, records go to the journal as entries with fields.
    """
    handler: logging.Handler
    if foreground and not as_json and _is_journal(os.environ):
        handler = _JournalHandler()
    elif foreground:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_JsonFormatter() if as_json else _text_formatter())
    else:
        handler = logging.handlers.SysLogHandler("/dev/log", facility=logging.handlers.SysLogHandler.LOG_DAEMON)
        handler.setFormatter(
            _JsonFormatter("certmongerd[%d]: ")
            if as_json
            else logging.Formatter("certmongerd[%(process)d]: %(message)s")
        )
    root = logging.getLogger()
    root.handlers = [handler]
    if debug_level >= _FIRST_DEBUG_LEVEL:
        root.setLevel(logging.DEBUG)
    elif debug_level >= _FIRST_TALKATIVE_LEVEL:
        root.setLevel(logging.INFO)
    else:
        root.setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _text_formatter() -> logging.Formatter:
    formatter = logging.Formatter(_FORMAT, datefmt="%Y-%m-%d %H:%M:%S")
    formatter.converter = time.gmtime
    return formatter


def _is_journal(environ: Mapping[str, str]) -> bool:
    """Whether standard error is a socket of the journal (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(2)
    except OSError:
        return False  # closed
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _priority(level: int) -> int:
    """The syslog priority of a level."""
    return next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG_PRIORITY)


def _about(record: logging.LogRecord) -> Mapping[str, str]:
    """What *record* is about: what its task works on, or what was given to it (`extra={"about": ...}`)."""
    return {**log_fields(), **getattr(record, "about", {})}


class _JournalHandler(logging.StreamHandler[TextIO]):
    """Entries with fields, by the journal's native protocol; what it does not take goes to standard error."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(_JournalFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record*."""
        try:
            send_entry(_journal_fields(record), JOURNAL_SOCKET, _JOURNAL_TIMEOUT_S)
        except OSError:  # too long for one datagram, or the journal is just being restarted
            super().emit(record)


def _journal_fields(record: logging.LogRecord) -> dict[str, str]:
    """The fields of an entry, as systemd.journal-fields(7) names them, and what the record is about."""
    return {
        "MESSAGE": logging.Formatter().format(record),
        "PRIORITY": str(_priority(record.levelno)),
        "SYSLOG_IDENTIFIER": "certmongerd",
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        **{f"CERTMONGER_{name.upper()}": value for name, value in _about(record).items()},
    }


class _JournalFormatter(logging.Formatter):
    """Every line with its priority in front, as sd-daemon(3) describes it."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines of *record*."""
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines() or [""])


class _JsonFormatter(logging.Formatter):
    """One JSON object in one line: time (UTC), level, logger, message, what it is about, error."""

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self._prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        """The object of *record*."""
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "priority": _priority(record.levelno),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **_about(record),
        }
        if record.exc_info:
            values["error"] = self.formatException(record.exc_info)
        prefix = self._prefix % record.process if self._prefix else ""
        return prefix + json.dumps(values, ensure_ascii=False)
