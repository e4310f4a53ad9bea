"""What a bundled helper has left when it speaks to a network, tried from inside of one."""

import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from daemon_under_test import open_folders
from local_ca import CSR

from certmongerd.installation import helper_directory
from certmongerd.runner.process import Launcher
from certmongerd.store.service_user import service_user

as_root = pytest.mark.xfail(os.geteuid() != 0, reason="only root has something to give up", strict=True)

INTRUDER = '''
"""A helper that was taken over by its server."""

import ctypes, json, os, resource, sys
from certmonger_helpers.protocol import Helper, Operation, Reply, run
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import Limits, run_with_client

def attempt(action):
    try:
        action()
    except OSError as exc:
        return type(exc).__name__
    return "done"

def trace(pid):
    if ctypes.CDLL(None, use_errno=True).ptrace(16, pid, 0, 0):
        raise OSError(ctypes.get_errno(), "ptrace")

def become_root():
    os.setresuid(0, 0, 0)

async def intrude(client):
    folder, victim = os.environ["FOLDER"], int(os.environ["VICTIM"])
    status = {line.partition(":")[0]: line.partition(":")[2].strip() for line in open("/proc/self/status")}
    open(os.environ["TMPDIR"] + "/left behind", "w").close()
    return {
        "key": attempt(lambda: open(folder + "/web.key").read()),
        "state": attempt(lambda: open(folder + "/requests/new", "w")),
        "memory": attempt(lambda: open(f"/proc/{victim}/mem", "rb")),
        "ptrace": attempt(lambda: trace(victim)),
        "signal": attempt(lambda: os.kill(victim, 0)),
        "root": attempt(become_root),
        "shadow": attempt(lambda: open("/etc/shadow").read()),
        "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
        "no new privileges": status["NoNewPrivs"],
        "ids": [*os.getresuid(), *os.getresgid()],
        "groups": os.getgroups(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "temporary": os.environ["TMPDIR"],
    }

def submit(given, options):
    with open(os.environ["FOLDER"] + "/web.key") as key:  # what an option names is read before
        key.read()
    found = run_with_client(intrude, url="http://localhost", tls=TlsSettings(), limits=Limits())
    return Reply(output=json.dumps(found))

HELPER = Helper(program="intruder", product="intruder", answers={Operation.SUBMIT: submit})

def main(argv):
    return run(HELPER, argv)
'''


@pytest.fixture
async def real_launcher() -> AsyncIterator[Launcher]:
    launcher = Launcher(helper_directory())
    yield launcher
    await launcher.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A key and a state directory as the daemon has them, where others may pass."""
    (tmp_path / "web.key").write_text("private")
    (tmp_path / "web.key").chmod(0o600)
    (tmp_path / "requests").mkdir(mode=0o700)
    (tmp_path / "tmp").mkdir()
    open_folders(tmp_path / "tmp")
    return tmp_path


@as_root
async def test_a_helper_that_is_taken_over_finds_nothing(launcher: Launcher, helper_dir: Path, folder: Path) -> None:
    (helper_dir.parent / "intruder.py").write_text(INTRUDER)
    (helper_dir / "intruder").write_text("#!/bin/sh\nexit 99\n")
    (helper_dir / "intruder").chmod(0o755)
    env = {
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(folder / "tmp"),
        "FOLDER": str(folder),
        "VICTIM": str(os.getpid()),
    }
    run = await launcher.run([str(helper_dir / "intruder")], env=env, timeout_s=60)
    assert run.exit_status == 0, (run.stdout, run.stderr_tail)
    found = json.loads(run.stdout)
    user = service_user()
    assert user is not None
    refused = "PermissionError"
    assert {name: found[name] for name in ("key", "state", "memory", "ptrace", "signal", "root", "shadow")} == {
        "key": refused,
        "state": refused,
        "memory": refused,
        "ptrace": refused,
        "signal": refused,
        "root": refused,
        "shadow": refused,
    }
    assert {int(value, 16) for value in found["capabilities"]} == {0}
    assert found["no new privileges"] == "1"
    assert found["ids"] == [user.pw_uid] * 3 + [user.pw_gid] * 3
    assert found["groups"] == []
    assert found["core"] == [0, 0]
    assert Path(found["temporary"]).parent == folder / "tmp"
    assert list((folder / "tmp").iterdir()) == []
    assert list((folder / "requests").iterdir()) == []


class Watcher:
    """Listens, notes which user each connection comes from, and says nothing."""

    def __init__(self) -> None:
        self.uids: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            connection, (_, port, *_) = self._listener.accept()
            with connection:
                if port == self._own_port:
                    return
                self.uids.append(self._uid_of(port))

    _own_port = -1

    @staticmethod
    def _uid_of(port: int) -> int:
        """Of the connection from *port*: the kernel's own record."""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, _, _, _, _, uid, *_ = line.split()
            if int(local.rpartition(":")[2], 16) == port:
                return int(uid)
        raise AssertionError("there is no such connection")

    def close(self) -> None:
        with socket.socket() as last:
            last.bind(("127.0.0.1", 0))
            self._own_port = last.getsockname()[1]
            last.connect(("127.0.0.1", self.port))
            self._thread.join()
        self._listener.close()


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watcher = Watcher()
    yield watcher
    watcher.close()


@as_root
@pytest.mark.parametrize(
    ("helper", "operation", "arguments"),
    [
        ("scep-submit", "FETCH-SCEP-CA-CAPS", ["-u", "{url}"]),
        ("dogtag-submit", "GET-SUPPORTED-TEMPLATES", ["-E", "{url}"]),
        ("acme-submit", "GET-SUPPORTED-TEMPLATES", ["-u", "{url}"]),
        ("ipa-submit", "SUBMIT", ["-J", "{secure_url}", "-P", "HTTP/www@X", "-u", "admin", "-w", "{folder}/web.key"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_no_helper_speaks_to_the_network_as_root(
    real_launcher: Launcher, watcher: Watcher, folder: Path, helper: str, operation: str, arguments: list[str]
) -> None:
    server = f"127.0.0.1:{watcher.port}/"
    words = [word.format(url=f"http://{server}", secure_url=f"https://{server}", folder=folder) for word in arguments]
    env = {
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(folder / "tmp"),
        "CERTMONGER_OPERATION": operation,
        "CERTMONGER_CSR": CSR,
    }
    run = await real_launcher.run([f"{helper_directory()}/{helper}", *words], env=env, timeout_s=120)
    user = service_user()
    assert user is not None
    assert run.exit_status == 3, run.stdout
    assert b"Internal error" not in run.stdout
    assert watcher.uids
    assert set(watcher.uids) == {user.pw_uid}
