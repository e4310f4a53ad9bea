"""getcert apply and certmonger.conf.d: a host's certificates as documents declare them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from daemon_under_test import BIN, DaemonUnderTest, wait_until

MakeDaemon = Callable[..., DaemonUnderTest]


def web(daemon: DaemonUnderTest, *lines: str) -> str:
    """A declared request."""
    own = ["id: web", "ca: local", f"certfile: {daemon.certs}/web.crt", f"keyfile: {daemon.certs}/web.key", *lines]
    return "requests:\n- " + "\n  ".join(own) + "\n"


def apply(daemon: DaemonUnderTest, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = daemon.root / "web.yaml"
    path.write_text(text)
    return daemon.getcert("apply", "-f", str(path), *options)


def drop_in(daemon: DaemonUnderTest, name: str) -> Path:
    directory = daemon.root / "config" / "certmonger.conf.d"
    directory.mkdir(exist_ok=True)
    return directory / name


def is_monitored(daemon: DaemonUnderTest, name: str) -> bool:
    return daemon.listing(name).get("status") == "MONITORING"


def names_in(path: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def test_a_file_is_applied_and_applied_again(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    first = web(daemon, "subject-name: CN=web", "dns: [a.example.org]", "key-type: EC")
    trial = apply(daemon, first, "--dry-run")
    assert (trial.returncode, trial.stdout) == (0, 'Request "web" would be added.\n')
    assert daemon.getcert("status", "-i", "web").returncode == 1
    done = apply(daemon, first)
    assert (done.returncode, done.stdout) == (0, 'Request "web" added.\n')
    certificate, key = daemon.certs / "web.crt", daemon.certs / "web.key"
    daemon.wait_for("web")
    key_content, certificate_content = key.read_bytes(), certificate.read_bytes()
    again = apply(daemon, first)
    assert (again.returncode, again.stdout) == (0, "Everything is as declared.\n")
    changed = apply(daemon, first.replace("a.example.org", "b.example.org"))
    assert changed.stdout == 'Request "web" changed (dns); a new certificate is asked for.\n'
    wait_until(lambda: is_monitored(daemon, "web") and certificate.read_bytes() != certificate_content)
    assert names_in(certificate) == ["b.example.org"]
    assert key.read_bytes() == key_content
    # What was added by a document is known as such after a restart.
    daemon.stop()
    daemon.start()
    pruned = apply(daemon, "requests: []\n", "--prune")
    assert pruned.stdout == 'Request "web" removed, it is no longer declared.\n'
    assert key.read_bytes() == key_content


def test_mistakes_are_told_with_file_and_line_and_by_the_exit_status(daemon: DaemonUnderTest) -> None:
    done = apply(daemon, web(daemon, "colour: red"))
    assert (done.returncode, done.stdout) == (
        1,
        f"{daemon.root}/web.yaml:6: colour is not a key that is known in a request\n",
    )
    assert daemon.getcert("apply", "-f", "/nonexistent.yaml").stdout == (
        "/nonexistent.yaml cannot be read: No such file or directory\n"
    )
    assert daemon.getcert("apply").returncode == 1
    binary = daemon.root / "binary.yaml"
    binary.write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in daemon.getcert("apply", "-f", str(binary)).stdout


def test_drop_ins_are_applied_at_the_start_and_on_hangup(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[declarations]\nprune = yes\n")
    (daemon.root / "issue.sh").write_text("#!/bin/sh\nexit 6\n")
    (daemon.root / "issue.sh").chmod(0o755)
    cas = drop_in(daemon, "10-cas.yaml")
    cas.write_text(f"cas:\n- name: corp\n  command: {daemon.root}/issue.sh\n")
    requests = drop_in(daemon, "20-web.yaml")
    requests.write_text(web(daemon))
    drop_in(daemon, "30-not-yaml.txt").write_text("colour: red")
    daemon.start()
    daemon.wait_for("web")
    assert "CA 'corp'" in daemon.getcert("list-cas").stdout
    before = (daemon.certs / "web.crt").read_bytes()
    daemon.reload()
    assert (daemon.certs / "web.crt").read_bytes() == before
    requests.write_text(web(daemon, "dns: [new.example.org]"))
    daemon.reload()
    wait_until(lambda: is_monitored(daemon, "web") and names_in(daemon.certs / "web.crt") == ["new.example.org"])
    requests.unlink()
    cas.unlink()
    daemon.reload()
    assert daemon.getcert("status", "-i", "web").returncode == 1
    assert "CA 'corp'" not in daemon.getcert("list-cas").stdout


def test_nothing_is_pruned_without_being_asked_for(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    path = drop_in(daemon, "web.yaml")
    path.write_text(web(daemon))
    daemon.start()
    daemon.wait_for("web")
    path.unlink()
    daemon.reload()
    assert 'Request "web" is no longer declared; it is still tracked.' in daemon.log.read_text()
    assert is_monitored(daemon, "web")


def test_mistakes_in_drop_ins_keep_all_of_them_from_being_applied_and_nothing_else(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[declarations]\nprune = yes\n")
    path = drop_in(daemon, "web.yaml")
    path.write_text(web(daemon))
    daemon.start()
    daemon.wait_for("web")
    bad = drop_in(daemon, "bad.yaml")
    bad.write_text("requests:\n- id: [\n")
    unsafe = drop_in(daemon, "unsafe.yaml")
    unsafe.write_text("requests: []\n")
    unsafe.chmod(0o666)
    drop_in(daemon, "directory.yaml").mkdir()
    drop_in(daemon, "latin.yaml").write_bytes(b"requests: \xe4\n")
    path.unlink()
    checked = subprocess.run(
        [str(BIN / "certmongerd"), "--check-config"],
        env=daemon.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    found = [
        f"{bad}:3: expected the node content",
        f"{bad.parent}/directory.yaml: cannot be read: Is a directory",
        f"{bad.parent}/latin.yaml: is not UTF-8 text",
        f"{unsafe}: cannot be read: Others than its owner may write it",
    ]
    assert checked.returncode == 1
    lines = checked.stdout.splitlines()
    assert len(lines) == len(found)
    assert all(line.startswith(expected) for line, expected in zip(lines, found, strict=True)), lines
    daemon.reload()
    log = daemon.log.read_text()
    assert all(expected in log for expected in found)
    assert is_monitored(daemon, "web"), "what was declared before is not pruned while there are mistakes"


def test_a_request_of_a_drop_in_is_not_changed_by_apply(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    drop_in(daemon, "web.yaml").write_text(web(daemon))
    daemon.start()
    done = apply(daemon, web(daemon, "dns: [a]"))
    assert done.returncode == 1
    assert "It is declared in certmonger.conf.d, and has to be changed there" in done.stdout


def test_a_hook_of_a_drop_in_runs_as_the_daemons_user(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    trace = daemon.root / "trace"
    hook = daemon.root / "hook.sh"
    hook.write_text(f"#!/bin/sh\nid -u >> {trace}\n")
    hook.chmod(0o755)
    drop_in(daemon, "web.yaml").write_text(web(daemon, f"after-command: {hook}"))
    daemon.start()
    daemon.wait_for("web")
    assert trace.read_text() == f"{daemon.root.stat().st_uid}\n"


def test_no_yaml_parser_is_loaded_where_nothing_is_declared() -> None:
    program = (
        "import sys, certmongerd.app, certmongerd.busapi.objects, getcert.commands.apply; print('yaml' in sys.modules)"
    )
    done = subprocess.run([str(BIN / "python"), "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
