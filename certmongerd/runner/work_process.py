"""Processes that do the daemon's work, one piece at a time each, behind one socket.

In the daemon, threads take turns with the interpreter's lock: with many requests at once a quarter of the time went
into handing it over, and while a key is made, nobody else gets it at all. Here each process has a lock of its own.

Forked from the process that has the helpers loaded (see `forkserver`), with a connected SEQPACKET socket as standard
input. The first message is a `Start`; its descriptor is a lock that all of these processes hold as long as they live.
Then as many children as it says are forked; all of them read from the socket, so that a piece of work goes to whoever
is free. When one of them is killed, all are, and the daemon sees the end of the socket once the last one is gone. They
end by themselves, each after what it has begun, when the daemon closes it.
"""

import gc
import importlib
import logging
import os
import pickle
import signal
import socket
import struct
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NoReturn

from certmongerd.core.events import CertRead, CsrBuilt, Issued
from certmongerd.core.evolve import pickled_quickly
from certmongerd.core.history import HistoryEntry
from certmongerd.core.model import (
    Ca,
    CaCertLocations,
    CertificateFacts,
    CertStorage,
    KeyAlgorithm,
    KeyRecord,
    KeyStorage,
    Request,
    Template,
)
from certmongerd.keystore.protocol import Generated, Saved
from certmongerd.pki.keys import KeyFacts, dump_private_key, generate_private_key, load_private_key, sign
from certmongerd.runner import disk, jobs
from certmongerd.store import repository

__all__ = ["disk", "jobs", "repository"]  # what the work is made of, loaded before the first piece of it comes

HEADER: Final = struct.Struct("!QB")
"""Number of the piece of work; of an answer, its `Outcome`. The rest is pickled: of work, a function of a module's and
what it is called with."""
LONGEST_MESSAGE: Final = 1 << 17
"""Bytes. Whatever is longer the daemon does by itself."""
PICKLE: Final = 5

pickled_quickly(Request, KeyRecord, KeyStorage, CertStorage, CertificateFacts, Template, CaCertLocations, Ca)
pickled_quickly(jobs.KeyWanted, jobs.CsrWanted, jobs.SigningKey, KeyFacts, Generated, Saved)
pickled_quickly(CertRead, CsrBuilt, Issued, HistoryEntry)

Logged = tuple[str, int, str]
"""Name of the logger, level, text."""


class Outcome(IntEnum):
    """What became of a piece of work."""

    DONE = 0
    """The rest is the result and what was `Logged`."""
    FAILED = 1
    """The rest is the exception and what was `Logged`."""
    TOO_LONG = 2
    """It is done, but the result does not fit into a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the processes have to know first."""

    count: int
    """Children."""
    log_level: int
    modules: tuple[str, ...]
    """To be loaded once, instead of by each child."""


def main(_: Sequence[str]) -> int:
    """Serve until the socket is closed or one of the children is killed."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of the socket is what ends these processes
    channel = socket.socket(fileno=os.dup(0))
    message, _descriptors, _flags, _address = socket.recv_fds(channel, LONGEST_MESSAGE, 1)
    if not message:
        return 0
    start: Start = pickle.loads(message)
    for name in start.modules:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    children = {_forked(channel, start) for _ in range(start.count)}
    channel.close()
    os.close(0)
    while children:
        ended, status = os.wait()
        children.remove(ended)
        if status:
            for child in children:
                os.kill(child, signal.SIGKILL)
    return 0


def warm_up() -> None:
    """Have done once what the libraries take long for the first time; the fork server calls it."""
    key = generate_private_key(KeyAlgorithm.EC, 256)
    sign(load_private_key(dump_private_key(key, None, ""), None), b"", "sha256")


def _forked(channel: socket.socket, start: Start) -> int:
    child = os.fork()
    if child == 0:
        _serve(channel, start)
    return child


def _serve(channel: socket.socket, start: Start) -> NoReturn:
    """Work until nobody wants anything any more."""
    status = 1
    try:
        logged: list[Logged] = []
        root = logging.getLogger()
        root.setLevel(start.log_level)
        root.handlers[:] = [_Collector(logged)]
        while message := channel.recv(LONGEST_MESSAGE):
            answer = _answer(message, logged)
            logged.clear()
            channel.send(answer if len(answer) <= LONGEST_MESSAGE else HEADER.pack(_number(message), Outcome.TOO_LONG))
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # the daemon is gone
    except BaseException:
        traceback.print_exc()  # the daemon is told that the work is not done: all of these processes end
    finally:
        os._exit(status)


def _answer(message: bytes, logged: list[Logged]) -> bytes:
    outcome: Outcome = Outcome.DONE
    result: object = None
    try:
        function, args, kwargs = pickle.loads(memoryview(message)[HEADER.size :])
        result = function(*args, **kwargs)
    except Exception as exc:
        # The places in the code are for whoever reads the daemon's log; they do not travel by themselves.
        exc.add_note("".join(traceback.format_tb(exc.__traceback__)))
        outcome, result = Outcome.FAILED, _able_to_travel(exc)
    return HEADER.pack(_number(message), outcome) + pickle.dumps((result, logged), PICKLE)


def _able_to_travel(error: Exception) -> Exception:
    """*error*, or one that says as much where that cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error, PICKLE))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ()))
    return error


def _number(message: bytes) -> int:
    number, _ = HEADER.unpack_from(message)
    return int(number)


class _Collector(logging.Handler):
    """Keeps what is logged for the daemon, which knows what request it is about."""

    def __init__(self, logged: list[Logged]) -> None:
        super().__init__()
        self._logged = logged

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._logged.append((record.name, record.levelno, record.getMessage()))
