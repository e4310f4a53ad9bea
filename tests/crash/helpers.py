"""The helpers of the CA `local` and of a SCEP server from a process that has them loaded, for thousands of daemons.

A run is a child of that process, as with the daemon's own fork server, and goes on when the daemon is killed.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from crash.disk import record
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.scep_authority import single_ca
from fakes.scep_responder import ALL_CAPABILITIES, Responder, Scenario

from certmonger_helpers import local_submit, scep_submit

_CLIENT: Final = """
import array, json, os, socket, sys
channel = socket.socket(socket.AF_UNIX)
channel.connect({address!r})
job = json.dumps([dict(os.environ), sys.argv[1:]]).encode()
channel.sendmsg([job], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1, 2]))])
channel.shutdown(socket.SHUT_WR)
status = channel.recv(1)
sys.exit(status[0] if status else 70)
"""
_LOCAL: Final = """#!/bin/sh
case "$CERTMONGER_OPERATION" in
SUBMIT|POLL|FETCH-ROOTS) exec {python} -I -S {client} ;;
esac
exit 6
"""
_SCEP: Final = """#!/bin/sh
case "$CERTMONGER_OPERATION" in
SUBMIT|POLL) exec {python} -I -S {client} {url} ;;
FETCH-SCEP-CA-CAPS) exec cat {capabilities} ;;
FETCH-SCEP-CA-CERTS) exec cat {certificates} ;;
esac
exit 6
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Command lines of helpers."""

    local: str
    scep: str


@contextmanager
def serving(root: Path) -> Iterator[Commands]:
    """The helpers, while they can be run; the SCEP server is one for all daemons."""
    authority = single_ca()
    address, client = root / "helper.socket", root / "client.py"
    capabilities, certificates, url = root / "capabilities", root / "certificates", root / "url"
    client.write_text(_CLIENT.format(address=str(address)))
    capabilities.write_bytes(ALL_CAPABILITIES)
    certificates.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in authority.certificates))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(64)
        pids = [_fork(partial(_serve, listener)), _fork(partial(_respond, Scenario(authority=authority), url))]
        try:
            while not url.exists():
                time.sleep(0.01)
            yield Commands(
                local=_script(root / "helper", _LOCAL.format(python=sys.executable, client=client)),
                scep=_script(
                    root / "scep-helper",
                    _SCEP.format(
                        python=sys.executable,
                        client=client,
                        url=url.read_text(),
                        capabilities=capabilities,
                        certificates=certificates,
                    ),
                ),
            )
        finally:
            for pid in pids:
                os.kill(pid, 9)
                os.waitpid(pid, 0)


def _script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def _fork(run: Callable[[], NoReturn]) -> int:
    pid = os.fork()
    if pid == 0:
        run()
    return pid


def _respond(scenario: Scenario, url: Path) -> NoReturn:
    scenario.repeats_transactions = True  # a client that was killed does not know what it was answered
    with Responder() as responder:
        new = url.with_suffix(".new")
        new.write_text(responder.add("ca", scenario))
        new.rename(url)
        while True:
            signal.pause()


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
        variables, arguments = json.loads(job)
        os.environ.update(variables)
        root = Path(os.environ["CERTMONGER_LOCAL_CA_DIR"]).parent
        if (root / "recording").exists():
            record(root, root / "recording")
        status = scep_submit.main(["-u", *arguments]) if arguments else local_submit.main([])
        sys.stdout.flush()
        channel.send(bytes([status]))
    finally:
        os._exit(status)
