"""Directories of system and session daemons."""

import os
import pwd
from pathlib import Path

from certmongerd.config.paths import Paths, session_paths, system_paths

OVERRIDES = {
    "CERTMONGER_CONFIG_DIR": "/t/config",
    "CERTMONGER_REQUESTS_DIR": "/t/requests",
    "CERTMONGER_CAS_DIR": "/t/cas",
    "CERTMONGER_LOCAL_CA_DIR": "/t/local",
    "CERTMONGER_TMPDIR": "/t/tmp",
    "CERTMONGER_SYSTEM_LOCK_FILE": "/t/lock",
}


def test_the_system_has_the_directories_of_certmonger() -> None:
    paths = system_paths({"HOME": "/root"})

    assert paths == Paths(
        config_dir=Path("/etc/certmonger"),
        requests_dir=Path("/var/lib/certmonger/requests"),
        cas_dir=Path("/var/lib/certmonger/cas"),
        local_ca_dir=Path("/var/lib/certmonger/local"),
        tmpdir=Path("/run/certmonger"),
        lock_file=Path("/var/lib/certmonger/lock"),
        run_dir=Path("/run/certmonger"),
    )
    assert paths.config_file == Path("/etc/certmonger/certmonger.conf")


def test_a_session_keeps_everything_below_the_home_directory() -> None:
    own = Path("/home/u/.config/certmonger")

    assert session_paths({"HOME": "/home/u", "XDG_CONFIG_HOME": "/elsewhere"}) == Paths(
        config_dir=own,
        requests_dir=own / "requests",
        cas_dir=own / "cas",
        local_ca_dir=own / "local",
        tmpdir=own,
        lock_file=own / "lock",
        run_dir=own,
    )


def test_a_session_puts_sockets_where_they_end_with_the_session() -> None:
    assert session_paths({"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7"}).run_dir == Path(
        "/run/user/7/certmonger"
    )


def test_a_relative_runtime_directory_is_not_used() -> None:
    assert session_paths({"HOME": "/home/u", "XDG_RUNTIME_DIR": "run"}).run_dir == Path("/home/u/.config/certmonger")


def test_without_home_the_account_tells() -> None:
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)

    assert session_paths({}).config_dir == home / ".config" / "certmonger"


def test_variables_override_both() -> None:
    for paths in (system_paths(OVERRIDES), session_paths(OVERRIDES | {"HOME": "/home/u"})):
        assert paths.config_file == Path("/t/config/certmonger.conf")
        assert paths.requests_dir == Path("/t/requests")
        assert paths.cas_dir == Path("/t/cas")
        assert paths.local_ca_dir == Path("/t/local")
        assert paths.tmpdir == Path("/t/tmp")
        assert paths.lock_file == Path("/t/lock")


def test_an_empty_variable_overrides_nothing() -> None:
    assert system_paths({"CERTMONGER_CAS_DIR": ""}).cas_dir == Path("/var/lib/certmonger/cas")
