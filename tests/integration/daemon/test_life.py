"""Start, stop, and being killed."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from daemon_under_test import DaemonUnderTest, assert_pair

MakeDaemon = Callable[..., DaemonUnderTest]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_whatever_is_under_way(make_daemon: MakeDaemon, number: int) -> None:
    daemon = make_daemon()
    daemon.start()
    daemon.add_helper("sleeps", "trap '' TERM; sleep 600; sleep 600")
    for name, ca, bits in (("sleeping", "sleeps", "2048"), ("generating", "local", "8192")):
        files = ["-f", str(daemon.certs / f"{name}.crt"), "-k", str(daemon.certs / f"{name}.key")]
        assert daemon.getcert("request", "-I", name, "-c", ca, "-g", bits, *files).returncode == 0
    begin = time.monotonic()
    assert daemon.stop(number) == 0
    # The promise is two seconds; a hanging helper would take ten minutes.
    assert time.monotonic() - begin < 5
    assert not daemon.socket.exists()


def test_a_submission_that_the_end_cuts_off_is_made_again_after_the_start(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    began = daemon.root / "began"
    daemon.add_helper("slow", f"if [ -e {began} ]; then exit 2; fi; touch {began}; exec sleep 600")
    files = ["-f", str(daemon.certs / "web.crt"), "-k", str(daemon.certs / "web.key")]
    assert daemon.getcert("request", "-I", "web", "-c", "slow", *files).returncode == 0
    deadline = time.monotonic() + 30
    while not began.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    assert daemon.stop() == 0
    daemon.start()

    # The helper ended by a signal; had that counted as its answer, the request would be stuck in NEED_GUIDANCE.
    while daemon.listing("web")["status"] != "CA_REJECTED":
        assert time.monotonic() < deadline, daemon.listing("web")
        time.sleep(0.05)


def test_requests_survive_a_restart(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    for ca in ("local", "SelfSign"):
        assert daemon.request(ca, ca=ca).returncode == 0
    before = daemon.getcert("list").stdout
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.getcert("list").stdout == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_does_not_make_a_ca_s_back_off_begin_anew(make_daemon: MakeDaemon, number: int) -> None:
    daemon = make_daemon()
    daemon.start()
    asked = daemon.root / "asked"
    daemon.add_helper("busy", f'[ "$CERTMONGER_OPERATION" = IDENTIFY ] && exit 6; echo >> {asked}; echo 86000; exit 5')
    names = [f"waits{number}" for number in range(4)]
    for name in names:
        files = ["-f", str(daemon.certs / f"{name}.crt"), "-k", str(daemon.certs / f"{name}.key")]
        assert daemon.getcert("request", "-I", name, "-c", "busy", *files).returncode == 0
        daemon.wait_for(name, "CA_WORKING")
    before = len(asked.read_text())
    daemon.stop(number)
    daemon.socket.unlink(missing_ok=True)
    daemon.start()
    for name in names:
        assert daemon.listing(name)["status"] == "CA_WORKING"
        assert daemon.listing(name)["next attempt"].endswith(" (failed so far: 1)")
    assert len(asked.read_text()) == before


def test_an_enrolment_that_was_killed_is_completed_by_the_next_daemon(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    names = [f"killed{number}" for number in range(8)]
    for number, name in enumerate(names):
        files = ["-f", str(daemon.certs / f"{name}.crt"), "-k", str(daemon.certs / f"{name}.key")]
        assert daemon.getcert("request", "-I", name, "-c", "local", *files).returncode == 0
        if number % 2:
            daemon.stop(signal.SIGKILL)
            daemon.socket.unlink()
            daemon.start()
    for name in names:
        deadline = time.monotonic() + 30
        while daemon.listing(name)["status"] != "MONITORING" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert daemon.listing(name)["status"] == "MONITORING", daemon.log.read_text()
        assert_pair(daemon.certs / f"{name}.crt", daemon.certs / f"{name}.key")


def test_the_configuration_is_read_again_on_hangup(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[selfsign]\nvalidity_period = 1d\n")
    daemon.start()
    (daemon.root / "config" / "certmonger.conf").write_text("[selfsign]\nvalidity_period = 400d\n")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 5
    while "read again" not in daemon.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert daemon.request("long", ca="SelfSign").returncode == 0
    expires = time.strptime(daemon.listing("long")["expires"], "%Y-%m-%d %H:%M:%S UTC")
    assert time.mktime(expires) - time.time() > 300 * 86400


def test_a_command_is_run_and_its_status_passed_on(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("", "-c", "/bin/sh -c 'echo address $CERTMONGER_PVT_ADDRESS; exit 7'")
    with suppress(AssertionError):  # it has ended, unless the command took longer than the first answer
        daemon.start()
    assert daemon.process is not None
    assert daemon.process.wait(timeout=60) == 7
    assert "address unix:path=" in daemon.log.read_text()


def test_an_idle_daemon_ends_by_itself(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("", "-b", "1")
    with suppress(AssertionError):  # on a slow machine it has ended before anybody could see that it runs
        daemon.start()
    assert daemon.process is not None
    assert daemon.process.wait(timeout=60) == 0
