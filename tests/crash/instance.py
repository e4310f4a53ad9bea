"""One set of state directories, the daemons that are started on it one after the other, and what clients were told."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from crash.fault import Trouble, arm
from crash.helpers import Commands
from crash.invariants import PIN
from daemon_processes import workers
from new_files import create_ca

from certmongerd import app
from certmongerd.busapi.blocking import BlockingConnection, BusError, BusUnavailable
from certmongerd.busapi.transport import Variant
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca
from certmongerd.observe.log import set_up_logging
from certmongerd.options import parse_options
from certmongerd.runner import executor
from certmongerd.store.repository import Repository
from getcert.client import Client
from getcert.entries import RequestEntry
from getcert.errors import CommandFailed

MOST_REQUESTS: Final = 6
ANSWER_LIMIT_S: Final = 30.0
SETTLE_LIMIT_S: Final = 120.0


HELPER_KILLED: Final = "helper was ended by signal 9"


def _environment(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended, or is the kernel's
        return b""


class Unanswered(Exception):
    """The daemon ended before it answered: nobody knows whether it did what it was asked."""


@dataclass(slots=True)
class Expected:
    """What clients know of one request."""

    nickname: str
    is_there: bool | None = None
    """None when the last answer was lost."""


@dataclass
class Instance:
    """Directories below *root*; daemons are forked from this process, which has the whole daemon loaded."""

    root: Path
    random: random.Random
    config: str = "[renewal]\nspread = no\n"
    """Without a spread, what waited for a CA is submitted when the next daemon starts."""
    kinds: Mapping[str, float] = field(default_factory=lambda: {"SelfSign": 5, "local": 3, "pin": 1, "scep": 1})
    """What is asked for, see `add`, and how often."""
    uses_processes: bool = False
    """Whether daemons have their work done by processes, however little it is."""
    requests: dict[str, Expected] = field(default_factory=dict)
    pid: int = 0
    daemons: list[int] = field(default_factory=list)
    """Process IDs, which are session IDs, of all daemons so far."""
    _client: Client | None = None
    _count: int = 0

    def __post_init__(self) -> None:
        for name in ("config", "requests", "cas", "local", "tmp", "certs", "database"):
            (self.root / name).mkdir(parents=True)
        (self.root / "config" / "certmonger.conf").write_text(self.config)
        self.repository = Repository(self.root / "requests", self.root / "cas")

    @property
    def certs(self) -> Path:
        return self.root / "certs"

    @property
    def database(self) -> Path:
        """Of NSS."""
        return self.root / "database"

    def add_cas(self, helpers: Commands) -> None:
        """The CAs `local` and `scep`; and those that daemons have, with nothing that each start would have to run."""
        nothing = dict.fromkeys(("IPA", "dogtag-ipa-renew-agent"), "/nowhere/helper")
        commands = {"local": helpers.local, "scep": helpers.scep, **nothing}
        for name, command in commands.items():
            create_ca(self.repository, Ca(id=CaName(name), external_helper=command), datetime.now(UTC))

    # The daemon.

    def start(self, fault: Trouble | None = None) -> None:
        """Start a daemon, which *fault* ends."""
        (self.root / "socket").unlink(missing_ok=True)
        self.pid = os.fork()
        if self.pid == 0:
            self._be_daemon(fault)
        self.daemons.append(self.pid)

    def _be_daemon(self, fault: Trouble | None) -> NoReturn:
        try:
            os.setsid()
            log = os.open(self.root / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for descriptor in (1, 2):
                os.dup2(log, descriptor)
            os.umask(0o077)
            os.environ.clear()
            os.environ.update(self.environment())
            options = parse_options(["-n", "-L", "-P", str(self.root / "socket"), "-d", "3"])
            set_up_logging(foreground=True, debug_level=3, as_json=False)
            if fault is not None:
                arm(fault)
            if self.uses_processes:
                for most in ("_MOST_FILE_WORK", "_MOST_HEAVY_WORK"):
                    setattr(executor, most, 0)
            os._exit(asyncio.run(app.run(options, None)))
        except BaseException as error:
            print(f"the daemon raised {error!r}", file=sys.stderr, flush=True)
        finally:
            os._exit(70)

    def environment(self) -> dict[str, str]:
        """The daemon's."""
        directories = {"CONFIG": "config", "REQUESTS": "requests", "CAS": "cas", "LOCAL_CA": "local"}
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.root),
            **{f"CERTMONGER_{name}_DIR": str(self.root / folder) for name, folder in directories.items()},
            "CERTMONGER_TMPDIR": str(self.root / "tmp"),
            "CERTMONGER_SYSTEM_LOCK_FILE": str(self.root / "lock"),
        }

    def is_running(self) -> bool:
        """Whether the daemon was not killed yet. AssertionError when it ended in any other way."""
        if not self.pid:
            return False
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self._ended(status)
        return bool(self.pid)

    def kill(self) -> None:
        """SIGKILL, unless it happened already."""
        if self.is_running():
            os.kill(self.pid, signal.SIGKILL)
            self._ended(os.waitpid(self.pid, 0)[1])

    def _ended(self, status: int) -> None:
        self.pid = 0
        if self._client is not None:
            self._client.close()
            self._client = None
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, (self.root / "log").read_text()[-4000:]

    def connect(self) -> bool:
        """Wait until the daemon answers; False when it ends before that."""
        deadline = time.monotonic() + ANSWER_LIMIT_S
        address = f"unix:path={self.root / 'socket'}"
        while self.is_running():
            try:
                self._client = Client(BlockingConnection.connect(address, timeout_s=ANSWER_LIMIT_S), verbose=True)
            except (BusUnavailable, OSError):
                assert time.monotonic() < deadline, (self.root / "log").read_text()[-4000:]
                time.sleep(0.003)
            else:
                return True
        return False

    # Clients.

    def _ask(self, call: Callable[[Client], object]) -> object:
        """Raises Unanswered; a refusal is an answer."""
        if self._client is None:
            raise Unanswered
        try:
            return call(self._client)
        except (CommandFailed, BusUnavailable, BusError, OSError) as error:
            deadline = time.monotonic() + 1.0
            while self.is_running() and time.monotonic() < deadline:
                time.sleep(0.002)
            if self.is_running():
                raise AssertionError(f"the daemon refused: {error}") from error
            raise Unanswered from error

    def listed(self) -> dict[str, RequestEntry]:
        """What the daemon tracks; AssertionError when it tells a nickname twice. Raises Unanswered."""

        def ask(client: Client) -> list[RequestEntry]:
            client.forget()
            return client.requests()

        entries = self._ask(ask)
        assert isinstance(entries, list)
        found = {entry.nickname: entry for entry in entries}
        assert len(found) == len(entries), f"listed twice: {[entry.nickname for entry in entries]}"
        return found

    def act(self) -> None:
        """Something that a client may do now. Raises Unanswered."""
        known = [each for each in self.requests.values() if each.is_there]
        if len(known) < 2 or (len(known) < MOST_REQUESTS and self.random.random() < 0.3):
            self._add()
            return
        chosen = self.random.choice(known)
        match self.random.choices(("rekey", "resubmit", "modify", "remove", "kill a helper"), (8, 6, 4, 2, 1))[0]:
            case "remove":
                self.remove(chosen.nickname)
            case "modify":
                self.modify(chosen.nickname, f"host{self._count}.example.org")
                self.command(chosen.nickname, "resubmit")
            case "kill a helper":
                self.kill_helper()
            case command:
                self.command(chosen.nickname, command)

    def command(self, nickname: str, name: str) -> None:
        """`resubmit`, `rekey` or `refresh`. Raises Unanswered."""
        path = self._path(nickname)
        self._ask(lambda client: client.command_request(path, name))

    def modify(self, nickname: str, host_name: str) -> None:
        """Ask for another name from now on. Raises Unanswered."""
        path = self._path(nickname)
        values = {"template-hostname": Variant("as", [host_name])}
        self._ask(lambda client: client.modify_request(path, values))

    def remove(self, nickname: str) -> None:
        """Stop tracking. Raises Unanswered."""
        path = self._path(nickname)
        self.requests[nickname].is_there = None
        removed = self._ask(lambda client: client.remove_request(path))
        assert removed is True
        self.requests[nickname].is_there = False

    def kill_helper(self) -> None:
        """SIGKILL for something that the daemon has started and that still runs, if there is anything."""
        if running := [pid for pid in self.helpers() if pid != self.pid]:
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(running), signal.SIGKILL)

    def kill_worker(self) -> bool:
        """SIGKILL for one of the processes that work for the daemon, if there is any."""
        if running := workers(self.pid):
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(running), signal.SIGKILL)
                return True
        return False

    def helpers(self) -> list[int]:
        """Processes that daemons of this instance have started."""
        mark = f"CERTMONGER_LOCAL_CA_DIR={self.root}/".encode()
        return [int(pid) for pid in os.listdir("/proc") if pid.isdecimal() and mark in _environment(pid)]

    def _path(self, nickname: str) -> str:
        return self.listed()[nickname].path

    def _add(self) -> None:
        self._count += 1
        kind = self.random.choices(tuple(self.kinds), tuple(self.kinds.values()))[0]
        self.add(f"r{self._count}", kind, is_rsa=self.random.random() < 0.1)

    def add(self, name: str, kind: str, *, is_rsa: bool = False) -> None:
        """Ask for a certificate: *kind* is a CA, or `pin` or `nss` for another place than a plain file.

        A letter in the nickname, after *name*, tells of them and of SCEP. Raises Unanswered.
        """
        nickname = name + {"pin": "p", "nss": "n", "scep": "s"}.get(kind, "")
        ca = kind if kind in ("local", "scep", "waiting") else "SelfSign"
        is_rsa = is_rsa or kind == "scep"
        place = {
            "KEY_STORAGE": Variant("s", "FILE"),
            "KEY_LOCATION": Variant("s", str(self.certs / f"{nickname}.key")),
            "CERT_STORAGE": Variant("s", "FILE"),
            "CERT_LOCATION": Variant("s", str(self.certs / f"{nickname}.crt")),
        }
        if kind == "pin":
            place["KEY_PIN"] = Variant("s", PIN.decode())
        if kind == "nss":
            for what in ("KEY", "CERT"):
                place[f"{what}_STORAGE"] = Variant("s", "NSSDB")
                place[f"{what}_LOCATION"] = Variant("s", str(self.database))
                place[f"{what}_NICKNAME"] = Variant("s", nickname)
        expected = self.requests[nickname] = Expected(nickname)

        def add(client: Client) -> object:
            values = {
                "NICKNAME": Variant("s", nickname),
                "CA": Variant("o", client.find_ca(ca).path),
                **place,
                "KEY_TYPE": Variant("s", "RSA" if is_rsa else "EC"),
                "KEY_SIZE": Variant("x", 1024 if is_rsa else 256),
                "SUBJECT": Variant("s", f"CN={nickname}"),
                "ROOT_CERT_FILES": Variant("as", [str(self.certs / "ca.pem")]),
            }
            return client.add_request(values)

        assert self._ask(add)
        expected.is_there = True

    def compare(self, present: set[str]) -> None:
        """What clients were told holds; where the answer was lost, what is there now counts."""
        for expected in self.requests.values():
            if expected.is_there is None:
                expected.is_there = expected.nickname in present
        wanted = {each.nickname for each in self.requests.values() if each.is_there}
        assert present == wanted, f"lost: {sorted(wanted - present)}, not removed: {sorted(present - wanted)}"

    def settle(self, state: str = "MONITORING") -> None:
        """Wait until everything was seen in *state*. Raises Unanswered."""
        deadline = time.monotonic() + SETTLE_LIMIT_S
        missing = set(self.listed())
        while missing:
            listed = self.listed()
            troubled = {name for name, entry in listed.items() if entry.properties.text("ca-error")}
            missing -= {name for name, entry in listed.items() if entry.status == state} - troubled
            for name in troubled:
                needs_somebody = listed[name].status == "NEED_GUIDANCE"
                # A renewal whose helper was killed is tried again later, with the key that it made.
                if listed[name].status == "MONITORING" or (
                    needs_somebody and HELPER_KILLED in listed[name].properties.text("ca-error")
                ):
                    self.command(name, "resubmit")
            if missing and time.monotonic() > deadline:
                log = (self.root / "log").read_text()[-6000:]
                stuck = [(name, listed[name].status, listed[name].properties.text("ca-error")) for name in missing]
                raise AssertionError(f"never monitored: {stuck}\n{log}")
            time.sleep(0.05)
