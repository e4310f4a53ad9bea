"""What answering challenges needs root for, done by a process that stays root while acme-submit does not.

It does two things, with what the command line says and nothing else: publish and withdraw files of challenges below one
web root, and run one program for DNS records. What it is asked comes from a process that may have been taken over.
"""

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from certmonger_helpers.outcome import ExitStatus, HelperError, Unreachable

_MESSAGE_BYTES: Final = 16 * 1024
_WORD: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,1000}")
"""Names of records, tokens and key authorizations (RFC 8555, sections 8.1 and 8.4): nothing with a path in it."""

Task = Callable[..., Awaitable[None]]


class Keeper:
    """The process, as seen by the one that asks; one question at a time."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Fork it; *tasks* are what it can be asked to do, by their names."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            _serve(theirs, tasks)
        theirs.close()
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._channel = ours
        self._turn = asyncio.Lock()

    def close(self) -> None:
        """Let the process end, and wait for that; the end of this one does the same."""
        self._channel.close()
        os.waitpid(self._pid, 0)

    async def do(self, task: str, *words: str) -> None:
        """Have *task* done. Raises what it raised, and Unreachable when the process is gone."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            try:
                await loop.sock_sendall(self._channel, json.dumps([task, *words]).encode())
                answer = await loop.sock_recv(self._channel, _MESSAGE_BYTES)
            except OSError as exc:
                raise Unreachable(f"The process that answers challenges is gone: {exc.strerror}") from exc
        if not answer:
            raise Unreachable("The process that answers challenges is gone")
        status, reason = json.loads(answer)
        if status:
            raise HelperError(ExitStatus(status), reason)


def _serve(channel: socket.socket, tasks: Mapping[str, Task]) -> None:
    """In the new process: do what is asked until nobody can ask any more. Does not return."""
    try:
        while question := channel.recv(_MESSAGE_BYTES):
            channel.send(json.dumps(_answer(json.loads(question), tasks)).encode())
    finally:
        os._exit(0)


def _answer(question: object, tasks: Mapping[str, Task]) -> tuple[int, str]:
    """Status and reason: 0 and nothing when it was done."""
    if not (isinstance(question, list) and all(isinstance(word, str) for word in question) and question):
        return int(ExitStatus.UNREACHABLE), "Not a question"
    name, *words = question
    if name not in tasks or not all(map(_WORD.fullmatch, words)):
        return int(ExitStatus.UNREACHABLE), f"{name}: not done, because no challenge has such values"
    try:
        asyncio.run(_finish(tasks[name](*words)))
    except HelperError as exc:
        return int(exc.status), exc.reason[: _MESSAGE_BYTES // 8]
    except Exception as exc:
        return int(ExitStatus.UNREACHABLE), f"Internal error: {type(exc).__name__}: {exc}"[: _MESSAGE_BYTES // 8]
    return 0, ""


async def _finish(work: Awaitable[None]) -> None:
    await work
