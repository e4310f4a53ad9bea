"""What a program can rely on, whichever way it is started."""

import asyncio
import json
import logging
import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest
from trial_programs import Trial, inheritable_file, is_running, until_gone, until_written, writes_its_pid

from certmongerd.core.errors import LaunchError
from certmongerd.runner.process import Launcher

WAIT_FOR_SIGNAL = "import signal; signal.pause()"
alone = pytest.mark.parametrize("trial", ["executed", "forked"], indirect=True)
"""Where a process has one run only, which has its descriptors to itself."""


async def test_status_and_output_are_reported(trial: Trial) -> None:
    run = await trial.run("import sys; print('hello'); sys.exit(3)")
    assert (run.exit_status, run.signal, run.stdout) == (3, None, b"hello\n")
    assert not run.succeeded


async def test_output_is_kept_as_bytes(trial: Trial) -> None:
    run = await trial.run("import sys; sys.stdout.buffer.write(bytes(range(256)))")
    assert run.stdout == bytes(range(256))
    assert run.succeeded


async def test_the_environment_is_exactly_the_given_one(trial: Trial) -> None:
    env = {"PATH": "/usr/bin:/bin", "LC_CTYPE": "C.UTF-8", "EMPTY": "", "LINES": "one\ntwo", "TEXT": "Käse=1"}
    run = await trial.run(
        "import os, sys, json; sys.stdout.write(json.dumps({k: os.environ[k] for k in os.environ}))", env=env
    )
    assert json.loads(run.stdout) == env


async def test_arguments_arrive_unchanged(trial: Trial) -> None:
    more = ["two words", "'quoted' \"twice\"", "$HOME \\ *", "", "line\nend", "Käse"]
    run = await trial.launcher.run(
        [*trial.command, "import sys, json; print(json.dumps(sys.argv[-6:]))", *more], env=trial.env, timeout_s=30
    )
    assert json.loads(run.stdout) == more


@alone
async def test_only_the_three_standard_descriptors_exist(trial: Trial, tmp_path: Path) -> None:
    with inheritable_file(tmp_path / "inherited"):
        run = await trial.run(
            "import os; "
            "print(sorted(fd for fd in map(int, os.listdir('/proc/self/fd')) if os.path.exists(f'/proc/self/fd/{fd}')))"
        )
    assert run.stdout == b"[0, 1, 2]\n"


async def test_standard_input_is_the_null_device(trial: Trial) -> None:
    run = await trial.run("import os, sys; print(os.readlink('/proc/self/fd/0'), repr(sys.stdin.read()))")
    assert run.stdout == b"/dev/null ''\n"


async def test_standard_input_can_be_given(trial: Trial) -> None:
    data = os.urandom(300_000)
    run = await trial.run("import os, sys; sys.stdout.buffer.write(os.fdopen(0, 'rb').read())", stdin=data)
    assert run.stdout == data


async def test_umask_directory_session_and_core_limit(trial: Trial, tmp_path: Path) -> None:
    code = (
        "import os, resource, json; old = os.umask(0); "
        "print(json.dumps([old, os.getcwd(), os.getsid(0) == os.getpid() == os.getpgid(0), "
        "resource.getrlimit(resource.RLIMIT_CORE)]))"
    )
    run = await trial.run(code, cwd=str(tmp_path))
    assert json.loads(run.stdout) == [0o077, str(tmp_path), True, [0, 0]]


async def test_core_dumps_of_the_daemon_are_forbidden(launcher: Launcher) -> None:
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


