"""The service as systemd runs it: the daemon in its sandbox, what it starts for others outside."""

from pathlib import Path

import pytest
from daemon_under_test import wait_until
from systemd_host import BIN, PROJECT, SystemdHost

NAMESPACES = "for n in mnt net; do readlink /proc/self/ns/$n; done"


def request(host: SystemdHost, name: str, *arguments: str, folder: str = "/etc/ssl", ca: str = "local") -> str:
    """Request a certificate and wait for it; what getcert printed."""
    files = ("-f", f"{folder}/{name}.crt", "-k", f"{folder}/{name}.key")
    done = host.getcert(
        "request", "-I", name, "-c", ca, *files, "-N", f"CN={name}", "-w", "-v", *arguments, check=False
    )
    return done.stdout + done.stderr


def status_of(host: SystemdHost, name: str) -> str:
    shown = host.getcert("list", "-i", name).stdout
    return shown.partition("status: ")[2].partition("\n")[0]


def units_of_others(host: SystemdHost) -> list[str]:
    listed = host.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "certmonger-run-*").stdout
    return [line.split()[0] for line in listed.splitlines()]


def wait_for_file(host: SystemdHost, path: str) -> None:
    wait_until(lambda: host.run("test", "-s", path, check=False).returncode == 0)


@pytest.fixture(scope="module", autouse=True)
def limit(host: SystemdHost) -> None:
    """Commands may take a few seconds; helpers are told a proxy with a password."""
    host.write("/etc/certmonger/certmonger.conf", "[helpers]\nhook_timeout = 4s\n")
    proxies = "http_proxy=http://user:proxy-secret@proxy.example.org\nno_proxy=127.0.0.1\n"
    host.write("/etc/default/certmonger", f"OPTS=-d3\n{proxies}")
    host.run("systemctl", "restart", "certmongerd.service")


@pytest.mark.parametrize("folder", ["/etc/ssl/web", "/srv/web", "/home/web", "/root/web", "/tmp/web", "/usr/local/web"])
def test_keys_go_wherever_administrators_want_them_and_belong_to_whom_they_say(host: SystemdHost, folder: str) -> None:
    host.run("install", "-d", folder)
    name = folder.replace("/", "-").strip("-")
    owner = ("-o", "daemon:daemon", "-m", "0640", "-O", "nobody", "-M", "0644")
    assert "State MONITORING" in request(host, name, *owner, folder=folder)
    shown = host.run("stat", "-c", "%U %G %a", f"{folder}/{name}.key", f"{folder}/{name}.crt").stdout.splitlines()
    assert shown == ["daemon daemon 640", "nobody nogroup 644"]


def test_programs_of_the_system_are_closed_to_the_daemon_until_a_drop_in_says_otherwise(host: SystemdHost) -> None:
    host.run("install", "-d", "/usr/share/app")
    assert "could not be accessed due to insufficient permissions" in request(host, "app", folder="/usr/share/app")
    drop_in = "[Service]\nReadWritePaths=/usr/share/app\n"
    host.write("/etc/systemd/system/certmongerd.service.d/app.conf", drop_in)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "certmongerd.service")
    assert "State MONITORING" in request(host, "app", folder="/usr/share/app")


