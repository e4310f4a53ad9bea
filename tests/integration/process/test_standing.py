"""Runs of a bundled helper that recur: what one process does for several of them, and what it keeps from each."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from trial_programs import SEARCH_PATH, is_running, until, until_gone, until_written, writes_its_pid

from certmongerd.core.errors import LaunchError
from certmongerd.runner.process import Launcher
from certmongerd.runner.program import Finished

WHO: Final = "import os; print(os.getpid())"
IDLE_S: Final = 0.2


@pytest.fixture
async def hasty(helper_dir: Path) -> AsyncIterator[Launcher]:
    """A launcher whose helpers do not stay long."""
    launcher = Launcher(str(helper_dir), standing={"trial_helpers.act"}, standing_idle_s=IDLE_S)
    yield launcher
    await launcher.close()


async def run(
    launcher: Launcher, helper_dir: Path, code: str, env: Mapping[str, str] | None = None, *, recurs: bool = True
) -> Finished:
    given = {"PATH": SEARCH_PATH, **(env or {})}
    return await launcher.run([str(helper_dir / "act"), code], env=given, timeout_s=30, recurs=recurs)


async def test_runs_one_after_the_other_are_done_by_one_process(launcher: Launcher, helper_dir: Path) -> None:
    assert len({(await run(launcher, helper_dir, WHO)).stdout for _ in range(5)}) == 1


async def test_runs_at_once_are_done_by_several(launcher: Launcher, helper_dir: Path) -> None:
    code = "import os, time; time.sleep(0.3); print(os.getpid())"
    runs = await asyncio.gather(*(run(launcher, helper_dir, code) for _ in range(4)))
    assert len({each.stdout for each in runs}) == 4


async def test_another_command_has_another_process(launcher: Launcher, helper_dir: Path) -> None:
    assert (await run(launcher, helper_dir, WHO)).stdout != (await run(launcher, helper_dir, f"{WHO} ")).stdout


async def test_a_run_that_does_not_recur_has_a_process_of_its_own(launcher: Launcher, helper_dir: Path) -> None:
    standing = (await run(launcher, helper_dir, WHO)).stdout
    assert (await run(launcher, helper_dir, WHO, recurs=False)).stdout != standing


async def test_a_helper_that_cannot_run_again_ends(launcher: Launcher, helper_dir: Path) -> None:
    module = helper_dir.parent / "act.py"
    module.write_text(module.read_text().replace("return True", "return False"))
    first, second = [int((await run(launcher, helper_dir, WHO)).stdout) for _ in range(2)]
    assert first != second
    assert await until_gone(first)
    assert await until_gone(second)


async def test_the_environment_of_a_run_is_gone_for_the_next(launcher: Launcher, helper_dir: Path) -> None:
    code = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))"
    assert (await run(launcher, helper_dir, code, {"A_SECRET": "1"})).stdout == b"['A_SECRET', 'PATH']\n"
    assert (await run(launcher, helper_dir, code, {"B": "2"})).stdout == b"['B', 'PATH']\n"


async def test_what_a_run_says_on_standard_error_is_its_own(launcher: Launcher, helper_dir: Path) -> None:
    code = "import os, sys; print(os.environ['SAY'], file=sys.stderr, end='')"
    said = [(await run(launcher, helper_dir, code, {"SAY": word})).stderr_tail for word in ("one", "two")]
    assert said == ["one", "two"]


@pytest.mark.parametrize("size", [0, 65531, 65532, 1_000_000])
async def test_long_answers_arrive(launcher: Launcher, helper_dir: Path, size: int) -> None:
    """65,531 characters and the head of the answer are as much as one message has room for."""
    for _ in range(2):
        assert (await run(launcher, helper_dir, f"print({size} * 'x', end='')")).stdout == size * b"x"


async def test_more_than_allowed_is_cut_off(launcher: Launcher, helper_dir: Path) -> None:
    finished = await run(launcher, helper_dir, "print(2**21 * 'x')")
    assert finished.truncated
    assert finished.stdout == 2**20 * b"x"


async def test_long_environments_arrive(launcher: Launcher, helper_dir: Path) -> None:
    code = "import os; print(len(os.environ['A']) + len(os.environ['B']))"
    given = {"A": 100_000 * "a", "B": 60_000 * "ä"}
    assert (await run(launcher, helper_dir, code, given)).stdout == b"160000\n"


async def test_a_process_that_is_killed_while_it_waits_is_replaced(launcher: Launcher, helper_dir: Path) -> None:
    killed = int((await run(launcher, helper_dir, WHO)).stdout)
    os.kill(killed, signal.SIGKILL)
    assert await until_gone(killed)
    assert int((await run(launcher, helper_dir, WHO)).stdout) != killed


async def test_a_helper_that_raises_ends_its_process(launcher: Launcher, helper_dir: Path) -> None:
    code = "import os; print(os.getpid()); 'FAIL' in os.environ and 1 / 0"
    first = int((await run(launcher, helper_dir, code)).stdout)
    failed = await run(launcher, helper_dir, code, {"FAIL": "1"})
    assert (failed.exit_status, failed.stdout) == (70, b"")
    assert failed.stderr_tail == "Internal error: ZeroDivisionError: division by zero"
    assert int((await run(launcher, helper_dir, code)).stdout) != first


async def test_the_end_of_the_server_is_told(launcher: Launcher, helper_dir: Path, tmp_path: Path) -> None:
    server = int((await run(launcher, helper_dir, "import os; print(os.getppid())")).stdout)
    code = f"{writes_its_pid(tmp_path / 'pid')}; import time; time.sleep(60)"
    waiting = asyncio.create_task(run(launcher, helper_dir, code))
    child = int(await until_written(tmp_path / "pid"))
    os.kill(server, signal.SIGKILL)
    with pytest.raises(LaunchError, match="ended unexpectedly"):
        await waiting
    assert await until_gone(child)
    assert (await run(launcher, helper_dir, WHO)).succeeded


async def test_a_process_with_nothing_to_do_ends(hasty: Launcher, helper_dir: Path) -> None:
    assert await until_gone(int((await run(hasty, helper_dir, WHO)).stdout))


async def test_a_process_that_does_not_want_to_end_has_to(hasty: Launcher, helper_dir: Path) -> None:
    code = (
        "import os, time; from certmongerd.runner import standing_process; print(os.getpid());"
        "standing_process.receive = lambda channel: time.sleep(600)"
    )
    assert await until_gone(int((await run(hasty, helper_dir, code)).stdout))


async def test_a_process_that_works_stays(hasty: Launcher, helper_dir: Path) -> None:
    code = f"import os, time; time.sleep({5 * IDLE_S}); print(os.getpid())"
    waiting = asyncio.create_task(run(hasty, helper_dir, code))
    await run(hasty, helper_dir, WHO)
    assert (await waiting).succeeded


async def test_closing_ends_those_that_wait(launcher: Launcher, helper_dir: Path) -> None:
    pid = int((await run(launcher, helper_dir, WHO)).stdout)
    assert is_running(pid)
    await launcher.close()
    assert await until(lambda: not is_running(pid))
