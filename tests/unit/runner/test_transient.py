"""How a program is handed to systemd-run; what systemd makes of it is tested with systemd."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from certmongerd.core.errors import LaunchError
from certmongerd.runner.program import ProgramRun, RunAs
from certmongerd.runner.transient import UnitStart, environment_file, own_unit

SERVICE = "0::/system.slice/certmonger.service\n"


@pytest.mark.parametrize(
    ("groups", "unit"),
    [
        (SERVICE, "certmonger.service"),
        ("5:memory:/\n1:name=systemd:/system.slice/certmongerd.service\n", "certmongerd.service"),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/certmonger.service\n", None),
        ("0::/user.slice/user-0.slice/session-1.scope\n", None),
        ("", None),
    ],
)
def test_the_daemons_unit_is_found(groups: str, unit: str | None) -> None:
    assert own_unit({"SYSTEMD_EXEC_PID": "7"}, 7, groups) == unit


@pytest.mark.parametrize("environ", [{}, {"SYSTEMD_EXEC_PID": "6"}])
def test_a_daemon_that_a_shell_started_is_nobodys_service(environ: dict[str, str]) -> None:
    assert own_unit(environ, 7, SERVICE) is None


def test_what_a_shell_would_take_for_its_own_is_quoted() -> None:
    text = environment_file("hook", {"A": 'say "hi" \\ $HOME `id`', "B": "two\nlines\tä"})
    assert text.decode() == 'A="say \\"hi\\" \\\\ \\$HOME \\`id\\`"\nB="two\nlines\tä"\n'


@pytest.mark.parametrize("value", ["a\rb", "\x7f", "\udcff"])
def test_what_systemd_would_drop_is_refused(value: str) -> None:
    with pytest.raises(LaunchError, match="Variable A has characters"):
        environment_file("hook", {"A": value})


async def test_the_place_of_the_environment_is_handed_over_and_not_its_content(tmp_path: Path) -> None:
    stand_in = tmp_path / "systemd-run"
    stand_in.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/argv\n'
        f'for word; do case "$word" in *EnvironmentFile=*) cat "${{word##*=}}" >{tmp_path}/env ;; esac; done\n'
    )
    stand_in.chmod(0o755)

    async def spawn(argv: Sequence[str], streams: tuple[int, int, int]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*argv)

    run = ProgramRun(
        program="/usr/bin/reload",
        argv=["reload", "$web"],
        env={"PATH": "/bin", "SECRET": "hidden"},
        cwd="/",
        user=RunAs(uid=65534, gid=100),
        timeout_s=60,
        keep_background=True,
    )
    null = os.open(os.devnull, os.O_RDWR)
    child = await UnitStart(spawn, "certmonger.service", systemd_run=str(stand_in)).start(run, (null, null, null))
    assert await child.exited == 0
    os.close(null)
    argv = (tmp_path / "argv").read_text().splitlines()
    assert argv[argv.index("--") :] == ["--", "/usr/bin/reload", "$$web"]
    assert {"--pipe", "--wait", "--collect", "--uid=65534", "--gid=100", "--working-directory=/"} < set(argv)
    assert {
        "--property=UMask=0077",
        "--property=LimitCORE=0",
        "--property=KillMode=process",
        "--property=RuntimeMaxSec=100s",
        "--property=StopPropagatedFrom=certmonger.service",
        "--property=Before=certmonger.service",
    } < set(argv)
    assert "hidden" not in " ".join(argv)
    assert (tmp_path / "env").read_text() == 'PATH="/bin"\nSECRET="hidden"\n'
