"""Many requests at once: processes do the work, and nothing is lost although they, or the daemon, are killed."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread

from daemon_processes import fork_servers, workers
from daemon_under_test import DaemonUnderTest, assert_pair, wait_until
from trial_programs import children_of, is_running

MakeDaemon = Callable[..., DaemonUnderTest]
KEY_TYPES = ("EC", "EC", "EC", "RSA")


def declare(daemon: DaemonUnderTest, count: int) -> list[str]:
    """Have requests added, one right after the other; their names."""
    names = [f"burst-{number}" for number in range(count)]
    lines = ["requests:"]
    for number, name in enumerate(names):
        files = f"certfile: {daemon.certs}/{name}.crt, keyfile: {daemon.certs}/{name}.key"
        key_type = KEY_TYPES[number % len(KEY_TYPES)]
        lines.append(f"- {{id: {name}, ca: SelfSign, key-type: {key_type}, subject-name: CN={name}, {files}}}")
    (daemon.root / "burst.yaml").write_text("\n".join(lines) + "\n")
    done = daemon.getcert("apply", "-f", str(daemon.root / "burst.yaml"))
    assert done.returncode == 0, done.stderr
    return names


def pid_of(daemon: DaemonUnderTest) -> int:
    assert daemon.process is not None
    return daemon.process.pid


def are_gone(pids: list[int]) -> bool:
    return not any(is_running(pid) for pid in pids)


def are_monitored(daemon: DaemonUnderTest, names: list[str]) -> bool:
    shown = daemon.getcert("list").stdout
    return shown.count("status: MONITORING") == len(names)


def assert_complete(daemon: DaemonUnderTest, names: list[str]) -> None:
    wait_until(lambda: are_monitored(daemon, names), daemon.log, 120)
    for name in names:
        assert_pair(daemon.certs / f"{name}.crt", daemon.certs / f"{name}.key")
    expected = {f"{name}.{kind}" for name in names for kind in ("crt", "key")}
    assert {path.name for path in daemon.certs.iterdir()} == expected
    assert len(list((daemon.root / "requests").glob("[0-9]*"))) == len(names)


def test_whoever_kills_the_processes_only_makes_it_take_longer(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    names = declare(daemon, 24)
    wait_until(lambda: bool(workers(pid_of(daemon))), daemon.log)
    while True:
        if present := workers(pid_of(daemon)):
            with suppress(ProcessLookupError):  # killed along with the one before
                os.kill(random.choice(present), signal.SIGKILL)
        if are_monitored(daemon, names):
            break
    assert_complete(daemon, names)
    assert "Traceback" not in daemon.log.read_text()


def test_the_next_daemon_waits_for_processes_that_the_killed_one_left(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    names = declare(daemon, 24)
    wait_until(lambda: bool(workers(pid_of(daemon))), daemon.log)
    (server,) = fork_servers(pid_of(daemon))
    os.kill(server, signal.SIGSTOP)  # it would end the others
    left = [*children_of(server), *workers(pid_of(daemon))]
    for pid in left:
        os.kill(pid, signal.SIGSTOP)  # as a disk does that does not answer
    daemon.kill()
    starting = Thread(target=daemon.start)
    try:
        starting.start()
        time.sleep(1)
        assert starting.is_alive()
    finally:
        for pid in (server, *left):
            os.kill(pid, signal.SIGKILL)
        starting.join()
    assert_complete(daemon, names)


def test_a_daemon_that_is_killed_in_a_burst_leaves_nothing_half_done(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    names = declare(daemon, 24)
    for _ in range(3):
        time.sleep(random.uniform(0, 0.6))
        found = fork_servers(pid_of(daemon)) + workers(pid_of(daemon))
        daemon.kill()
        wait_until(partial(are_gone, found))
        daemon.start()
    assert_complete(daemon, names)
