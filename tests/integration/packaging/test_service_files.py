"""The files for systemd and D-Bus activation fit the daemon."""

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from certmongerd.api import BUS_NAME
from certmongerd.options import parse_options
from certmongerd.store.service_user import SERVICE_USER

PROJECT = Path(__file__).parents[3]
UNIT = PROJECT / "systemd" / "certmongerd.service"
USER_UNIT = PROJECT / "systemd" / "user" / "certmongerd.service"
SYSTEM_ACTIVATION = PROJECT / "dbus" / "system-services" / f"{BUS_NAME}.service"
SESSION_ACTIVATION = PROJECT / "dbus" / "services" / f"{BUS_NAME}.service"


def read(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)  # a key adds to itself
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read_string(path.read_text())
    return parser


def arguments(command: str) -> list[str]:
    """The daemon's arguments in *command*; what the administrator adds is left out."""
    program, *rest = shlex.split(command)
    assert Path(program).name == "certmongerd"
    return [argument for argument in rest if argument != "$OPTS"]


def test_the_unit_starts_the_daemon_on_the_system_bus_in_the_foreground() -> None:
    service = read(UNIT)["Service"]
    options = parse_options(arguments(service["ExecStart"]))
    assert (options.session_bus, options.foreground) == (False, True)
    assert (service["Type"], service["BusName"]) == ("dbus", BUS_NAME)


def test_the_unit_leaves_open_no_more_than_it_says() -> None:
    """systemd's own judgement, from 0 to 10; the unit says what is open and why."""
    analysed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert analysed.returncode == 0, analysed.stdout
    said = f"systemd-analyze security finds {analysed.stdout.split('exposure level for certmongerd.service: ')[1][:3]}"
    assert said in UNIT.read_text()
    left_open = {line.split()[1].partition("=")[0] for line in analysed.stdout.splitlines() if line.startswith("✗")}
    assert {name for name in left_open if name not in UNIT.read_text()} == set()


def test_the_system_bus_activates_the_unit() -> None:
    activation = read(SYSTEM_ACTIVATION)["D-BUS Service"]
    assert activation["Name"] == BUS_NAME
    assert activation["SystemdService"] == UNIT.name


def test_a_session_bus_activates_a_daemon_that_ends_when_idle() -> None:
    activation = read(SESSION_ACTIVATION)["D-BUS Service"]
    options = parse_options(arguments(activation["Exec"]))
    assert activation["Name"] == BUS_NAME
    assert (options.session_bus, options.foreground, options.idle_timeout_s) == (True, True, 300)


def test_a_users_unit_starts_the_daemon_on_the_session_bus_for_as_long_as_it_is_wanted() -> None:
    service = read(USER_UNIT)["Service"]
    options = parse_options(arguments(service["ExecStart"]))
    assert (options.session_bus, options.foreground, options.idle_timeout_s) == (True, True, 0)
    assert (service["Type"], service["BusName"]) == ("dbus", BUS_NAME)


@pytest.mark.parametrize(("unit", "manager"), [(UNIT, "system"), (USER_UNIT, "user")], ids=["system", "user"])
def test_systemd_understands_the_units(unit: Path, manager: str, tmp_path: Path) -> None:
    installed = tmp_path / unit.name
    installed.write_text(unit.read_text().replace("/usr/bin/certmongerd", "/bin/true"))
    environment = {"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{tmp_path}:/lib/systemd/{manager}"}
    checked = subprocess.run(
        ["systemd-analyze", "verify", f"--{manager}", "--man=no", str(installed)],
        env=environment | {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_helpers_user_and_the_directories_are_made(tmp_path: Path) -> None:
    for kind in ("sysusers.d", "tmpfiles.d"):
        (tmp_path / "usr/lib" / kind).mkdir(parents=True)
        shutil.copy(PROJECT / "systemd" / kind / "certmongerd.conf", tmp_path / "usr/lib" / kind)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    for command in (["systemd-sysusers"], ["systemd-tmpfiles", "--create", "--boot"]):
        done = subprocess.run(
            [*command, f"--root={tmp_path}", "certmongerd.conf"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    name, _, uid, _, _, home, shell = (tmp_path / "etc/passwd").read_text().splitlines()[-1].split(":")
    assert (name, home, Path(shell).name) == (SERVICE_USER, "/", "nologin")
    assert 0 < int(uid) < 1000
    modes = {path: (tmp_path / path).stat().st_mode & 0o777 for path in ("run/certmonger", "var/lib/certmonger/local")}
    assert modes == {"run/certmonger": 0o755, "var/lib/certmonger/local": 0o700}


@pytest.mark.parametrize("script", [*sorted((PROJECT / "scripts").glob("*.sh")), PROJECT / ".ci" / "run"], ids=str)
def test_shell_scripts_parse_and_can_be_run(script: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111
