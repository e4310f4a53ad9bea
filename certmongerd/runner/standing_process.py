"""A bundled helper that stays for further runs of the same command.

Forked from the process that has the helpers loaded (see `forkserver`), with a connected SEQPACKET socket as standard
input. Each message is the environment of one run, as JSON; the answer is the exit status and what the run has printed.
Either comes in an anonymous file where it is long. Standard error is the daemon's to read.

Whatever a helper cannot answer with a status ends the process, which the daemon sees as the end of that run.
"""

import gc
import importlib
import io
import json
import os
import socket
import struct
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from certmongerd.runner.program import exit_status_of, memory_file

ANSWER: Final = struct.Struct("!iB")
"""Exit status, and whether the process stays. What was printed follows."""
_LONGEST_MESSAGE: Final = 1 << 16
"""Bytes that the system's buffers have room for."""
_IN_A_FILE: Final = b"\0"


def main(argv: Sequence[str]) -> int:
    """Run a helper whenever there is a message. *argv*: the helper's module, its program, and its arguments."""
    module, *sys.argv = argv
    helper: ModuleType = importlib.import_module(module)
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    stays = bool(helper.can_run_again(sys.argv[1:]))
    gc.freeze()
    gc.enable()
    while message := receive(channel):
        status, has_returned, printed = _run(helper, json.loads(message))
        stays = stays and has_returned
        send(channel, ANSWER.pack(status, stays) + printed)
        if not stays:
            break
    return 0


def send(channel: socket.socket, data: bytes) -> None:
    """Send *data*, which is not empty. Raises OSError."""
    if len(data) <= _LONGEST_MESSAGE:
        channel.send(data)
        return
    descriptor = memory_file("message", data)
    try:
        socket.send_fds(channel, [_IN_A_FILE], [descriptor])
    finally:
        os.close(descriptor)


def receive(channel: socket.socket) -> bytes:
    """What the other side has sent; empty at the end. Raises OSError."""
    message, descriptors, _, _ = socket.recv_fds(channel, _LONGEST_MESSAGE, 1)
    for descriptor in descriptors:
        with open(descriptor, "rb") as file:
            message = file.read()
    return message


def _run(helper: ModuleType, environment: dict[str, str]) -> tuple[int, bool, bytes]:
    """Exit status, whether the helper returned it instead of ending its program, and standard output."""
    os.environ.clear()
    os.environ.update(environment)
    printed = io.BytesIO()
    standard = sys.stdout
    sys.stdout = output = io.TextIOWrapper(printed, standard.encoding, standard.errors)
    has_returned = False
    try:
        status = int(helper.main(sys.argv[1:]))
        has_returned = True
    except SystemExit as exc:
        status = exit_status_of(exc)
    finally:
        sys.stdout = standard
    output.flush()
    sys.stderr.flush()
    return status, has_returned, printed.getvalue()
