"""The inside of a worker process: one job from standard input, one answer to standard output.

Imports little, because it is started for each operation.
"""

import json
import os
import pwd
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.coredumps import forbid_core_dumps

Value = str | int | bool | None | list[str]
"""What jobs and answers are made of; binary data is hexadecimal text."""
Operation = Callable[["Job"], Mapping[str, Value]]

GRACE_S: Final = 5
"""How much later than the daemon's limit the process ends itself, should the daemon be gone."""


class Job:
    """The arguments of one operation. Reading one that is missing or of another type raises ValueError."""

    def __init__(self, arguments: Mapping[str, object]) -> None:
        self._arguments = arguments

    def at(self, location: str) -> "Job":
        """The same job for another location."""
        return Job({**self._arguments, "location": location})

    def text(self, name: str) -> str:
        """A text."""
        value = self._arguments.get(name)
        if not isinstance(value, str):
            raise ValueError(f"{name} is no text")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text or None."""
        return self.text(name) if self._arguments.get(name) is not None else None

    def binary(self, name: str) -> bytes:
        """Binary data."""
        return bytes.fromhex(self.text(name))

    def number(self, name: str) -> int:
        """A number."""
        value = self._arguments.get(name)
        if not isinstance(value, int):
            raise ValueError(f"{name} is no number")
        return value

    def flag(self, name: str) -> bool:
        """Whether something is to be done."""
        return self._arguments.get(name) is True

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        value = self._arguments.get(name)
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list")
        return [str(element) for element in value]


def serve(operations: Mapping[str, Operation]) -> None:
    """Do the job on standard input and write the answer."""
    forbid_core_dumps()
    answer_fd = _keep_output()
    arguments: dict[str, object] = json.loads(sys.stdin.buffer.read())
    limit = arguments["limit_s"]
    if isinstance(limit, int | float):
        signal.alarm(int(limit) + GRACE_S)
    answer: Mapping[str, Value]
    try:
        _become(str(arguments["user"]))
        answer = operations[str(arguments["operation"])](Job(arguments))
    except KeyStoreError as error:
        answer = {"failed": error.kind.value, "reason": error.reason}
    except Exception as error:  # the daemon has to be told, whatever it is
        answer = {"failed": FailureKind.OTHER.value, "reason": f"{type(error).__name__}: {error}"}
    os.write(answer_fd, json.dumps(answer).encode())
    # Libraries that were loaded may hang or crash when they are unloaded; everything is done.
    os._exit(0)


def _become(user: str) -> None:
    """Go on as *user*, unless that is empty. Raises `KeyStoreError`."""
    if not user:
        return
    try:
        account = pwd.getpwnam(user)
        os.initgroups(user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    except KeyError:
        raise KeyStoreError(FailureKind.PERMS, "", f'The user "{user}" does not exist.') from None
    except PermissionError as exc:
        raise KeyStoreError(FailureKind.PERMS, "", f'Only root can work as the user "{user}".') from exc


def _keep_output() -> int:
    """A descriptor for the answer. What libraries print goes nowhere."""
    answer_fd = os.dup(1)
    os.dup2(2, 1)
    return answer_fd
