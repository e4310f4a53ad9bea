"""The enrolment helper protocol, seen from a helper: what it is asked, and how it answers.

The daemon passes everything in environment variables and reads the exit status
and standard output. A helper is a `Helper` value (which operations it answers,
with which functions) and a `main` that hands it to `run`:

    HELPER = Helper(
        program="example-submit",
        product="Example CA",
        answers={Operation.SUBMIT: submit, Operation.POLL: submit},
    )

    def main(argv: Sequence[str] | None = None) -> int:
        return run(HELPER, argv)
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NoReturn

from certmonger_helpers.given import HelperInput, Operation
from certmonger_helpers.outcome import ExitStatus, HelperError, Rejected, Unconfigured, Unreachable
from certmonger_helpers.privileges import declare_program
from certmongerd import __version__
from certmongerd.core.errors import CertmongerError, InvalidValue

__all__ = [
    "Answer",
    "ExitStatus",
    "Helper",
    "HelperError",
    "HelperInput",
    "Operation",
    "Rejected",
    "Reply",
    "Unconfigured",
    "Unreachable",
    "build_parser",
    "failure_reply",
    "run",
]

_log = logging.getLogger(__name__)

PACKAGE: Final = "certmongerd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a helper prints and the status it ends with."""

    output: str | bytes = ""
    """Written as it is; text as UTF-8."""
    status: ExitStatus = ExitStatus.ISSUED

    @classmethod
    def later(cls, cookie: str, delay_s: int | None = None) -> "Reply":
        """Not yet: be run again with *cookie*, after *delay_s* seconds or the daemon's own time.

        Without a cookie, which takes a delay, the request is submitted anew.
        """
        line = f"{cookie}\n" if cookie else ""
        if delay_s is None:
            return cls(status=ExitStatus.WAIT, output=line)
        return cls(status=ExitStatus.WAIT_WITH_DELAY, output=f"{delay_s}\n{line}")


Answer = Callable[[HelperInput, argparse.Namespace], Reply]
"""Answers one operation; raises HelperError to end with another status."""


def _no_options(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def _named_operation(given: HelperInput, options: argparse.Namespace) -> Operation | None:
    """The operation that the environment names."""
    del options
    return given.operation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Helper:
    """One helper program. IDENTIFY is answered here; what is not in `answers` is not supported."""

    program: str
    """Name in usage and messages, for example `local-submit`."""
    product: str
    """What it identifies as; package and version are added."""
    answers: Mapping[Operation, Answer]
    add_options: Callable[[argparse.ArgumentParser], None] = _no_options
    """Adds options and operands; `-v` (counted, `verbose`) and help exist already."""
    choose_operation: Callable[[HelperInput, argparse.Namespace], Operation | None] = _named_operation
    """For helpers whose options force an operation."""


class _Parser(argparse.ArgumentParser):
    """Prints usage on standard output and ends with UNCONFIGURED, as helpers do."""

    def error(self, message: str) -> NoReturn:
        """End the program because of an unusable command line."""
        raise Unconfigured(f"{message}\n{self.format_usage()}")


class _Usage(argparse.Action):
    """`--usage`: print the short form and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        """Print the usage line."""
        parser.print_usage(sys.stdout)
        parser.exit()


@cache
def build_parser(helper: Helper) -> argparse.ArgumentParser:
    """The command line of *helper*; made once, for all runs of a process."""
    parser = _Parser(prog=helper.program, add_help=False, allow_abbrev=True)
    parser.add_argument("-?", "--help", action="help", help="show this text and end")
    parser.add_argument("--usage", action=_Usage, nargs=0, help="show a short form of this text and end")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="log requests and replies on standard error; twice: more"
    )
    helper.add_options(parser)
    return parser


def run(helper: Helper, argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run *helper* once and return its exit status.

    *argv* excludes the program name (default: this process's); *environ* defaults to the process's. Whatever
    goes wrong becomes one clear line on standard output and a status, never a traceback.
    """
    os.umask(0o077)
    declare_program(is_program=environ is None)
    try:
        reply = _answer(helper, sys.argv[1:] if argv is None else argv, os.environ if environ is None else environ)
    except SystemExit as exc:  # --help
        return exc.code if isinstance(exc.code, int) else 0
    except Exception as exc:
        _log.debug("%s failed", helper.program, exc_info=True)
        reply = failure_reply(exc)
    return _write(reply)


def _answer(helper: Helper, argv: Sequence[str], environ: Mapping[str, str]) -> Reply:
    """Parse, choose the operation and answer it."""
    options = build_parser(helper).parse_args(argv)
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(options.verbose, 2)]
    logging.basicConfig(stream=sys.stderr, level=level, format=f"{helper.program}: %(message)s", force=True)
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)  # a helper may log more than that elsewhere
    given = HelperInput.from_environ(environ)
    operation = helper.choose_operation(given, options)
    if operation is Operation.IDENTIFY:
        return Reply(output=f"{helper.product} ({PACKAGE} {__version__})\n")
    answer = helper.answers.get(operation) if operation is not None else None
    if answer is None:
        return Reply(status=ExitStatus.OPERATION_NOT_SUPPORTED)
    return answer(given, options)


def failure_reply(error: Exception) -> Reply:
    """The status and the line for *error*."""
    match error:
        case HelperError(status=status, reason=reason):
            return Reply(output=f"{reason.rstrip()}\n", status=status)
        case InvalidValue():
            status = ExitStatus.UNCONFIGURED
            text = f"{error.what}: {error.reason}"
        case PermissionError() | FileNotFoundError() | NotADirectoryError() | IsADirectoryError():
            status = ExitStatus.UNCONFIGURED
            text = _describe_os_error(error)
        case OSError():
            status = ExitStatus.UNREACHABLE
            text = _describe_os_error(error)
        case CertmongerError():
            status = ExitStatus.UNREACHABLE
            text = str(error)
        case _:
            status = ExitStatus.UNREACHABLE
            text = f"Internal error: {type(error).__name__}: {error}"
    return Reply(output=" ".join(text.split()) + "\n", status=status)


def _describe_os_error(error: OSError) -> str:
    """What failed, with the file if there is one."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def _write(reply: Reply) -> int:
    """Print *reply* and return its status; output that cannot be delivered is a failure."""
    data = reply.output.encode("utf-8", "surrogateescape") if isinstance(reply.output, str) else reply.output
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as exc:
        print(f"Standard output: {exc.strerror}", file=sys.stderr)
        _discard_output()
        return int(ExitStatus.UNREACHABLE)
    return int(reply.status)


def _discard_output() -> None:
    """Let what could not be written go nowhere, so that the interpreter's end does not fail over it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
