"""Without a system bus root's command brings its own daemon."""

import os
from pathlib import Path

import pytest
from cli.rig import running

from getcert.main import run
from getcert.temporary import find_daemon


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    # The daemon beside the interpreter comes first; this makes the client look for another one on the path.
    monkeypatch.setattr("sys.executable", "/nonexistent/python")


@pytest.mark.usefixtures("elsewhere")
def test_the_exit_status_and_the_directory_of_the_command_are_kept(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(None) as rig:
        environment = {**rig.environment, "PATH": "/usr/sbin"}
        monkeypatch.chdir(rig.directory)
        assert run("getcert", ["status", "-i", "nosuch"], environment) == 1
        assert run("getcert", ["list", "-f", "tracked.pem"], environment) == 1
        assert run("getcert", ["list"], environment) == 0
        directory = rig.directory
    out, err = capfd.readouterr()
    assert out.splitlines() == [
        "No request found with specified nickname.",
        f'Path "tracked.pem" is not absolute, attempting to use "{directory}/tracked.pem" instead.',
        "No request found that matched arguments.",
        "Number of certificates and requests being tracked: 0.",
    ]
    assert err == ""


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.usefixtures("elsewhere")
def test_a_daemon_that_does_not_start_is_reported_with_its_last_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_program(tmp_path / "certmongerd", "#!/bin/sh\necho 'no room' >&2\nexit 3\n")
    environment = {"PATH": str(tmp_path), "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
    assert os.geteuid() == 0
    assert run("getcert", ["list"], environment) == 1
    assert capfd.readouterr().out.splitlines() == [
        "Error connecting to D-Bus.",
        f"{tmp_path}/certmongerd: the daemon ended with status 3",
        "no room",
    ]


def test_the_daemon_beside_the_interpreter_is_preferred(tmp_path: Path) -> None:
    for name in ("beside", "path"):
        (tmp_path / name).mkdir()
        write_program(tmp_path / name / "certmongerd", "#!/bin/sh\n")
    assert find_daemon(f"{tmp_path}/beside/python", f"{tmp_path}/path") == f"{tmp_path}/beside/certmongerd"
    assert find_daemon(f"{tmp_path}/none/python", f"{tmp_path}/path") == f"{tmp_path}/path/certmongerd"
