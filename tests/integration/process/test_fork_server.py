"""What is special about bundled helpers: they come from a process that can die."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from trial_programs import SEARCH_PATH, children_of, until, until_gone

from certmongerd.core.errors import LaunchError
from certmongerd.runner.process import Launcher
from certmongerd.runner.program import Finished
from certmongerd.runner.warm import BundledHelper, bundled_helper

PARENT_OF_HELPER = "import os; print(os.getppid())"


async def run(launcher: Launcher, helper_dir: Path, code: str) -> Finished:
    return await launcher.run([str(helper_dir / "act"), code], env={"PATH": SEARCH_PATH}, timeout_s=30)


async def test_helpers_are_forked_from_one_process(launcher: Launcher, helper_dir: Path) -> None:
    first = await run(launcher, helper_dir, PARENT_OF_HELPER)
    second = await run(launcher, helper_dir, PARENT_OF_HELPER)
    assert first.stdout == second.stdout
    assert int(first.stdout) != os.getpid()


async def test_what_many_requests_will_need_is_loaded_soon(launcher: Launcher, helper_dir: Path) -> None:
    code = "import sys; print('certmongerd.runner.work_process' in sys.modules)"
    assert (await run(launcher, helper_dir, code)).stdout == b"False\n"
    deadline = asyncio.get_running_loop().time() + 10
    while (await run(launcher, helper_dir, code)).stdout == b"False\n":
        assert asyncio.get_running_loop().time() < deadline


async def test_a_symbolic_link_to_a_bundled_helper_is_one(launcher: Launcher, helper_dir: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(helper_dir / "act")
    finished = await launcher.run([str(link), "print('forked')"], env={"PATH": SEARCH_PATH}, timeout_s=30)
    assert finished.stdout == b"forked\n"


async def test_a_program_beside_the_bundled_helpers_is_executed(launcher: Launcher, helper_dir: Path) -> None:
    other = helper_dir / "other"
    other.write_text("#!/bin/sh\necho executed\n")
    other.chmod(0o755)
    finished = await launcher.run([str(other)], env={"PATH": SEARCH_PATH}, timeout_s=30)
    assert finished.stdout == b"executed\n"


def test_only_modules_of_the_package_are_bundled(helper_dir: Path, tmp_path: Path) -> None:
    site = str(tmp_path)
    assert bundled_helper(str(helper_dir / "act"), str(helper_dir)) == BundledHelper(
        module="trial_helpers.act", site=site
    )
    assert bundled_helper(str(helper_dir / "absent"), str(helper_dir)) is None
    assert bundled_helper(str(helper_dir / "__init__"), str(helper_dir)) is None
    assert bundled_helper(str(helper_dir / "act"), "/usr/lib/certmonger") is None
    assert bundled_helper("/usr/bin/true", str(helper_dir)) is None


async def test_the_secrets_of_a_run_are_in_no_argument_vector(launcher: Launcher, helper_dir: Path) -> None:
    code = "import os; print(open(f'/proc/{os.getpid()}/cmdline').read(), open(f'/proc/{os.getppid()}/environ').read())"
    finished = await launcher.run(
        [str(helper_dir / "act"), code], env={"PATH": SEARCH_PATH, "SECRET": "a-secret-word"}, timeout_s=30
    )
    assert finished.exit_status == 0
    assert b"a-secret-word" not in finished.stdout


async def test_a_run_ends_with_a_clear_error_when_the_server_dies(launcher: Launcher, helper_dir: Path) -> None:
    server = int((await run(launcher, helper_dir, PARENT_OF_HELPER)).stdout)
    waiting = asyncio.create_task(run(launcher, helper_dir, "import signal; signal.pause()"))
    assert await until(lambda: bool(children_of(server)))
    (child,) = children_of(server)
    os.kill(server, signal.SIGKILL)
    with pytest.raises(LaunchError, match="ended unexpectedly"):
        await waiting
    assert await until_gone(child)


async def test_a_dead_server_is_started_again(launcher: Launcher, helper_dir: Path) -> None:
    server = int((await run(launcher, helper_dir, PARENT_OF_HELPER)).stdout)
    os.kill(server, signal.SIGKILL)
    assert await until_gone(server)
    again = await run(launcher, helper_dir, PARENT_OF_HELPER)
    assert int(again.stdout) != server


async def test_the_server_ignores_a_signal_to_stop(launcher: Launcher, helper_dir: Path) -> None:
    server = int((await run(launcher, helper_dir, PARENT_OF_HELPER)).stdout)
    os.kill(server, signal.SIGTERM)
    os.kill(server, signal.SIGINT)
    assert int((await run(launcher, helper_dir, PARENT_OF_HELPER)).stdout) == server


async def test_a_helper_that_raises_is_broken_and_says_why(launcher: Launcher, helper_dir: Path) -> None:
    finished = await run(launcher, helper_dir, "raise RuntimeError('no idea')")
    assert finished.exit_status == 70
    assert finished.stderr_tail == "Internal error: RuntimeError: no idea"
    assert finished.stdout == b""


async def test_a_helper_that_cannot_be_loaded_is_broken(launcher: Launcher, helper_dir: Path) -> None:
    (helper_dir.parent / "act.py").write_text("import there_is_no_such_module\n")
    finished = await run(launcher, helper_dir, "pass")
    assert finished.exit_status == 70
    assert "there_is_no_such_module" in finished.stderr_tail


async def test_a_helper_that_cannot_be_loaded_harms_no_other_one(launcher: Launcher, helper_dir: Path) -> None:
    server = (await run(launcher, helper_dir, PARENT_OF_HELPER)).stdout
    (helper_dir.parent / "broken.py").write_text("raise RuntimeError('not today')\n")
    broken = helper_dir / "broken"
    broken.write_text("")
    broken.chmod(0o755)
    finished = await launcher.run([str(broken)], env={"PATH": SEARCH_PATH}, timeout_s=30, recurs=True)
    assert finished.exit_status == 70
    assert "not today" in finished.stderr_tail
    assert (await run(launcher, helper_dir, PARENT_OF_HELPER)).stdout == server


async def test_what_a_helper_does_once_for_its_runs_is_done_before_the_first_that_recurs(
    launcher: Launcher, helper_dir: Path
) -> None:
    module = (helper_dir.parent / "act.py").read_text()
    (helper_dir.parent / "act.py").write_text(module + "\n\nwarmed = []\n\n\ndef warm_up():\n    warmed.append(1)\n")
    code = "import trial_helpers.act as act; print(len(act.warmed))"
    seen = [
        (
            await launcher.run([str(helper_dir / "act"), code], env={"PATH": SEARCH_PATH}, timeout_s=30, recurs=recurs)
        ).stdout
        for recurs in (False, True, False, True)
    ]
    assert seen == [b"0\n", b"1\n", b"1\n", b"1\n"]


async def test_runs_do_not_see_each_other(launcher: Launcher, helper_dir: Path) -> None:
    await run(launcher, helper_dir, "import sys, os; sys.modules['certmongerd'].left = 1; os.environ['LEFT'] = '1'")
    finished = await run(
        launcher, helper_dir, "import sys, os; print(hasattr(sys.modules['certmongerd'], 'left'), 'LEFT' in os.environ)"
    )
    assert finished.stdout == b"False False\n"
