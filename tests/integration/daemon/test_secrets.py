"""A daemon's whole life, with every kind of secret it can be given, watched from all sides: none of them gets out.

strace writes down each program that the daemon or a descendant executes, with arguments and environment; two other
users listen on the bus; logs, outputs, metrics and the files below the state directory are searched afterwards. A
secret counts as found in plain text, in hexadecimal, and in base64 at each alignment, so also inside encoded data.
"""

import base64
import grp
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from daemon_under_test import BIN, DaemonUnderTest, wait_until
from fakes.message_bus import SYSTEM_BUS_CONFIGURATION, Bus
from scep_server import new_depot, running_scepserver

from certmongerd.api import (
    BUS_NAME,
    DBUS_NAME,
    DBUS_PATH,
    OBJECT_MANAGER_INTERFACE,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.blocking import BlockingConnection, BusError
from certmongerd.installation import helper_directory

PROJECT = Path(__file__).parents[3]
STRANGER = pwd.getpwnam("nobody")
READER = pwd.getpwnam("mail")
READERS_GROUP = grp.getgrgid(READER.pw_gid).gr_name
ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
SHORTEST_LINE: Final = 32

SECRETS: Final = {
    "challenge password": "Chall-7Qw2-zRxLp",
    "wrong challenge password": "Guess-4Ty9-kMbVn",
    "PIN given as text": "PinText-8Hs3-wQdFj",
    "PIN in a file": "PinFile-6Jd5-eNcGk",
    "wrong PIN": "PinWrong-2Kf7-rTvHl",
    "password of the database": "Token-9Lg1-yUbJm",
    "password of the mail server": "Mail-3Pz8-uIxKq",
}
TRACED: Final = """#!/bin/sh
exec strace -D -f -qq --seccomp-bpf -v -s 200000 -e trace=execve,prctl -o {trace} {program} "$@"
"""
TALKATIVE_HELPER: Final = """#!/bin/sh
# Tells everything it was given, as a helper does that somebody is searching an error in.
env; env >&2
echo "$CERTMONGER_CSR" | openssl req -noout -text >&2
[ "$CERTMONGER_OPERATION" = SUBMIT ] || exit 6
echo "refused: $(echo "$CERTMONGER_CSR" | openssl req -noout -text | grep challenge)" >&2
exit 4
"""


def forms(secret: bytes) -> Iterator[str]:
    """How *secret* looks as text, in hexadecimal, and in base64 at the three places where it can begin."""
    yield secret.decode()
    yield secret.hex()
    yield secret.hex().upper()
    for shift, first in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(shift) + secret).decode()
        yield encoded[first : (shift + len(secret)) * 8 // 6]


@dataclass
class Run:
    """What came out of the daemon's life."""

    daemon: DaemonUnderTest
    bus: str
    outputs: list[str] = field(default_factory=list)
    overheard: list[str] = field(default_factory=list)
    """What other users received on the bus."""
    keys: dict[str, str] = field(default_factory=dict)
    """Lines of private keys that are stored without a PIN."""

    @property
    def traces(self) -> list[Path]:
        return sorted(self.daemon.root.glob("trace*"))

    def found_in(self, text: str) -> set[str]:
        """The names of the secrets that *text* tells."""
        without_breaks = re.sub(r"\\n|\s", "", text)
        found = {name for name, line in self.keys.items() if line in without_breaks}
        for name, secret in SECRETS.items():
            if any(form in text or form in without_breaks for form in forms(secret.encode())):
                found.add(name)
        return found

    def getcert(self, *arguments: str | Path, status: int | None = 0) -> None:
        done = self.daemon.getcert(*arguments)
        assert status is None or done.returncode == status, done.stdout + self.daemon.log.read_text()[-3000:]
        self.outputs.append(done.stdout + done.stderr)

    def request(self, name: str, *arguments: str, ca: str, status: int | None = 0) -> None:
        done = self.daemon.request(name, *arguments, ca=ca)
        assert status is None or done.returncode == status, done.stdout + self.daemon.log.read_text()[-3000:]
        self.outputs.append(done.stdout + done.stderr)


def secret_file(folder: Path, name: str) -> str:
    path = folder / name.replace(" ", "-")
    path.touch(mode=0o600)
    path.write_text(SECRETS[name] + "\n")
    return str(path)


@contextmanager
def acting_as(user: pwd.struct_passwd) -> Iterator[None]:
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def connect(address: str, user: pwd.struct_passwd | None = None) -> BlockingConnection:
    if user is not None:
        with acting_as(user):
            return connect(address)
    connection = BlockingConnection.connect(address, timeout_s=20)
    connection.hello()
    return connection


def hear(connection: BlockingConnection) -> list[str]:
    """What arrived on *connection*."""
    return [str(signal) for signal in iter(lambda: connection.next_signal(0.1), None)]


def live(run: Run, scep_url: str) -> None:
    """Everything that can be done with secrets, with each command's output kept."""
    daemon, folder = run.daemon, run.daemon.root
    pin_file, challenge_file = (secret_file(folder, name) for name in ("PIN in a file", "challenge password"))
    token = secret_file(folder, "password of the database")
    challenge, guess = SECRETS["challenge password"], SECRETS["wrong challenge password"]
    (daemon.certs / "db").mkdir()
    hook = folder / "hook"
    hook.write_text("#!/bin/sh\nenv\nenv >&2\n")
    talkative = folder / "talkative"
    talkative.write_text(TALKATIVE_HELPER)
    for script in (hook, talkative):
        script.chmod(0o755)
    hooks = ("-B", str(hook), "-C", str(hook))

    run.getcert("add-scep-ca", "-c", "scep", "-u", scep_url)
    run.getcert("add-ca", "-c", "wrapped", "-e", f"{helper_directory()}/scep-submit -u {scep_url}")
    run.getcert("add-ca", "-c", "talkative", "-e", str(talkative))
    run.request("plain", *hooks, ca="local")
    run.request("text", "-P", SECRETS["PIN given as text"], "-L", challenge, *hooks, ca="scep")
    run.request("file", "-p", pin_file, "-l", challenge_file, ca="scep")
    run.request("wrapped", "-L", challenge, ca="wrapped")
    run.request("refused", "-L", guess, ca="scep", status=2)
    run.request("told", "-L", challenge, ca="talkative", status=None)
    run.request("told2", "-l", challenge_file, ca="talkative", status=None)
    places = ("-d", f"sql:{daemon.certs}/db", "-n", "nss", "-p", token)
    run.getcert("request", "-I", "nss", "-c", "local", *places, "-N", "CN=nss", "-w", "-v")
    by_mail = ("--notification-method", "mail", "--notification-destination", "root@example.org")
    run.request("mailed", *by_mail, ca="SelfSign")
    run.getcert("start-tracking", "-i", "text", "-P", SECRETS["wrong PIN"], "-v")
    run.getcert("rekey", "-i", "text", "-w", "-v", status=None)
    run.getcert("start-tracking", "-i", "text", "-P", SECRETS["PIN given as text"])
    for name in ("plain", "file", "nss"):
        run.getcert("rekey", "-i", name, "-w", "-v", status=None)


def look(run: Run) -> None:
    """Every command that shows something."""
    everything: Sequence[tuple[str, ...]] = (
        ("list", "-v"),
        ("list", "--output", "json"),
        ("list", "--output", "yaml"),
        ("list", "--table"),
        ("list-cas", "-v"),
        ("list-cas", "--output", "json"),
        ("simulate", "--until", "1y"),
    )
    for command in everything:
        run.getcert(*command, status=None)
    for name in ("text", "refused", "told2", "nss"):
        for verb in ("list", "show", "why", "history", "status"):
            run.getcert(verb, "-i", name, status=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The daemon lives twice: with logs as text, and with logs as JSON, on the state that the first life left."""
    assert os.geteuid() == 0, "run these tests as root"
    folder = Path(tempfile.mkdtemp(prefix="secrets-"))
    folder.chmod(0o755)
    readers = (PROJECT / "dbus" / "readers.conf.example").read_text()
    (folder / "readers.conf").write_text(readers.replace('"certmonger-readers"', f'"{READERS_GROUP}"'))
    include = f"<include>{folder}/readers.conf</include>\n</busconfig>"
    bus = Bus(folder, SYSTEM_BUS_CONFIGURATION.replace("</busconfig>", include))
    root = tmp_path_factory.mktemp("daemon")
    mail = secret_file(root, "password of the mail server")
    config = f"""[access]\nreader_group = {READERS_GROUP}\n[scep]\nchallenge_password_otp = no
[mail]\nsmtp_server = 127.0.0.1:9\nsmtp_user = u\nsmtp_password_file = {mail}\n"""
    daemon = DaemonUnderTest(root, config, system_bus_address=bus.address)
    under_way = Run(daemon, bus.address)
    depot = new_depot(tmp_path_factory.mktemp("scepserver"))
    server = running_scepserver(depot, f"-challenge={SECRETS['challenge password']}", "-allowrenew", "0")
    try:
        with server as scep, connect(bus.address, STRANGER) as stranger, connect(bus.address, READER) as reader:
            for listener in (stranger, reader):
                listener.add_match("type='signal'")
            for number, options in enumerate(((), ("--log-json",))):
                starter = root / f"start{number}"
                starter.write_text(TRACED.format(trace=root / f"trace{number}", program=BIN / "certmongerd"))
                starter.chmod(0o755)
                daemon.program = str(starter)
                daemon.options = ("-d", "15", "--metrics-textfile", str(root / "metrics.prom"), *options)
                daemon.start()
                if number == 0:
                    live(under_way, scep.url)
                else:
                    under_way.getcert("resubmit", "-i", "file", "-w", status=None)
                    under_way.getcert("resubmit", "-i", "told", "-w", status=None)
                under_way.overheard += [*hear(stranger), *hear(reader)]
                if number == 0:
                    daemon.stop()
            look(under_way)
        wait_until((root / "metrics.prom").exists)
        for path in (daemon.certs / "plain.key", *(root / "local").glob("*")):
            lines = path.read_text("latin-1").splitlines() if path.is_file() else []
            if "-----BEGIN PRIVATE KEY-----" in lines or "-----BEGIN RSA PRIVATE KEY-----" in lines:
                first = next(line for line in lines if len(line) >= SHORTEST_LINE and "-----" not in line)
                under_way.keys[f"key in {path.name}"] = lines[lines.index(first) + 1]
        yield under_way
    finally:
        daemon.close()
        bus.stop()
        shutil.rmtree(folder)


def test_the_life_had_all_that_is_looked_for(run: Run) -> None:
    """The other tests would find nothing in a life in which nothing happened."""
    states = {name: run.daemon.listing(name)["status"] for name in ("plain", "file", "wrapped", "nss", "refused")}
    assert states == dict.fromkeys(("plain", "file", "wrapped", "nss"), "MONITORING") | {"refused": "CA_REJECTED"}
    assert "key in plain.key" in run.keys
    for name, secret in SECRETS.items():
        assert run.found_in(f"{secret}") == {name}
        assert run.found_in(base64.encodebytes(b"12345" * 11 + secret.encode()).decode()) == {name}


def test_no_log_and_no_output_tells_a_secret(run: Run) -> None:
    log = run.daemon.log.read_text()
    assert "talkative: CERTMONGER_CSR=" in log  # what the helper printed is there, and yet:
    assert 'Request "plain" is in state MONITORING' in log
    assert run.found_in(log) == set()
    for output in run.outputs:
        assert run.found_in(output) == set(), output
    assert "PRIVATE KEY" not in log + "".join(run.outputs)


def test_no_program_gets_a_secret_as_argument_or_in_its_environment(run: Run) -> None:
    """But in the signing request, of which a challenge password is a part (RFC 2985, 5.4.1)."""
    requests = re.compile(r'"CERTMONGER_(?:CSR|SPKAC)=[^"]*"')
    executed = [line for trace in run.traces for line in trace.read_text().splitlines() if "execve(" in line]
    for program in ("forkserver", "nss.process", "/talkative", "/hook", "openssl"):
        assert any(program in line for line in executed), program
    in_requests: set[str] = set()
    for line in executed:
        in_requests |= run.found_in("".join(requests.findall(line)))
        assert run.found_in(requests.sub("", line)) == set(), line[:300]
        assert "PRIVATE KEY" not in line
    assert in_requests <= {"challenge password"}


def test_no_process_of_the_daemons_own_can_be_dumped(run: Run) -> None:
    interpreters, protected = set(), set()
    for trace in run.traces:
        for line in trace.read_text().splitlines():
            if re.search(r'execve\("[^"]*(python[0-9.]*|certmongerd)", .* = 0$', line):
                interpreters.add((trace, line.split()[0]))
            if "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE" in line:  # the result may be on a line of its own
                protected.add((trace, line.split()[0]))
    assert len(interpreters) >= 6  # two daemons, fork servers for the helpers, processes of the database
    assert interpreters <= protected
    assert run.daemon.process is not None
    limits = Path(f"/proc/{run.daemon.process.pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


def test_no_file_that_others_may_read_holds_a_secret(run: Run) -> None:
    tracing = {*run.traces}
    for path in run.daemon.root.rglob("*"):
        if path.is_file() and path not in tracing and path.stat().st_mode & 0o077:
            text = path.read_bytes().decode("latin-1")
            assert run.found_in(text) == set(), path
            assert "PRIVATE KEY" not in text, path
    for name in ("requests", "cas", "local"):
        for path in (run.daemon.root / name).iterdir():
            assert path.stat().st_mode & 0o077 == 0, path


def test_other_users_on_the_bus_learn_nothing(run: Run) -> None:
    for heard in run.overheard:
        assert REQUEST_INTERFACE not in heard
        assert run.found_in(heard) == set()
    for user in (STRANGER, READER):
        with connect(run.bus, user) as connection:
            for interface, method, signature, arguments in (
                ("org.freedesktop.DBus.Monitoring", "BecomeMonitor", "asu", ((), 0)),
                (DBUS_NAME, "AddMatch", "s", ("eavesdrop='true'",)),
            ):
                with pytest.raises(BusError) as refused:
                    connection.call(DBUS_NAME, DBUS_PATH, interface, method, signature, arguments)
                assert refused.value.name == ACCESS_DENIED


@pytest.mark.parametrize("name", ["key-pin", "template-challenge-password", "csr"])
def test_what_tells_a_secret_is_read_by_root_only(run: Run, name: str) -> None:
    with connect(run.bus) as root:
        (path,) = root.call(BUS_NAME, ROOT_PATH, ROOT_INTERFACE, "find_request_by_nickname", "s", ("text",))
        assert root.call(BUS_NAME, str(path), PROPERTIES_INTERFACE, "Get", "ss", (REQUEST_INTERFACE, name))
    for user in (STRANGER, READER):
        with connect(run.bus, user) as connection, pytest.raises(BusError) as refused:
            connection.call(BUS_NAME, str(path), PROPERTIES_INTERFACE, "Get", "ss", (REQUEST_INTERFACE, name))
        assert refused.value.name == ACCESS_DENIED


@pytest.mark.parametrize("method", ["get_key_pin", "get_csr_data"])
def test_methods_that_tell_a_secret_are_for_root_only(run: Run, method: str) -> None:
    with connect(run.bus) as root:
        (path,) = root.call(BUS_NAME, ROOT_PATH, ROOT_INTERFACE, "find_request_by_nickname", "s", ("text",))
        assert root.call(BUS_NAME, str(path), REQUEST_INTERFACE, method)
    for user in (STRANGER, READER):
        with connect(run.bus, user) as connection, pytest.raises(BusError) as refused:
            connection.call(BUS_NAME, str(path), REQUEST_INTERFACE, method)
        assert refused.value.name == ACCESS_DENIED


def test_a_reader_sees_everything_but_secrets(run: Run) -> None:
    with connect(run.bus, READER) as reader:
        (path,) = reader.call(BUS_NAME, ROOT_PATH, ROOT_INTERFACE, "find_request_by_nickname", "s", ("text",))
        answers = [
            reader.call(BUS_NAME, str(path), PROPERTIES_INTERFACE, "GetAll", "s", (REQUEST_INTERFACE,)),
            reader.call(BUS_NAME, str(path), PROPERTIES_INTERFACE, "getAll", "s", (REQUEST_INTERFACE,)),
        ]
    for answer in answers:
        assert "CN=text.example.org" in str(answer)
        assert run.found_in(str(answer)) == set()
    with connect(run.bus) as root:
        (everything,) = root.call(BUS_NAME, ROOT_PATH, OBJECT_MANAGER_INTERFACE, "GetManagedObjects")
    plain = {name: secret for name, secret in SECRETS.items() if secret in str(everything)}
    assert plain == {}
