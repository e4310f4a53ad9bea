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
import base64
import binascii
import logging
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Final, NoReturn

from certmongerd import __version__
from certmongerd.core.errors import CertmongerError, InvalidValue

_log = logging.getLogger(__name__)

PACKAGE: Final = "certmongerd"
MAX_CSR_BYTES: Final = 1024 * 1024


class Operation(StrEnum):
    """What a helper can be asked for: the values of `CERTMONGER_OPERATION`."""

    IDENTIFY = "IDENTIFY"
    FETCH_ROOTS = "FETCH-ROOTS"
    GET_SUPPORTED_TEMPLATES = "GET-SUPPORTED-TEMPLATES"
    GET_DEFAULT_TEMPLATE = "GET-DEFAULT-TEMPLATE"
    GET_NEW_REQUEST_REQUIREMENTS = "GET-NEW-REQUEST-REQUIREMENTS"
    GET_RENEW_REQUEST_REQUIREMENTS = "GET-RENEW-REQUEST-REQUIREMENTS"
    FETCH_SCEP_CA_CAPS = "FETCH-SCEP-CA-CAPS"
    FETCH_SCEP_CA_CERTS = "FETCH-SCEP-CA-CERTS"
    SUBMIT = "SUBMIT"
    POLL = "POLL"


class ExitStatus(IntEnum):
    """How a helper ended. Any other number means that something is broken."""

    ISSUED = 0
    """Success; standard output has the certificate or the data asked for."""
    WAIT = 1
    """Ask again later with the cookie on standard output."""
    REJECTED = 2
    """The CA refused; the first line of standard output says why."""
    UNREACHABLE = 3
    """Trying again later can succeed; the first line says why it did not now."""
    UNCONFIGURED = 4
    """Somebody has to change a setting; the first line says which."""
    WAIT_WITH_DELAY = 5
    """As WAIT; the first line is the number of seconds, the cookie follows."""
    OPERATION_NOT_SUPPORTED = 6
    NEED_SCEP_MESSAGES = 16
    NEED_KEY_PAIR = 17


