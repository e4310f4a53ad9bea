"""Commands before and after saving: as whom, with what environment, for how long, and what is told of them."""

import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest, open_folders, wait_until

from certmongerd.api import REQUEST_INTERFACE
from certmongerd.busapi.blocking import BlockingConnection

MakeDaemon = Callable[..., DaemonUnderTest]
NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.xfail(os.geteuid() != 0, reason="only root can become somebody else", strict=True)


def make_hook(daemon: DaemonUnderTest, script: str) -> Path:
    """A shell script that anybody can read and run."""
    path = daemon.root / "hook.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def environment_in(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_a_hook_gets_the_common_environment_and_what_is_saved(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start({"SECRET": "1", "LC_ALL": "C", "https_proxy": "http://proxy.example.org"})
    hook = make_hook(daemon, f'env > {daemon.root}/"$1".env; pwd > {daemon.root}/pwd; umask > {daemon.root}/umask')
    assert daemon.request("it", "-B", f"{hook} before", "-C", f"{hook} after", ca="SelfSign").returncode == 0
    found = environment_in(daemon.root / "before.env")
    assert found.pop("CERTMONGER_PVT_ADDRESS").startswith(f"unix:path={daemon.socket},guid=")
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # the shell's own
        found.pop(name, None)
    assert found == {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": "/run/certmonger",
        "SHELL": "/bin/sh",
        "TERM": "dumb",
        "TMPDIR": str(daemon.root / "tmp"),
        "LC_ALL": "C",
        "https_proxy": "http://proxy.example.org",
        "CERTMONGER_CONFIG_DIR": str(daemon.root / "config"),
        "CERTMONGER_LOCAL_CA_DIR": str(daemon.root / "local"),
        "CERTMONGER_HOOK": "pre-save",
        "CERTMONGER_REQUEST_NICKNAME": "it",
        "CERTMONGER_CA_NICKNAME": "SelfSign",
        "CERTMONGER_CERT_STORAGE": "FILE",
        "CERTMONGER_CERT_LOCATION": str(daemon.certs / "it.crt"),
        "CERTMONGER_KEY_STORAGE": "FILE",
        "CERTMONGER_KEY_LOCATION": str(daemon.certs / "it.key"),
    }
    assert environment_in(daemon.root / "after.env")["CERTMONGER_HOOK"] == "post-save"
    assert (daemon.root / "umask").read_text() == "0077\n"
    assert (daemon.root / "pwd").read_text() == "/\n"


