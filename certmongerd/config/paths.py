"""Where configuration and state are: the system's directories or a user's."""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONFIG_FILE_NAME: Final = "certmonger.conf"
DROP_IN_DIRECTORY_NAME: Final = "certmonger.conf.d"
RUN_DIR: Final = Path("/run/certmonger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The files and directories of one daemon."""

    config_dir: Path
    requests_dir: Path
    cas_dir: Path
    local_ca_dir: Path
    """Key, certificate and serial of the local CA."""
    tmpdir: Path
    """What helpers and hooks get as TMPDIR."""
    lock_file: Path
    """Locked by the one daemon that may use these directories."""
    run_dir: Path
    """Sockets and other things that end with the machine's uptime."""

    @property
    def config_file(self) -> Path:
        """certmonger.conf."""
        return self.config_dir / CONFIG_FILE_NAME

    @property
    def place_lock_file(self) -> Path:
        """Locked in parts by processes that change databases and tokens, whose daemon may be gone."""
        return self.lock_file.with_name(f"{self.lock_file.name}.places")

    @property
    def drop_in_dir(self) -> Path:
        """Documents that declare CAs and requests."""
        return self.config_dir / DROP_IN_DIRECTORY_NAME


def is_session_program(program: str) -> bool:
    """Whether *program*, as it was called, is a user's daemon: root's works on the system's directories."""
    return os.geteuid() != 0 or "session" in Path(program).name


def system_paths(environ: Mapping[str, str]) -> Paths:
    """The directories of the system's daemon; certmonger's environment variables override them."""
    state = Path("/var/lib/certmonger")
    return _overridden(environ, config=Path("/etc/certmonger"), state=state, run=RUN_DIR, tmp=RUN_DIR)


def session_paths(environ: Mapping[str, str]) -> Paths:
    """The directories of a user's daemon: all in `~/.config/certmonger`, as in certmonger.

    XDG_CONFIG_HOME has no effect, because certmonger does not look at it and both have to find
    the same files; sockets go to XDG_RUNTIME_DIR.
    """
    home = environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    own = Path(home) / ".config" / "certmonger"
    runtime = environ.get("XDG_RUNTIME_DIR")
    run = Path(runtime) / "certmonger" if runtime and os.path.isabs(runtime) else own
    return _overridden(environ, config=own, state=own, run=run, tmp=run)


def _overridden(environ: Mapping[str, str], *, config: Path, state: Path, run: Path, tmp: Path) -> Paths:
    def choose(variable: str, default: Path) -> Path:
        return Path(environ.get(variable) or default)

    return Paths(
        config_dir=choose("CERTMONGER_CONFIG_DIR", config),
        requests_dir=choose("CERTMONGER_REQUESTS_DIR", state / "requests"),
        cas_dir=choose("CERTMONGER_CAS_DIR", state / "cas"),
        local_ca_dir=choose("CERTMONGER_LOCAL_CA_DIR", state / "local"),
        tmpdir=choose("CERTMONGER_TMPDIR", tmp),
        lock_file=choose("CERTMONGER_SYSTEM_LOCK_FILE", state / "lock"),
        run_dir=run,
    )
