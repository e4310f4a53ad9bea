"""dns-01 (RFC 8555, section 8.4): TXT records made by a program of the administrator's, or by dynamic update."""

import asyncio
import base64
import hashlib
import shlex
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from certmonger_helpers.acme.challenges import Challenge
from certmonger_helpers.acme.keeper import Keeper, Task
from certmonger_helpers.outcome import Unconfigured, Unreachable

_HOOK_LIMIT_S: Final = 120.0
_MOST_OUTPUT: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class TxtRecord:
    """A record that answers a challenge."""

    name: str
    """With the final dot."""
    value: str


class Records(Protocol):
    """Adds TXT records to the DNS, and takes them away."""

    async def add(self, record: TxtRecord) -> None:
        """Publish *record* beside others of its name. Raises HelperError."""

    async def remove(self, record: TxtRecord) -> None:
        """Take *record* away. Raises HelperError."""


def record_for(challenge: Challenge) -> TxtRecord:
    """The TXT record that *challenge* asks for."""
    digest = hashlib.sha256(challenge.key_authorization.encode()).digest()
    return TxtRecord(f"_acme-challenge.{challenge.identifier}.", base64.urlsafe_b64encode(digest).decode().rstrip("="))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DnsResponder:
    """Answers by records, and waits until they are published everywhere."""

    records: Records
    wait_s: float
    kind: str = "dns-01"

    @asynccontextmanager
    async def answering(self, challenges: Sequence[Challenge]) -> AsyncIterator[None]:
        """Add the records, wait, and remove them afterwards, also those whose adding failed half way."""
        wanted = [record_for(challenge) for challenge in challenges]
        tried: list[TxtRecord] = []
        try:
            for record in wanted:
                tried.append(record)
                await self.records.add(record)
            await asyncio.sleep(self.wait_s)
            yield
        finally:
            for record in tried:
                await self._remove(record)

    async def _remove(self, record: TxtRecord) -> None:
        """Take a record away; one that stays does no harm, so only the log hears of it."""
        try:
            await self.records.remove(record)
        except (Unconfigured, Unreachable) as exc:
            print(f"The TXT record {record.name} was not removed: {exc.reason}", file=sys.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A program called as `PROGRAM present|cleanup NAME VALUE`, as lego's `exec` provider does."""

    command: str
    keeper: Keeper | None = None
    """Runs it instead of this process, which is not root any more."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """What a keeper is asked to do."""
        return {"present": partial(self._run, "present"), "cleanup": partial(self._run, "cleanup")}

    async def add(self, record: TxtRecord) -> None:
        """`present`."""
        await self._do("present", record)

    async def remove(self, record: TxtRecord) -> None:
        """`cleanup`."""
        await self._do("cleanup", record)

    async def _do(self, task: str, record: TxtRecord) -> None:
        if self.keeper is not None:
            await self.keeper.do(task, record.name, record.value)
        else:
            await self.tasks[task](record.name, record.value)

    async def _run(self, action: str, name: str, value: str) -> None:
        """Run the program to its end. Raises Unconfigured when it cannot be run, Unreachable when it fails."""
        try:
            words = shlex.split(self.command)
            process = await asyncio.create_subprocess_exec(
                *words,
                action,
                name,
                value,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except (OSError, ValueError, TypeError) as exc:
            raise Unconfigured(f"The program {self.command} (--dns-hook) cannot be run: {exc}") from exc
        try:
            async with asyncio.timeout(_HOOK_LIMIT_S):
                output, _ = await process.communicate()
        except TimeoutError as exc:
            raise Unreachable(f"{self.command} {action} did not end within {_HOOK_LIMIT_S:g} seconds") from exc
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            lines = output[-_MOST_OUTPUT:].decode("utf-8", "replace").strip().splitlines()
            said = f": {lines[-1]}" if lines else ""
            raise Unreachable(f"{self.command} {action} {name} ended with status {process.returncode}{said}")
