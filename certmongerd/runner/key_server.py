"""Processes that make RSA keys, one per processor, behind one socket.

Making a key takes tens of milliseconds to seconds during which the library holds the lock of the interpreter: in the
daemon, nothing else would run meanwhile, and two threads would make keys one after the other.

Started as `python -I -m certmongerd.runner.key_server DESCRIPTOR COUNT`, where DESCRIPTOR is a connected SEQPACKET
socket. The libraries are loaded once, then COUNT children are forked; all of them read from the socket, so that a
job goes to whoever is free. When one of them dies, all end: the daemon sees the end of the socket. They end too when
the daemon closes it.
"""

import gc
import os
import signal
import socket
import struct
import sys
from typing import Final, NoReturn

from certmongerd.core.model import KeyAlgorithm
from certmongerd.pki.keys import dump_plain_key, generate_private_key

JOB: Final = struct.Struct("!QI")
"""Number of the job, bits of the key."""
ANSWER: Final = struct.Struct("!Q")
"""Number of the job; the key follows, as `dump_plain_key` gives it."""
LONGEST_ANSWER: Final = 1 << 16


def main() -> int:
    """Serve until the socket is closed or one of the children is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    gc.freeze()
    children = [_forked(channel) for _ in range(int(sys.argv[2]))]
    channel.close()
    first, _ = os.wait()
    for child in children:
        if child != first:
            os.kill(child, signal.SIGKILL)
    return 0


def _forked(channel: socket.socket) -> int:
    child = os.fork()
    if child == 0:
        _serve(channel)
    return child


def _serve(channel: socket.socket) -> NoReturn:
    """Make keys until nobody wants any more."""
    try:
        while job := channel.recv(JOB.size):
            number, bits = JOB.unpack(job)
            key = generate_private_key(KeyAlgorithm.RSA, bits)
            channel.send(ANSWER.pack(number) + dump_plain_key(key))
    except (BrokenPipeError, ConnectionResetError):
        pass  # the daemon is gone
    finally:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
