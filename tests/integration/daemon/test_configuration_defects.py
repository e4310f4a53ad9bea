"""What certmonger does wrong in configuration and files, and this daemon must not.

Each such defect has a test. The others are: no rewriting of keys (`test_pem_files`, `test_file` of the key store),
half-written files (`test_pem_files`, `test_interrupted_saving`), `max_key_lifetime` and `key_type`
(`test_configuration`), two requests of one subject in an NSS database (`test_nss`), a second daemon (`test_bad_input`),
repeated sections and misplaced keys (`test_load`), few iterations (`test_keys` of pki).
"""

import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest, assert_pair

MakeDaemon = Callable[..., DaemonUnderTest]
NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.xfail(os.geteuid() != 0, reason="only root gives files away", strict=True)


def test_an_empty_key_file_that_a_failed_generation_left_blocks_nothing(daemon: DaemonUnderTest) -> None:
    (daemon.certs / "empty.key").touch()
    assert daemon.request("empty", "-G", "EC", "-g", "256", ca="SelfSign").returncode == 0
    assert_pair(daemon.certs / "empty.crt", daemon.certs / "empty.key")


def test_a_key_generation_that_fails_leaves_no_empty_file(daemon: DaemonUnderTest) -> None:
    assert daemon.request("none", "-p", str(daemon.root / "no.pin"), ca="SelfSign").returncode == 4
    assert not (daemon.certs / "none.key").exists()


@as_root
@pytest.mark.parametrize(
    ("owner", "ids"),
    [
        (f":{NOBODY.pw_gid}", (0, NOBODY.pw_gid)),
        (str(NOBODY.pw_uid), (NOBODY.pw_uid, NOBODY.pw_gid)),
        (f"{NOBODY.pw_uid}:0", (NOBODY.pw_uid, 0)),
        ("4711:4712", (4711, 4712)),
    ],
)
def test_groups_alone_and_numbers_are_owners_too(daemon: DaemonUnderTest, owner: str, ids: tuple[int, int]) -> None:
    name = f"owner-{owner.replace(':', '-')}"
    assert daemon.request(name, "-G", "EC", "-g", "256", "-o", owner, "-O", owner, ca="SelfSign").returncode == 0
    for suffix in ("key", "crt"):
        status = (daemon.certs / f"{name}.{suffix}").stat()
        assert (status.st_uid, status.st_gid) == ids


@as_root
def test_an_owner_that_does_not_exist_is_told_of(daemon: DaemonUnderTest) -> None:
    assert daemon.request("ghost", "-G", "EC", "-g", "256", "-o", "no-such-user", ca="SelfSign").returncode == 0
    assert 'The user "no-such-user" does not exist' in daemon.log.read_text()


def test_hooks_and_helpers_have_open_standard_descriptors_and_no_others(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    daemon.add_helper("looks", "ls -l /proc/self/fd >&2; echo no; exit 2")
    assert daemon.request("it", "-B", "/bin/sh -c 'ls -l /proc/self/fd >&2'", ca="SelfSign").returncode == 0
    assert daemon.request("other", ca="looks").returncode == 2
    log = daemon.log.read_text()
    for program in ("/bin/sh", f"{daemon.root}/looks.sh"):
        found = dict(re.findall(rf" {re.escape(program)}: .* (\d+) -> (\S+)$", log, re.MULTILINE))
        assert found["0"] == "/dev/null"
        # Of a shell without a terminal ls inherits what the shell keeps its script open with, and opens the folder.
        more = [target for fd, target in found.items() if fd not in ("0", "1", "2")]
        assert all(re.fullmatch(rf"/proc/\d+/fd|{re.escape(program)}", target) for target in more), more
        assert {"0", "1", "2"} <= found.keys()


def test_the_socket_is_removed_at_the_end(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    assert daemon.socket.is_socket()
    assert daemon.stop() == 0
    assert not daemon.socket.exists()


def test_at_the_default_level_an_enrolment_is_not_logged(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[defaults]\nnotification_method = none\n", "-d", "0")
    daemon.start()
    assert daemon.request("it", ca="SelfSign").returncode == 0
    assert daemon.stop() == 0
    assert daemon.log.read_text() == ""


@as_root
def test_files_that_were_there_keep_owner_and_mode(daemon: DaemonUnderTest) -> None:
    certificate = daemon.certs / "kept.crt"
    certificate.touch()
    certificate.chmod(0o644)
    os.chown(certificate, NOBODY.pw_uid, NOBODY.pw_gid)
    assert daemon.request("kept", "-G", "EC", "-g", "256", ca="SelfSign").returncode == 0
    kept = certificate.stat()
    assert (kept.st_mode & 0o777, kept.st_uid, kept.st_gid) == (0o644, NOBODY.pw_uid, NOBODY.pw_gid)
    assert Path(certificate).read_text().startswith("-----BEGIN CERTIFICATE-----")
