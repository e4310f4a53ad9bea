"""Hooks run as their user, or not at all."""

import os
import pwd
from pathlib import Path

import pytest
from daemon_under_test import open_folders

from certmongerd.core.model import Hook
from certmongerd.runner.hooks import run_hook
from certmongerd.runner.process import Launcher

ENV = {"PATH": "/usr/bin:/bin", "CERTMONGER_HOOK": "pre-save"}
OWN_UID = str(os.geteuid())
NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.xfail(os.geteuid() != 0, reason="only root can become somebody else", strict=True)


async def test_a_hook_gets_its_environment(launcher: Launcher, tmp_path: Path) -> None:
    outcome = await run_hook(launcher, Hook(command=f"sh -c 'env > {tmp_path}/env'", uid=OWN_UID), ENV, 30)
    assert outcome.ran
    assert outcome.succeeded
    lines = (tmp_path / "env").read_text().splitlines()
    assert {line for line in lines if not line.startswith(("PWD=", "_=", "SHLVL=", "OLDPWD="))} == {
        f"{name}={value}" for name, value in ENV.items()
    }


async def test_no_command_is_success(launcher: Launcher) -> None:
    outcome = await run_hook(launcher, Hook(), ENV, 30)
    assert (outcome.ran, outcome.succeeded) == (False, True)


async def test_a_failing_hook_says_how_it_ended_and_what_it_said(launcher: Launcher) -> None:
    outcome = await run_hook(launcher, Hook(command="sh -c 'echo cannot reload >&2; exit 3'", uid=OWN_UID), ENV, 30)
    assert (outcome.ran, outcome.succeeded, outcome.exit_status) == (True, False, 3)
    assert outcome.reason == '"sh" ended with status 3: cannot reload'


async def test_a_hook_that_takes_too_long_is_stopped(launcher: Launcher) -> None:
    outcome = await run_hook(launcher, Hook(command="sleep 1000", uid=OWN_UID), ENV, 0.1)
    assert not outcome.succeeded
    assert "time limit" in outcome.reason


async def test_what_a_hook_prints_is_kept_in_its_order_and_bounded(launcher: Launcher) -> None:
    script = "yes noise | head -c 3000000; echo one; echo two >&2; echo three; exit 1"
    outcome = await run_hook(launcher, Hook(command=f"sh -c '{script}'", uid=OWN_UID), ENV, 60)
    lines = outcome.output_tail.splitlines()
    assert lines[-3:] == ["one", "two", "three"]
    assert len(lines) <= 20
    assert outcome.reason == '"sh" ended with status 1: one / two / three'


async def test_a_hook_works_where_the_daemon_does(launcher: Launcher) -> None:
    outcome = await run_hook(launcher, Hook(command="pwd", uid=OWN_UID), ENV, 30)
    assert outcome.output_tail == os.getcwd()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/nonexistent/hook", "No such file"),
        ("sh -c 'open quote", "open single quote"),
        ("ends in a backslash\\", "backslash"),
    ],
)
async def test_a_hook_that_cannot_be_started_says_why(launcher: Launcher, command: str, reason: str) -> None:
    outcome = await run_hook(launcher, Hook(command=command, uid=OWN_UID), ENV, 30)
    assert (outcome.ran, outcome.succeeded) == (False, False)
    assert reason in outcome.reason


@pytest.mark.parametrize("uid", ["", "root", "-1", "4294967294", "99999999999999999999", "²"])
async def test_a_hook_without_a_known_user_is_not_run(launcher: Launcher, tmp_path: Path, uid: str) -> None:
    outcome = await run_hook(launcher, Hook(command=f"touch {tmp_path}/ran", uid=uid), ENV, 30)
    assert (outcome.ran, outcome.succeeded) == (False, False)
    assert "user" in outcome.reason
    assert not (tmp_path / "ran").exists()


@as_root
async def test_a_hook_of_another_user_has_nothing_of_roots(launcher: Launcher, tmp_path: Path) -> None:
    result = tmp_path / "ids"
    result.touch()
    os.chown(result, NOBODY.pw_uid, -1)
    open_folders(tmp_path)
    command = f"sh -c 'grep -E ^(Uid|Gid|Groups|CapEff): /proc/self/status > {result}'".replace(
        "^(Uid|Gid|Groups|CapEff):", '"^(Uid|Gid|Groups|CapEff):"'
    )
    outcome = await run_hook(launcher, Hook(command=command, uid=str(NOBODY.pw_uid)), ENV, 30)
    assert outcome.succeeded, outcome.reason
    values = dict(line.split(":", 1) for line in result.read_text().splitlines())
    assert values["Uid"].split() == [str(NOBODY.pw_uid)] * 4
    assert values["Gid"].split() == [str(NOBODY.pw_gid)] * 4
    assert values["Groups"].split() == [str(group) for group in sorted(os.getgrouplist("nobody", NOBODY.pw_gid))]
    assert int(values["CapEff"], 16) == 0


@as_root
async def test_another_daemon_user_runs_only_its_own_hooks(launcher: Launcher, tmp_path: Path) -> None:
    os.seteuid(NOBODY.pw_uid)
    try:
        outcome = await run_hook(launcher, Hook(command=f"touch {tmp_path}/ran", uid="0"), ENV, 30)
    finally:
        os.seteuid(0)
    assert not outcome.ran
    assert "only root can become another user" in outcome.reason
    assert not (tmp_path / "ran").exists()
