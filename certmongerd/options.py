"""The daemon's command line, as certmonger(8)."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the daemon was asked to be."""

    session_bus: bool | None
    """True for the session bus, False for the system bus, None for the default of the directories in use."""
    listen: bool
    """Whether to offer a private socket."""
    only_listen: bool
    """Whether to offer nothing but the private socket."""
    listen_location: str | None
    idle_timeout_s: int
    """Seconds without calls and requests after which to end; 0 means never."""
    foreground: bool
    debug_level: int
    json_log: bool
    """Whether log records are JSON objects."""
    metrics: str | None
    """Where metrics are served, see `certmongerd.observe.exposition.parse_place`; None means nowhere."""
    metrics_file: str | None
    pid_file: str | None
    command: str | None
    show_version: bool
    show_helper_dir: bool
    check_config: bool
    """Whether to say what is wrong with the configuration, and do nothing else."""


class _Parser(argparse.ArgumentParser):
    """Answers wrong options with usage on standard output and status 1, as certmonger does."""

    def error(self, message: str) -> NoReturn:
        print(f"certmongerd: {message}")
        print(self.format_usage(), end="")
        raise SystemExit(1)


def make_parser() -> argparse.ArgumentParser:
    """The command line, for reading it and for the manual."""
    parser = _Parser(
        prog="certmongerd",
        description="Obtains, tracks and renews X.509 certificates.",
        allow_abbrev=False,
    )
    bus = parser.add_mutually_exclusive_group()
    bus.add_argument("-s", "--session", action="store_true", help="serve the session bus")
    bus.add_argument("-S", "--system", action="store_true", help="serve the system bus")
    parser.add_argument("-l", "--listening-socket", action="store_true", help="also serve a private socket")
    parser.add_argument("-L", "--only-listening-socket", action="store_true", help="serve a private socket and no bus")
    parser.add_argument("-P", "--listening-socket-path", metavar="PATH", help="where the private socket is")
    parser.add_argument(
        "-b", "--bus-activation-timeout", metavar="SECONDS", type=int, help="end after so long with nothing to do"
    )
    parser.add_argument("-B", "--no-bus-activation-timeout", action="store_true", help="never end by itself")
    fork = parser.add_mutually_exclusive_group()
    fork.add_argument("-n", "--nofork", action="store_true", help="stay in the foreground, log to standard error")
    fork.add_argument("-f", "--fork", action="store_true", help="go to the background, log to syslog")
    parser.add_argument("-d", "--debug-level", metavar="LEVEL", type=int, help="how much to log (0-15); implies -n")
    parser.add_argument("--log-json", action="store_true", help="log one JSON object per line")
    parser.add_argument(
        "--metrics", metavar="ADDRESS", help="serve Prometheus metrics at unix:PATH, 127.0.0.1:PORT or [::1]:PORT"
    )
    parser.add_argument("--metrics-textfile", metavar="FILE", help="write Prometheus metrics to FILE twice a minute")
    parser.add_argument("-p", "--pidfile", metavar="FILE", help="write the process id to FILE")
    parser.add_argument("-F", "--fips", action="store_true", help="accepted for compatibility; OpenSSL decides")
    parser.add_argument("-c", "--command", metavar="COMMAND", help="run COMMAND and end when it does")
    parser.add_argument("-v", "--version", action="store_true", help="print the version")
    parser.add_argument("--helper-dir", action="store_true", help="print the folder of the enrolment helpers")
    parser.add_argument("--check-config", action="store_true", help="print mistakes in the configuration; status 1")
    return parser


def parse_options(argv: Sequence[str]) -> Options:
    """Read *argv* (without the program name). Raises SystemExit(1) after printing what is wrong."""
    parser = make_parser()
    given = parser.parse_args(argv)
    timeout = given.bus_activation_timeout or 0
    if given.no_bus_activation_timeout:
        timeout = 0
    if timeout > 0 and given.command:
        parser.error("-b and -c exclude each other")
    background = given.fork or not (given.nofork or given.debug_level is not None or given.command)
    return Options(
        session_bus=True if given.session else False if given.system else None,
        listen=given.listening_socket or given.only_listening_socket or given.listening_socket_path is not None,
        only_listen=given.only_listening_socket,
        listen_location=given.listening_socket_path,
        idle_timeout_s=max(timeout, 0),
        foreground=not background,
        debug_level=given.debug_level or 0,
        json_log=given.log_json,
        metrics=given.metrics,
        metrics_file=given.metrics_textfile,
        pid_file=given.pidfile,
        command=given.command,
        show_version=given.version,
        show_helper_dir=given.helper_dir,
        check_config=given.check_config,
    )
