"""scep-submit --trace: every step of a run in a file, for people who look for a fault.

What is encrypted stays so, and passwords in addresses are left out; a trace can be given away.
"""

import argparse
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from certmonger_helpers.address import shown
from certmonger_helpers.protocol import Answer, HelperInput, Reply, Unconfigured, failure_reply
from certmongerd.scep.describe import describe_message

_TRACED: Final = logging.getLogger("certmonger_helpers")
_log = logging.getLogger(__name__)


@contextmanager
def tracing(path: str | None) -> Iterator[None]:
    """While the block runs, append what is logged to file *path*, which only its owner may read.

    Raises Unconfigured when the file cannot be written.
    """
    if path is None:
        yield
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise Unconfigured(f"The trace file {path} cannot be written: {exc.strerror}") from exc
    with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as stream:
        handler = logging.StreamHandler(stream)
        formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        level = _TRACED.level
        _TRACED.addHandler(handler)
        _TRACED.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            _TRACED.setLevel(level)
            _TRACED.removeHandler(handler)


def traced(answer: Answer) -> Answer:
    """*answer*, traced into the file that its options name."""

    def answer_traced(given: HelperInput, options: argparse.Namespace) -> Reply:
        with tracing(options.trace):
            _log.debug("operation %s, server %s", options.mode or given.operation_name, shown(options.url or "none"))
            try:
                reply = answer(given, options)
            except Exception as exc:
                failed = failure_reply(exc)
                _log.debug("exit status %d: %s", failed.status, str(failed.output).strip())
                raise
            _log.debug("exit status %d, %d bytes of output", reply.status, len(reply.output))
            return reply

    return answer_traced


def trace_message(what: str, message: bytes) -> None:
    """Log what a pkiMessage says, one fact a line."""
    if _TRACED.isEnabledFor(logging.DEBUG):
        for label, text in describe_message(message):
            _log.debug("%s: %s: %s", what, label, text)
