"""acme-submit as root's daemon starts it, on a host with the helpers' user: what it is then, and what stays root's."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from acme_client import signing_request
from acme_server import AcmeServer
from daemon_under_test import open_folders

from certmongerd.store.service_user import SERVICE_USER

UID = 61999
Submit = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.xfail(os.geteuid() != 0, reason="only root has something to give up", strict=True)


@pytest.fixture
def submit(tmp_path: Path, pebble: AcmeServer) -> Submit:
    """Runs acme-submit where the user exists: in a mount namespace with another list of users."""
    open_folders(tmp_path)
    users = tmp_path / "passwd"
    users.write_text(f"{Path('/etc/passwd').read_text()}{SERVICE_USER}:x:{UID}:{UID}::/:/usr/sbin/nologin\n")

    def run(*arguments: str, name: str) -> subprocess.CompletedProcess[str]:
        within = 'mount --bind "$0" /etc/passwd && exec "$@"'
        program = [sys.executable, "-I", "-m", "certmonger_helpers.acme_submit"]
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", within, str(users), *program, *pebble.options, *arguments],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "CERTMONGER_OPERATION": "SUBMIT",
                "CERTMONGER_CSR": signing_request(name),
                "CERTMONGER_LOCAL_CA_DIR": str(tmp_path / "local"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@contextmanager
def serving_files(folder: Path, port: int) -> Iterator[None]:
    """A web server on *port* with *folder* as its root."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_accounts_belong_to_the_helpers_user(submit: Submit, pebble: AcmeServer, tmp_path: Path) -> None:
    (tmp_path / "acme" / "orders").mkdir(parents=True)
    (tmp_path / "acme" / "of-root.json").touch()
    outside = tmp_path / "outside"
    outside.touch()
    (tmp_path / "acme" / "link").symlink_to(outside)
    done = submit("--http-listen", f"127.0.0.1:{pebble.http_port}", name="user.example.org")
    assert (done.returncode, "BEGIN CERTIFICATE" in done.stdout) == (0, True), done.stdout + done.stderr
    files = [tmp_path / "acme", *(tmp_path / "acme").rglob("*")]
    assert len(files) >= 4
    assert {path.lstat().st_uid for path in files} == {UID}
    assert outside.stat().st_uid == 0


def test_a_web_root_is_written_by_a_process_that_stays_root(submit: Submit, pebble: AcmeServer, tmp_path: Path) -> None:
    root = tmp_path / "htdocs"
    root.mkdir(mode=0o755)
    with serving_files(root, pebble.http_port):
        done = submit("--webroot", str(root), name="files.example.org")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = root / ".well-known" / "acme-challenge"
    assert folder.stat().st_uid == 0
    assert list(folder.iterdir()) == []


def test_a_program_for_dns_records_runs_as_root(submit: Submit, pebble: AcmeServer, tmp_path: Path) -> None:
    program = tmp_path / "dns-hook"
    program.write_text(f'#!/bin/sh\necho "$(id -u) $1 $2" >>{tmp_path}/seen\necho the zone is locked\nexit 1\n')
    program.chmod(0o755)
    done = submit("--dns-hook", shlex.quote(str(program)), name="locked.example.org")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the zone is locked" in done.stdout
    assert (tmp_path / "seen").read_text().splitlines() == [
        "0 present _acme-challenge.locked.example.org.",
        "0 cleanup _acme-challenge.locked.example.org.",
    ]