class HelperError(CertmongerError):
    """Ends a helper with *status* and one line on standard output."""

    def __init__(self, status: ExitStatus, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


class Rejected(HelperError):
    """The CA refused the request."""

    def __init__(self, reason: str) -> None:
        super().__init__(ExitStatus.REJECTED, reason)


class Unreachable(HelperError):
    """The CA could not be asked; trying again later can succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(ExitStatus.UNREACHABLE, reason)


class Unconfigured(HelperError):
    """A setting is missing or wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(ExitStatus.UNCONFIGURED, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a helper prints and the status it ends with."""

    output: str | bytes = ""
    """Written as it is; text as UTF-8."""
    status: ExitStatus = ExitStatus.ISSUED


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperInput:
    """The daemon's variables. Texts are empty and tuples have no members when a variable is not set."""

    operation_name: str = ""
    """As given; see `operation`."""
    ca_nickname: str = ""
    ca_profile: str = ""
    ca_issuer: str = ""
    ca_cookie: str = ""
    csr: str = ""
    """PEM of the PKCS#10 request; `read_csr` also looks at the operand and standard input."""
    spkac: str = ""
    spki: str = ""
    """Base64 of the SubjectPublicKeyInfo; `spki_der` decodes it."""
    key_type: str = ""
    certificate: str = ""
    """PEM of the certificate held so far."""
    req_subject: str = ""
    req_hostname: tuple[str, ...] = ()
    req_email: tuple[str, ...] = ()
    req_principal: tuple[str, ...] = ()
    req_ip_address: tuple[str, ...] = ()
    config_dir: str = ""
    local_ca_dir: str = ""
    scep_ca_identifier: str | None = None
    """None when not set; an empty identifier is one, too."""
    scep_ra_certificate: str = ""
    scep_ca_certificate: str = ""
    scep_certificates: str = ""
    """PEM of any number of certificates."""
    pkcsreq: str = ""
    getcertinitial: str = ""
    pkcsreq_rekey: str = ""
    getcertinitial_rekey: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "HelperInput":
        """Read the `CERTMONGER_*` variables of *environ*."""

        def text(name: str) -> str:
            return environ.get(f"CERTMONGER_{name}", "")

        def lines(name: str) -> tuple[str, ...]:
            return tuple(line.strip() for line in text(name).splitlines() if line.strip())

        return cls(
            operation_name=text("OPERATION"),
            ca_nickname=text("CA_NICKNAME"),
            ca_profile=text("CA_PROFILE"),
            ca_issuer=text("CA_ISSUER"),
            ca_cookie=text("CA_COOKIE"),
            csr=text("CSR"),
            spkac=text("SPKAC"),
            spki=text("SPKI"),
            key_type=text("KEY_TYPE"),
            certificate=text("CERTIFICATE"),
            req_subject=text("REQ_SUBJECT"),
            req_hostname=lines("REQ_HOSTNAME"),
            req_email=lines("REQ_EMAIL"),
            req_principal=lines("REQ_PRINCIPAL"),
            req_ip_address=lines("REQ_IP_ADDRESS"),
            config_dir=text("CONFIG_DIR"),
            local_ca_dir=text("LOCAL_CA_DIR"),
            scep_ca_identifier=environ.get("CERTMONGER_SCEP_CA_IDENTIFIER"),
            scep_ra_certificate=text("SCEP_RA_CERTIFICATE"),
            scep_ca_certificate=text("SCEP_CA_CERTIFICATE"),
            scep_certificates=text("SCEP_CERTIFICATES"),
            pkcsreq=text("PKCSREQ"),
            getcertinitial=text("GETCERTINITIAL"),
            pkcsreq_rekey=text("PKCSREQ_REKEY"),
            getcertinitial_rekey=text("GETCERTINITIAL_REKEY"),
        )

    @property
    def operation(self) -> Operation | None:
        """The operation asked for: SUBMIT when none was named, None for a name nobody knows."""
        name = self.operation_name.strip().upper()
        try:
            return Operation(name) if name else Operation.SUBMIT
        except ValueError:
            return None

    @property
    def spki_der(self) -> bytes:
        """DER SubjectPublicKeyInfo; empty when not set. Raises Unconfigured when it is not base64."""
        try:
            return base64.b64decode(self.spki, validate=True)
        except binascii.Error as exc:
            raise Unconfigured("CERTMONGER_SPKI is not base64") from exc

    def read_csr(self, operand: str | None = None) -> str:
        """The signing request: file *operand*, else the variable, else standard input if something was connected.

        Empty when there is none. Raises Unconfigured when the file cannot be read.
        """
        if operand:
            try:
                return Path(operand).read_bytes().decode("ascii", "replace")
            except OSError as exc:
                raise Unconfigured(f"Signing request {operand} cannot be read: {exc.strerror}") from exc
        return self.csr or _standard_input()


def _standard_input() -> str:
    """Text from standard input, unless it is closed, a terminal or the null device."""
    try:
        status = os.fstat(0)
        if stat.S_ISCHR(status.st_mode):
            return ""
        with os.fdopen(os.dup(0), "rb") as stream:
            return stream.read(MAX_CSR_BYTES).decode("ascii", "replace")
    except OSError:
        return ""  # closed, or a directory: the same as nothing given


Answer = Callable[[HelperInput, argparse.Namespace], Reply]
"""Answers one operation; raises HelperError to end with another status."""


def _no_options(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def _named_operation(given: HelperInput, options: argparse.Namespace) -> Operation | None:
    """The operation that the environment names."""
    del options
    return given.operation


@dataclass(frozen=True, slots=True, kw_only=True)
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


def build_parser(helper: Helper) -> argparse.ArgumentParser:
    """The command line of *helper*."""
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
