"""The files for systemd and D-Bus activation fit the daemon."""

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from certmongerd.api import BUS_NAME
from certmongerd.options import parse_options

PROJECT = Path(__file__).parents[3]
UNIT = PROJECT / "systemd" / "certmongerd.service"
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


@pytest.mark.parametrize("script", [*sorted((PROJECT / "scripts").glob("*.sh")), PROJECT / ".ci" / "run"], ids=str)
def test_shell_scripts_parse_and_can_be_run(script: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111
