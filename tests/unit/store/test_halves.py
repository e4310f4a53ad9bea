"""Work that a process shares with a child of its own, in a process without threads."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMON = """
import os, signal, sys, threading
from certmongerd.store.halves import by_two_processes

parent = os.getpid()
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", COMMON + code, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def test_a_child_does_the_second_half_and_the_order_stays() -> None:
    code = """
found = by_two_processes(lambda number: (number, os.getpid()), range(1001))
assert [number for number, _ in found] == list(range(1001))
assert {pid for _, pid in found[:500]} == {parent}
(child,) = {pid for _, pid in found[500:]}
print(child != parent)
"""
    assert run(code) == "True\n"


@pytest.mark.parametrize("condition", ["few", "threads"])
def test_there_is_no_child_for_little_work_nor_beside_threads(condition: str) -> None:
    code = """
if sys.argv[1] == "threads":
    ended = threading.Event()
    threading.Thread(target=ended.wait).start()
found = by_two_processes(lambda number: os.getpid(), range(199 if sys.argv[1] == "few" else 1000))
if sys.argv[1] == "threads":
    ended.set()
print(set(found) == {parent})
"""
    assert run(code, condition) == "True\n"


@pytest.mark.parametrize("fails_at", [500, 650, 999])
def test_what_a_child_leaves_undone_is_done_here(fails_at: int) -> None:
    code = """
def work(number):
    if os.getpid() != parent and number == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return number

print(by_two_processes(work, range(1000)) == list(range(1000)))
"""
    assert run(code, str(fails_at)) == "True\n"


def test_a_child_holds_nothing_that_the_next_daemon_waits_for(tmp_path: Path) -> None:
    code = """
os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)

def work(number):
    places = map("/proc/self/fd/{}".format, range(64))
    return [os.readlink(place) for place in places if os.path.lexists(place)]

found = by_two_processes(work, range(1000))
print(sys.argv[1] in found[0], sys.argv[1] in found[-1])
"""
    assert run(code, str(tmp_path / "lock")) == "True False\n"