async def test_signals_have_their_default_effect(trial: Trial) -> None:
    code = (
        "import signal; print([signal.getsignal(s) is signal.SIG_DFL for s in (signal.SIGTERM, signal.SIGHUP)], "
        "signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    )
    run = await trial.run(code)
    assert run.stdout == b"[True, True] set()\n"


async def test_death_by_a_signal_is_no_exit_status(trial: Trial) -> None:
    run = await trial.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert (run.exit_status, run.signal) == (None, signal.SIGKILL)
    assert not run.succeeded


async def test_standard_error_is_logged_line_by_line_and_kept(trial: Trial, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run = await trial.run("import sys; sys.stderr.write('first\\nsecond \\x1b[31m\\nlast without end')")
    assert run.stderr_tail == "first\nsecond \ufffd[31m\nlast without end"
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert [line.split(": ", 1)[1] for line in lines] == ["first", "second \ufffd[31m", "last without end"]
    assert run.stdout == b""


async def test_a_flood_on_standard_error_is_bounded(trial: Trial, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run = await trial.run("import sys; sys.stderr.write('x' * 3000000 + '\\n' + 'line\\n' * 5000)")
    assert run.exit_status == 0
    assert len(run.stderr_tail) < 50_000
    assert len(caplog.records) < 2500


@alone
async def test_too_much_output_ends_the_program(trial: Trial) -> None:
    run = await trial.run("import os\nos.write(1, b'x' * 10)\nwhile True: os.write(1, b'x' * 65536)", timeout_s=60.0)
    assert run.truncated
    assert len(run.stdout) == 1024 * 1024
    assert not run.timed_out


async def test_output_just_below_the_limit_is_kept(trial: Trial) -> None:
    run = await trial.run("import sys; sys.stdout.write('y' * (1024 * 1024))")
    assert not run.truncated
    assert len(run.stdout) == 1024 * 1024
    assert run.exit_status == 0


async def test_a_program_that_takes_too_long_is_terminated(trial: Trial) -> None:
    run = await trial.run(f"print('begun', flush=True)\n{WAIT_FOR_SIGNAL}", timeout_s=0.5)
    assert run.timed_out
    assert run.signal == signal.SIGTERM


async def test_a_program_that_ignores_termination_is_killed(trial: Trial) -> None:
    run = await trial.run(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()", timeout_s=0.5
    )
    assert run.timed_out
    assert run.signal == signal.SIGKILL


async def test_children_of_a_program_that_takes_too_long_end_too(trial: Trial, tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        f"if child: open({str(tmp_path / 'pid')!r}, 'w').write(f'{{child}}\\n')\n"
        "while True: signal.pause()"
    )
    run = await trial.run(code, timeout_s=1.0)
    assert run.timed_out
    assert await until_gone(int((tmp_path / "pid").read_text()))


async def test_output_held_open_by_a_background_process_does_not_keep_us_waiting(trial: Trial) -> None:
    code = (
        "import os, signal, sys\nprint('answer', flush=True)\nif os.fork() == 0:\n    signal.pause()\n    os._exit(0)\n"
    )
    begin = time.monotonic()
    run = await trial.run(code)
    assert (run.exit_status, run.stdout, run.timed_out) == (0, b"answer\n", False)
    assert time.monotonic() - begin < 20  # the background process would stay for ever


async def test_a_background_process_of_a_helper_ends_with_it(trial: Trial, tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.close(1); os.close(2)\n"
        "    signal.pause()\n"
        "    os._exit(0)\n"
        "print(child, flush=True)\n"
    )
    run = await trial.run(code)
    assert run.exit_status == 0
    assert await until_gone(int(run.stdout))


@alone
async def test_closing_the_output_is_not_the_end(trial: Trial) -> None:
    run = await trial.run("import os, time; os.write(1, b'out'); os.close(1); time.sleep(0.03); os._exit(7)")
    assert (run.exit_status, run.stdout) == (7, b"out")


async def test_a_cancelled_caller_leaves_no_child(trial: Trial, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    code = f"{writes_its_pid(marker)}\n{WAIT_FOR_SIGNAL}"
    task = asyncio.create_task(trial.run(code))
    pid = int(await until_written(marker))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_running(pid)


@pytest.mark.parametrize("steps", range(12))
async def test_cancellation_at_any_moment_leaves_no_child(trial: Trial, tmp_path: Path, steps: int) -> None:
    marker = tmp_path / "pid"
    code = f"{writes_its_pid(marker)}\n{WAIT_FOR_SIGNAL}"
    task = asyncio.create_task(trial.run(code))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not marker.exists() or not is_running(int(await until_written(marker)))


async def test_a_caller_that_is_cancelled_twice_does_not_wait(trial: Trial, launcher: Launcher, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"{writes_its_pid(marker)}\nwhile True: signal.pause()"
    )
    task = asyncio.create_task(trial.run(code))
    pid = int(await until_written(marker))
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await launcher.close()
    assert not is_running(pid)


async def test_closing_ends_what_runs(trial: Trial, launcher: Launcher, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"{writes_its_pid(marker)}\nwhile True: signal.pause()"
    )
    task = asyncio.create_task(trial.run(code))
    pid = int(await until_written(marker))
    await launcher.close()
    assert not is_running(pid)
    assert (await task).signal == signal.SIGKILL
    with pytest.raises(LaunchError, match="shutting down"):
        await trial.run("pass")


async def test_a_variable_that_is_too_long_is_named(trial: Trial) -> None:
    with pytest.raises(LaunchError, match="Variable CERTMONGER_CSR has 1"):
        await trial.run("pass", env={"PATH": "/bin", "CERTMONGER_CSR": "x" * 128 * 1024})


async def test_the_longest_variable_that_fits_arrives(trial: Trial) -> None:
    env = {"PATH": "/bin", "V": "x" * (128 * 1024 - 3)}
    run = await trial.run("import os; print(len(os.environ['V']))", env=env)
    assert run.stdout == b"131069\n"


async def test_a_nul_in_a_variable_is_refused(trial: Trial) -> None:
    with pytest.raises(LaunchError, match="Variable V contains a NUL"):
        await trial.run("pass", env={"PATH": "/bin", "V": "a\0b"})


async def test_a_missing_working_directory_is_named(trial: Trial, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="missing does not exist"):
        await trial.run("pass", cwd=str(tmp_path / "missing"))


async def test_many_programs_run_at_once(trial: Trial) -> None:
    runs = await asyncio.gather(*(trial.run(f"print({number})") for number in range(30)))
    assert [int(run.stdout) for run in runs] == list(range(30))


async def test_no_more_programs_run_at_once_than_allowed(helper_dir: Path, tmp_path: Path) -> None:
    launcher = Launcher(str(helper_dir), max_external=1, max_bundled=1)
    code = f"import os; os.mkdir({str(tmp_path / 'one')!r}); os.rmdir({str(tmp_path / 'one')!r})"
    try:
        for command in ([str(helper_dir / "act")], [sys.executable, "-I", "-c"]):
            runs = (launcher.run([*command, code], env={"PATH": "/bin"}, timeout_s=30) for _ in range(4))
            assert [run.exit_status for run in await asyncio.gather(*runs)] == [0] * 4
    finally:
        await launcher.close()


async def test_an_empty_command_is_refused(launcher: Launcher) -> None:
    with pytest.raises(LaunchError, match="command is empty"):
        await launcher.run([], env={}, timeout_s=1)


async def test_a_program_is_searched_in_the_given_path(launcher: Launcher, tmp_path: Path) -> None:
    program = tmp_path / "some-helper"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    run = await launcher.run(["some-helper"], env={"PATH": f"/nonexistent:{tmp_path}"}, timeout_s=30)
    assert run.stdout == b"found\n"
    with pytest.raises(LaunchError, match="No such file or directory in /usr/bin") as caught:
        await launcher.run(["some-helper"], env={"PATH": "/usr/bin"}, timeout_s=30)
    assert caught.value.program == "some-helper"


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0, "No such file"),
        ("#!/bin/sh\n", 0o644, "Not executable"),
        ("#!/nonexistent/interpreter\n", 0o755, "interpreter is missing"),
        ("neither script nor program", 0o755, "Exec format error"),
    ],
)
async def test_a_program_that_cannot_be_started_says_why(
    launcher: Launcher, tmp_path: Path, content: str | None, mode: int, reason: str
) -> None:
    program = tmp_path / "program"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    with pytest.raises(LaunchError, match=reason):
        await launcher.run([str(program)], env={"PATH": "/bin"}, timeout_s=30)


async def test_a_directory_is_no_program(launcher: Launcher, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="Not a regular file"):
        await launcher.run([str(tmp_path)], env={"PATH": "/bin"}, timeout_s=30)


async def test_processes_that_a_command_leaves_can_be_spared(launcher: Launcher) -> None:
    code = (
        "import os, signal\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    for fd in (0, 1, 2): os.close(fd)\n"
        "    signal.pause()\n"
        "    os._exit(0)\n"
        "print(child, flush=True)\n"
    )
    run = await launcher.run(
        [sys.executable, "-I", "-c", code], env={"PATH": "/bin"}, timeout_s=30, keep_background=True
    )
    pid = int(run.stdout)
    try:
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
    assert await until_gone(pid)
