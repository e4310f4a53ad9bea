"""What is wrong is refused or reported clearly; nothing is lost or half done."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest

SHORT_LIMITS = "[helpers]\nsubmit_timeout = 1s\n"


def certificate_files(daemon: DaemonUnderTest) -> set[str]:
    return {path.name for path in daemon.certs.iterdir()}


def test_an_unknown_ca_is_refused(daemon: DaemonUnderTest) -> None:
    done = daemon.request("unknown-ca", ca="nosuch")
    assert done.returncode == 1
    assert done.stdout == 'No CA with name "nosuch" found.\n'
    assert not [name for name in certificate_files(daemon) if name.startswith("unknown-ca")]


def test_key_and_certificate_cannot_be_the_same_file(daemon: DaemonUnderTest) -> None:
    same = str(daemon.certs / "same.pem")
    done = daemon.getcert("request", "-c", "local", "-f", same, "-k", same)
    assert done.returncode == 1
    assert done.stdout.startswith("Key and certificate can not both be saved to the same file.\n")
    assert "same.pem" not in certificate_files(daemon)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-G", "DSA"], 'No support for generating "DSA" keys.'),
        (["-N", "CN=a,=b"], "CN=a,=b"),
        (["-U", "1.2.3.x"], '"1.2.3.x"'),
        (["-A", "300.1.2.3"], "300.1.2.3"),
        (["-u", "flying"], 'Unrecognized keyUsage "flying".'),
        (["--ms-template-spec", "1.2.3"], "Invalid V2 certificate template specifier: 1.2.3"),
        (["-g", "many"], 'Invalid key size "many"'),
        (["-g", "512"], "512 bits"),
        (["-G", "EC", "-g", "2048"], "EC keys cannot have 2048 bits"),
    ],
)
def test_malformed_values_are_named_and_refused(daemon: DaemonUnderTest, arguments: list[str], expected: str) -> None:
    files = ["-f", str(daemon.certs / "malformed.crt"), "-k", str(daemon.certs / "malformed.key")]
    done = daemon.getcert("request", "-I", "malformed", "-c", "local", *files, *arguments)
    assert done.returncode == 1, done.stdout
    assert expected in done.stdout
    assert daemon.getcert("status", "-i", "malformed").returncode == 1
    assert not [name for name in certificate_files(daemon) if name.startswith("malformed")]


def test_a_nickname_is_used_once_only(daemon: DaemonUnderTest) -> None:
    assert daemon.request("taken", ca="SelfSign").returncode == 0
    files = ["-f", str(daemon.certs / "other.crt"), "-k", str(daemon.certs / "other.key")]
    done = daemon.getcert("request", "-I", "TAKEN", "-c", "SelfSign", *files)
    assert done.returncode == 2
    assert done.stdout == 'There is already a request with the nickname "taken".\n'


def test_a_missing_directory_is_named(daemon: DaemonUnderTest) -> None:
    missing = daemon.certs / "none"
    done = daemon.getcert("request", "-c", "local", "-f", str(missing / "a.crt"), "-k", str(daemon.certs / "a.key"))
    assert done.returncode == 1
    assert str(missing) in done.stdout


def test_a_directory_that_cannot_be_written_stops_the_request_and_says_so(daemon: DaemonUnderTest) -> None:
    # Nobody, root included, creates files in /sys.
    files = ["-f", str(daemon.certs / "sys.crt"), "-k", "/sys/certmongerd-test.key"]
    done = daemon.getcert("request", "-I", "sys", "-c", "SelfSign", *files, "-w")
    assert done.returncode in {1, 4}, done.stdout
    assert "sys.crt" not in certificate_files(daemon)
    if done.returncode == 4:
        shown = daemon.listing("sys")
        assert shown["stuck"] == "yes"
        assert "/sys/certmongerd-test.key" in shown["ca-error"]


def test_a_helper_that_does_not_exist_is_named(daemon: DaemonUnderTest) -> None:
    assert daemon.getcert("add-ca", "-c", "absent", "-e", "/nonexistent/helper").returncode == 0
    done = daemon.request("absent", ca="absent")
    assert done.returncode == 4, done.stdout
    shown = daemon.listing("absent")
    assert shown["status"] == "CA_UNCONFIGURED"
    assert "/nonexistent/helper" in shown["ca-error"]


@pytest.mark.parametrize(
    ("script", "status", "state", "said"),
    [
        ("exec head -c 300 /dev/urandom", 4, "NEED_GUIDANCE", "no usable certificate"),
        ("echo hello", 4, "NEED_GUIDANCE", "no usable certificate"),
        ("exit 0", 4, "NEED_GUIDANCE", "no usable certificate"),
        ("kill -SEGV $$", 4, "NEED_GUIDANCE", "signal 11"),
        ("echo out of order; exit 99", 4, "NEED_GUIDANCE", "out of order"),
        ("echo policy says no; exit 2", 2, "CA_REJECTED", "policy says no"),
        ("echo no route; exit 3", 3, "CA_UNREACHABLE", "no route"),
        ("echo no settings; exit 4", 4, "CA_UNCONFIGURED", "no settings"),
        ("exit 16", 3, "NEED_SCEP_ENCRYPTION_CERT", ""),
    ],
)
def test_a_helper_out_of_order_is_reported(
    daemon: DaemonUnderTest, request: pytest.FixtureRequest, script: str, status: int, state: str, said: str
) -> None:
    name = f"helper-{abs(hash(request.node.name))}"
    daemon.add_helper(name, script)
    done = daemon.request(name, ca=name)
    shown = daemon.listing(name)
    assert (done.returncode, shown["status"]) == (status, state), done.stdout + daemon.log.read_text()
    assert said in shown.get("ca-error", "")
    assert f"{name}.crt" not in certificate_files(daemon)


def test_a_certificate_for_another_key_is_not_stored(daemon: DaemonUnderTest) -> None:
    assert daemon.request("foreign", ca="SelfSign").returncode == 0
    daemon.add_helper("mixed-up", f"cat {daemon.certs}/foreign.crt")
    done = daemon.request("mixed-up", ca="mixed-up")
    assert done.returncode == 4
    assert "another key" in daemon.listing("mixed-up")["ca-error"]
    assert "mixed-up.crt" not in certificate_files(daemon)


def test_a_helper_that_hangs_is_stopped_and_others_go_on(make_daemon: Callable[..., DaemonUnderTest]) -> None:
    daemon = make_daemon(SHORT_LIMITS)
    daemon.start()
    daemon.add_helper("hangs", "trap '' TERM; sleep 600 & wait; sleep 600")
    files = ["-f", str(daemon.certs / "hangs.crt"), "-k", str(daemon.certs / "hangs.key")]
    assert daemon.getcert("request", "-I", "hangs", "-c", "hangs", *files).returncode == 0
    assert daemon.request("meanwhile", ca="SelfSign").returncode == 0
    waited = daemon.getcert("resubmit", "-i", "hangs", "-w")
    assert waited.returncode == 3
    assert "1 second" in daemon.listing("hangs")["ca-error"]


def test_a_damaged_state_file_is_kept_and_reported_and_the_rest_loads(
    make_daemon: Callable[..., DaemonUnderTest],
) -> None:
    daemon = make_daemon()
    daemon.start()
    for name in ("one", "two"):
        assert daemon.request(name, ca="SelfSign").returncode == 0
    assert daemon.stop() == 0
    requests = daemon.root / "requests"
    victim = next(path for path in requests.iterdir() if "id=one\n" in path.read_text())
    damage = os.urandom(200) + b"\x00"
    victim.write_bytes(damage)
    daemon.start()
    assert daemon.listing("two")["status"] == "MONITORING"
    assert daemon.getcert("status", "-i", "one").returncode == 1
    assert victim.read_bytes() == damage
    assert str(victim) in daemon.log.read_text()


def test_a_second_daemon_on_the_same_directories_refuses(make_daemon: Callable[..., DaemonUnderTest]) -> None:
    daemon = make_daemon()
    daemon.start()
    second = DaemonUnderTest(daemon.root)
    second.log = Path(f"{daemon.log}2")
    with pytest.raises(AssertionError, match="already"):
        second.start_elsewhere(daemon.root / "socket2")
    second.close()
    assert daemon.request("still", ca="SelfSign").returncode == 0
