"""The helper of the CA `local` from a process that has it loaded, so that thousands of daemons can start and ask it.

A run is a child of that process, as with the daemon's own fork server, and goes on when the daemon is killed.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from crash.disk import record

from certmonger_helpers import local_submit

_CLIENT: Final = """
import array, json, os, socket, sys
channel = socket.socket(socket.AF_UNIX)
channel.connect({address!r})
job = json.dumps(dict(os.environ)).encode()
channel.sendmsg([job], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1, 2]))])
channel.shutdown(socket.SHUT_WR)
status = channel.recv(1)
sys.exit(status[0] if status else 70)
"""
_SCRIPT: Final = """#!/bin/sh
case "$CERTMONGER_OPERATION" in
SUBMIT|POLL|FETCH-ROOTS) exec {python} -I -S {client} ;;
esac
exit 6
"""


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The command line of the helper, while it can be run."""
    address, client, script = root / "helper.socket", root / "client.py", root / "helper"
    client.write_text(_CLIENT.format(address=str(address)))
    script.write_text(_SCRIPT.format(python=sys.executable, client=client))
    script.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(64)
        pid = os.fork()
        if pid == 0:
            _serve(listener)
    try:
        yield str(script)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def _serve(listener: socket.socket) -> NoReturn:
    while True:
        channel, _ = listener.accept()
        with channel:
            if os.fork() == 0:
                # The grandchild is nobody's child that somebody would have to wait for.
                if os.fork() == 0:
                    _run(channel)
                os._exit(0)
        os.wait()


def _run(channel: socket.socket) -> NoReturn:
    job, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 2)
    while part := channel.recv(1 << 20):
        job += part
    status = 70
    try:
        os.dup2(descriptors[0], 1)
        os.dup2(descriptors[1], 2)
        os.umask(0o077)
        os.environ.clear()
        os.environ.update(json.loads(job))
        root = Path(os.environ["CERTMONGER_LOCAL_CA_DIR"]).parent
        if (root / "recording").exists():
            record(root, root / "recording")
        status = local_submit.main([])
        sys.stdout.flush()
        channel.send(bytes([status]))
    finally:
        os._exit(status)