def test_the_daemon_has_only_what_its_unit_leaves_it(host: SystemdHost) -> None:
    pid = host.run("systemctl", "show", "--property=MainPID", "--value", "certmongerd.service").stdout.strip()
    status = dict(line.split(":\t", 1) for line in host.read(f"/proc/{pid}/status").splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    unit = (PROJECT / "systemd" / "certmongerd.service").read_text()
    (bounds,) = (line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet="))
    wanted = {name.lower() for name in bounds.partition("=")[2].split()}
    decoded = host.run("capsh", f"--decode={status['CapBnd']}").stdout.strip().partition("=")[2]
    assert set(decoded.split(",")) == wanted
    inside = ("nsenter", f"--target={pid}", "--mount")
    assert host.run(*inside, "test", "-e", "/dev/shm", check=False).returncode == 0
    assert host.run(*inside, "touch", "/usr/bin/x", check=False).returncode != 0


def test_a_hook_runs_as_root_without_the_daemons_limits(host: SystemdHost) -> None:
    script = f"{NAMESPACES}; grep -E '^(CapEff|NoNewPrivs|Seccomp|SigIgn):' /proc/self/status; umask"
    host.write("/usr/local/bin/limits", f"#!/bin/sh\n{{ {script}; }} >/usr/share/seen\n", 0o755)
    request(host, "limits", "-C", "/usr/local/bin/limits")
    host.run("sh", "-c", f"{{ {script}; }} >/usr/share/wanted")
    seen = host.read("/usr/share/seen").splitlines()
    assert seen[:2] == host.read("/usr/share/wanted").splitlines()[:2]
    assert "NoNewPrivs:\t0" in seen
    (ignored,) = (int(line.split()[1], 16) for line in seen if line.startswith("SigIgn:"))
    assert not ignored & 0x7FFFFFFF  # what is above is the C library's, and comes from whoever started the tests
    assert seen[-1] == "0077"


def test_a_hook_gets_the_environment_that_was_made_for_it(host: SystemdHost) -> None:
    host.write("/usr/local/bin/environment", "#!/bin/sh\nenv -0 >/etc/seen\n", 0o755)
    request(host, "environment", "-C", "/usr/local/bin/environment")
    seen = dict(entry.split("=", 1) for entry in host.read("/etc/seen").split("\0") if entry)
    assert {name: value for name, value in seen.items() if name not in ("PWD", "OLDPWD", "SHLVL", "_")} == {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": "/run/certmonger",
        "SHELL": "/bin/sh",
        "TERM": "dumb",
        "TMPDIR": "/run/certmonger",
        "CERTMONGER_CONFIG_DIR": "/etc/certmonger",
        "CERTMONGER_LOCAL_CA_DIR": "/var/lib/certmonger/local",
        "CERTMONGER_HOOK": "post-save",
        "CERTMONGER_REQUEST_NICKNAME": "environment",
        "CERTMONGER_CA_NICKNAME": "local",
        "CERTMONGER_CERT_STORAGE": "FILE",
        "CERTMONGER_KEY_STORAGE": "FILE",
        "CERTMONGER_CERT_LOCATION": "/etc/ssl/environment.crt",
        "CERTMONGER_KEY_LOCATION": "/etc/ssl/environment.key",
        "http_proxy": "http://user:proxy-secret@proxy.example.org",
        "no_proxy": "127.0.0.1",
        **({"LANG": seen["LANG"]} if "LANG" in seen else {}),
    }


def test_nobody_replaces_anything_in_a_hooks_words(host: SystemdHost) -> None:
    script = 'printf "%s|" "$@" >/etc/seen'
    request(host, "words", "-C", f"/bin/sh -c '{script}' sh '$HOME' '${{HOME}}x' '%n' 'a$$b' ''")
    assert host.read("/etc/seen") == "$HOME|${HOME}x|%n|a$$b||"


def test_nobody_else_sees_the_environment(host: SystemdHost) -> None:
    host.write("/usr/local/bin/unseen", "#!/bin/sh\necho there >/etc/there\nsleep 3\n", 0o755)
    host.run("rm", "-f", "/etc/there")
    files = ("-f", "/etc/ssl/unseen.crt", "-k", "/etc/ssl/unseen.key")
    host.getcert("request", "-I", "unseen", "-c", "local", *files, "-N", "CN=unseen", "-C", "/usr/local/bin/unseen")
    wait_for_file(host, "/etc/there")
    (unit,) = units_of_others(host)
    shown = host.run("systemctl", "show", unit, uid=65534).stdout
    assert "/usr/local/bin/unseen" in shown
    assert "proxy-secret" not in shown
    assert "proxy-secret" not in host.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    wait_until(lambda: status_of(host, "unseen") == "MONITORING")


def test_a_hooks_failure_and_what_it_said_are_told(host: SystemdHost) -> None:
    request(host, "failing", "-C", "/bin/sh -c 'echo cannot reload >&2; exit 7'")
    assert '"/bin/sh" ended with status 7: cannot reload' in host.getcert("history", "-i", "failing").stdout
    assert "/bin/sh: cannot reload" in host.journal()


def test_a_hook_that_takes_too_long_is_ended_with_all_it_started(host: SystemdHost) -> None:
    host.write("/usr/local/bin/endless", "#!/bin/sh\nsetsid sleep 12345 &\nsleep 12345\n", 0o755)
    request(host, "endless", "-C", "/usr/local/bin/endless")
    assert "was stopped after 4 seconds, its time limit" in host.getcert("history", "-i", "endless").stdout
    assert host.run("pgrep", "-f", "sleep 12345", check=False).stdout == ""
    assert units_of_others(host) == []


def test_what_a_hook_left_behind_stays(host: SystemdHost) -> None:
    host.write("/usr/local/bin/starter", "#!/bin/sh\nsetsid sleep 54321 >/dev/null 2>&1 &\n", 0o755)
    request(host, "starter", "-C", "/usr/local/bin/starter")
    assert status_of(host, "starter") == "MONITORING"
    assert host.run("pkill", "-f", "sleep 54321", check=False).returncode == 0


def test_a_hook_ends_with_the_daemon_and_is_run_again_after_its_start(host: SystemdHost) -> None:
    host.write("/usr/local/bin/again", "#!/bin/sh\necho $$ >>/etc/runs\n[ -e /etc/quick ] || sleep 3.99\n", 0o755)
    files = ("-f", "/etc/ssl/again.crt", "-k", "/etc/ssl/again.key")
    host.getcert("request", "-I", "again", "-c", "local", *files, "-N", "CN=again", "-C", "/usr/local/bin/again")
    wait_for_file(host, "/etc/runs")
    host.run("systemctl", "stop", "certmongerd.service")
    assert units_of_others(host) == []
    host.write("/etc/quick", "")
    host.run("systemctl", "start", "certmongerd.service")
    wait_until(lambda: status_of(host, "again") == "MONITORING")
    assert len(host.read("/etc/runs").split()) == 2


def test_the_daemons_end_is_no_trouble_with_the_bus(host: SystemdHost) -> None:
    before = host.journal()
    host.run("systemctl", "restart", "certmongerd.service")
    assert "message bus was lost" not in host.journal().removeprefix(before)


def test_other_peoples_helpers_run_as_root_outside_and_bundled_ones_inside(host: SystemdHost) -> None:
    script = (
        'case "$CERTMONGER_OPERATION" in SUBMIT) ;; *) exit 6 ;; esac\n'
        "grep NoNewPrivs: /proc/self/status >/usr/share/helper\necho not today\nexit 2\n"
    )
    host.write("/usr/local/bin/other-submit", f"#!/bin/sh\n{script}", 0o755)
    host.getcert("add-ca", "-c", "other", "-e", "/usr/local/bin/other-submit")
    assert "CA_REJECTED" in request(host, "other", ca="other")
    assert "not today" in host.getcert("list", "-i", "other").stdout
    assert host.read("/usr/share/helper") == "NoNewPrivs:\t0\n"


def temporary_directories(host: SystemdHost) -> set[str]:
    """Those of helpers' runs."""
    return {name for name in host.run("ls", "/run/certmonger").stdout.split() if name.startswith("helper-")}


LISTENER = """
import socket
server = socket.create_server(("127.0.0.1", 8099))
while True:
    connection, (_, port, *_) = server.accept()
    for line in open("/proc/net/tcp").readlines()[1:]:
        _, local, _, _, _, _, _, uid, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port:
            with open("/srv/uids", "a") as log:
                print(uid, file=log)
    connection.close()
"""


def test_bundled_helpers_become_their_user_within_the_sandbox(host: SystemdHost) -> None:
    host.write("/srv/listener.py", LISTENER)
    host.run("systemd-run", "--unit=listener", BIN / "python", "-I", "/srv/listener.py")
    acme = "acme-submit -u http://127.0.0.1:8099/ --agree-tos"
    folder = host.run(BIN / "certmongerd", "--helper-dir").stdout.strip()
    host.run("rm", "-rf", "/var/lib/certmonger/acme")
    before = temporary_directories(host)  # of a daemon that was ended before it could remove them
    host.getcert("add-ca", "-c", "watched", "-e", f"{folder}/{acme}")
    wait_for_file(host, "/srv/uids")  # a question about the CA itself
    assert "CA_UNREACHABLE" in request(host, "watched", ca="watched")
    assert "cannot be reached" in host.getcert("list", "-i", "watched").stdout
    uid = host.run("id", "-u", "certmonger-helper").stdout.strip()
    assert set(host.read("/srv/uids").split()) == {uid}
    assert host.run("stat", "-c", "%U %a", "/var/lib/certmonger/acme").stdout == "certmonger-helper 700\n"
    wait_until(lambda: temporary_directories(host) <= before)


def test_the_unit_and_the_drop_in_for_tokens_are_what_systemd_understands(host: SystemdHost) -> None:
    example = PROJECT / "systemd" / "certmongerd-tpm.conf"
    host.write("/etc/systemd/system/certmongerd.service.d/tpm.conf", Path(example).read_text())
    checked = host.run("systemd-analyze", "verify", "/etc/systemd/system/certmongerd.service")
    assert checked.stderr == ""


def test_a_pin_can_be_a_credential_of_the_unit(host: SystemdHost) -> None:
    host.write("/etc/web-pin", "pin of the unit\n", 0o600)
    host.write("/etc/systemd/system/certmongerd.service.d/pin.conf", "[Service]\nLoadCredential=web-pin:/etc/web-pin\n")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "certmongerd.service")
    assert "State MONITORING" in request(host, "pin", "-p", "credential:web-pin")
    host.run("openssl", "pkey", "-in", "/etc/ssl/pin.key", "-passin", "pass:pin of the unit", "-noout")