@as_root
def test_a_hook_runs_as_the_user_who_set_it(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    result = daemon.root / "result"
    hook = make_hook(daemon, f"id -u >> {result}; id -G >> {result}; ls {daemon.certs} >> {result} 2>&1; true")
    result.touch()
    assert daemon.request("it", "-C", str(hook), ca="SelfSign").returncode == 0
    assert result.read_text().splitlines()[0] == "0"
    # Only root talks to this daemon; another user's command comes with state that another daemon wrote.
    assert daemon.stop() == 0
    (state,) = (daemon.root / "requests").glob("2*")
    state.write_text(state.read_text().replace("post_certsave_uid=0", f"post_certsave_uid={NOBODY.pw_uid}"))
    open_folders(daemon.root)
    daemon.certs.chmod(0o700)
    result.write_text("")
    result.chmod(0o666)
    daemon.start()
    assert daemon.getcert("resubmit", "-i", "it", "-w").returncode == 0
    uid, groups, listing = result.read_text().splitlines()
    assert uid == str(NOBODY.pw_uid)
    assert groups.split() == [str(group) for group in os.getgrouplist("nobody", NOBODY.pw_gid)]
    assert "Permission denied" in listing


def test_a_hook_that_takes_too_long_is_stopped_and_what_it_said_is_told(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[helpers]\nhook_timeout = 1s\n")
    daemon.start()
    hook = make_hook(daemon, f"echo waiting for the service; echo $$ > {daemon.root}/pid; exec sleep 1000")
    daemon.request("it", "-B", str(hook), "--wait-timeout", "1", ca="SelfSign")
    wait_until(lambda: "its time limit" in daemon.log.read_text(), daemon.log)
    pid = (daemon.root / "pid").read_text().strip()
    assert not Path(f"/proc/{pid}").exists()
    log = daemon.log.read_text()
    assert re.search(
        r'Request "it": .*hook\.sh" was stopped after 1 seconds, its time limit: waiting for the serv', log
    )


def test_what_a_failing_hook_printed_is_told(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    hook = make_hook(daemon, "echo cannot; echo reload >&2; exit 3")
    daemon.request("it", "-C", str(hook), "--wait-timeout", "1", ca="SelfSign")
    wait_until(lambda: "ended with status 3" in daemon.log.read_text(), daemon.log)
    log = daemon.log.read_text()
    assert f"{hook}: cannot" in log
    assert f'Request "it": post-save command: "{hook}" ended with status 3: cannot / reload' in log


def test_a_saved_certificate_is_announced_before_the_hook_after_it_runs(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    with BlockingConnection.connect(f"unix:path={daemon.socket}") as connection:
        connection.add_match("type='signal'")
        assert daemon.request("it", ca="SelfSign").returncode == 0
        assert daemon.getcert("resubmit", "-i", "it", "-w").returncode == 0
        saved = 0
        while saved < 2:
            signal = connection.next_signal(30)
            assert signal is not None
            if (signal.interface, signal.member) == (REQUEST_INTERFACE, "SavedCertificate"):
                assert (signal.signature, signal.path) == ("", "/org/fedorahosted/certmonger/requests/Request1")
                saved += 1


def test_a_cas_hooks_run_when_its_certificates_are_saved(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    hook = make_hook(daemon, f'env | grep ^CERTMONGER_ > {daemon.root}/"$1".env')
    helper = daemon.root / "helper.sh"
    ca_file = daemon.certs / "ca.pem"
    daemon.start()
    assert daemon.request("it", ca="SelfSign").returncode == 0
    root = (daemon.certs / "it.crt").read_text()
    helper.write_text(f"#!/bin/sh\n[ $CERTMONGER_OPERATION = FETCH-ROOTS ] || exit 6\necho root\necho '{root}'\n")
    helper.chmod(0o755)
    declared = daemon.root / "ca.yaml"
    declared.write_text(
        f"cas:\n- name: corp\n  command: {helper}\n  ca-file: {ca_file}\n"
        f"  before-command: {hook} before\n  after-command: {hook} after\n"
    )
    done = daemon.getcert("apply", "-f", str(declared))
    assert done.returncode == 0, done.stdout
    after = daemon.root / "after.env"
    wait_until(after.exists)
    wait_until(lambda: "CERTMONGER_HOOK" in after.read_text())
    for moment, value in (("before", "pre-save"), ("after", "post-save")):
        found = environment_in(daemon.root / f"{moment}.env")
        assert found["CERTMONGER_HOOK"] == value
        assert found["CERTMONGER_CA_NICKNAME"] == "corp"
        assert "CERTMONGER_REQUEST_NICKNAME" not in found
    assert ca_file.read_text().strip() == root.strip()


def test_a_failing_command_of_a_ca_shows_until_it_works(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    assert daemon.request("it", ca="SelfSign").returncode == 0
    root = (daemon.certs / "it.crt").read_text()
    hook, works = make_hook(daemon, f"echo no such service; [ -e {daemon.root}/works ]"), daemon.root / "works"
    helper, ca_file = daemon.root / "helper.sh", daemon.certs / "ca.pem"
    helper.write_text(f"#!/bin/sh\n[ $CERTMONGER_OPERATION = FETCH-ROOTS ] || exit 6\necho root\necho '{root}'\n")
    helper.chmod(0o755)
    declared = daemon.root / "ca.yaml"
    declared.write_text(f"cas:\n- name: corp\n  command: {helper}\n  ca-file: {ca_file}\n  after-command: {hook}\n")
    assert daemon.getcert("apply", "-f", str(declared)).returncode == 0

    def shown() -> str:
        return daemon.getcert("list-cas", "-v", "-c", "corp").stdout

    told = f'ca-error: The post-save command failed. "{hook}" ended with status 1: no such service'
    wait_until(lambda: told in shown(), daemon.log)
    assert ca_file.read_text().strip() == root.strip()
    daemon.stop()
    daemon.start()
    wait_until(lambda: told in shown(), daemon.log)  # it is not forgotten that this has to be done
    works.touch()
    assert daemon.getcert("refresh-ca", "-c", "corp").returncode == 0
    wait_until(lambda: "ca-error" not in shown(), daemon.log)


def test_commands_of_different_requests_exclude_one_another_from_the_first_to_the_last(make_daemon: MakeDaemon) -> None:
    """One that stops a service must not meet one that starts it."""
    daemon = make_daemon()
    daemon.start()
    happened = daemon.root / "happened"
    hook = make_hook(daemon, f'echo "$1 $CERTMONGER_REQUEST_NICKNAME" >> {happened}; sleep 0.1')
    names = [f"it{number}" for number in range(4)]
    for name in names:
        places = ("-f", daemon.certs / f"{name}.crt", "-k", daemon.certs / f"{name}.key")
        commands = ("-B", f"{hook} stop", "-C", f"{hook} start")
        asked = daemon.getcert("request", "-I", name, "-c", "SelfSign", "-G", "EC", *places, *commands)
        assert asked.returncode == 0, asked.stdout
    for name in names:
        daemon.wait_for(name)
    lines = happened.read_text().splitlines()
    order = [line.split()[1] for line in lines[::2]]
    assert sorted(order) == names
    assert lines == [f"{verb} {name}" for name in order for verb in ("stop", "start")]
