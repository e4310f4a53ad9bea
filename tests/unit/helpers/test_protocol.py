"""What every helper does alike."""

import argparse
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from certmonger_helpers.protocol import (
    ExitStatus,
    Helper,
    HelperInput,
    Operation,
    Rejected,
    Reply,
    Unconfigured,
    Unreachable,
    run,
)
from certmongerd import __version__
from certmongerd.core.errors import InvalidValue, RemoteProtocolError


@pytest.fixture(autouse=True)
def process_settings() -> Iterator[None]:
    """Undo what a helper does to its process."""
    umask = os.umask(0o022)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    os.umask(umask)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def _add_operand(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("csr", nargs="?")


def ended(
    capfd: pytest.CaptureFixture[str],
    error: Exception | None = None,
    *,
    reply: Reply | None = None,
    argv: tuple[str, ...] = (),
    **environ: str,
) -> tuple[int, str]:
    """Run a helper whose SUBMIT raises or replies; its status and output."""

    def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
        if error is not None:
            raise error
        return reply or Reply(output=given.read_csr(options.csr))

    helper = Helper(
        program="trial-submit",
        product="Trial CA",
        answers={Operation.SUBMIT: submit},
        add_options=_add_operand,
    )
    status = run(helper, argv, {f"CERTMONGER_{name}": value for name, value in environ.items()})
    return status, capfd.readouterr().out


def test_identification_names_product_package_and_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(capfd, OPERATION="identify") == (0, f"Trial CA (certmongerd {__version__})\n")


@pytest.mark.parametrize("name", ["POLL", "FETCH-ROOTS", "MAKE-COFFEE"])
def test_other_operations_are_not_supported_and_print_nothing(capfd: pytest.CaptureFixture[str], name: str) -> None:
    assert ended(capfd, OPERATION=name) == (6, "")


def test_no_operation_means_submit(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(capfd, CSR="text\n") == (0, "text\n")


def test_an_operand_wins_over_the_variable(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "csr").write_text("from file")
    assert ended(capfd, argv=(str(tmp_path / "csr"),), CSR="from variable") == (0, "from file")


def test_an_unreadable_operand_is_a_setting_to_change(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, output = ended(capfd, argv=(str(tmp_path / "csr"),))
    assert status == ExitStatus.UNCONFIGURED
    assert output == f"Signing request {tmp_path}/csr cannot be read: No such file or directory\n"


def test_a_request_can_come_from_standard_input(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "csr").write_text("from input")
    saved = os.dup(0)
    with (tmp_path / "csr").open("rb") as stream:
        os.dup2(stream.fileno(), 0)
    try:
        assert ended(capfd) == (0, "from input")
    finally:
        os.dup2(saved, 0)
        os.close(saved)


@pytest.mark.parametrize("is_closed", [True, False])
def test_no_standard_input_means_no_request(capfd: pytest.CaptureFixture[str], is_closed: bool) -> None:
    saved = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if is_closed:
        os.close(0)
    try:
        assert ended(capfd) == (0, "")
    finally:
        os.dup2(saved, 0)
        os.close(saved)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (Rejected("No."), ExitStatus.REJECTED, "No."),
        (Unreachable("Try later."), ExitStatus.UNREACHABLE, "Try later."),
        (Unconfigured("No URL."), ExitStatus.UNCONFIGURED, "No URL."),
        (InvalidValue("validity", "Not a number."), ExitStatus.UNCONFIGURED, "validity: Not a number."),
        (RemoteProtocolError("Bad\nreply"), ExitStatus.UNREACHABLE, "Bad reply"),
        (PermissionError(13, "Permission denied", "/file"), ExitStatus.UNCONFIGURED, "/file: Permission denied"),
        (ConnectionRefusedError(111, "Connection refused"), ExitStatus.UNREACHABLE, "Connection refused"),
        (TimeoutError(), ExitStatus.UNREACHABLE, "TimeoutError"),
        (ZeroDivisionError("oh"), ExitStatus.UNREACHABLE, "Internal error: ZeroDivisionError: oh"),
    ],
)
def test_an_error_becomes_one_line_and_a_status(
    capfd: pytest.CaptureFixture[str], error: Exception, status: ExitStatus, line: str
) -> None:
    assert ended(capfd, error) == (status, f"{line}\n")


@pytest.mark.parametrize(("argv", "is_shown"), [((), False), (("-v",), False), (("-v", "-v"), True)])
def test_a_traceback_is_shown_only_to_those_who_ask(
    capfd: pytest.CaptureFixture[str], argv: tuple[str, ...], is_shown: bool
) -> None:
    def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
        raise ZeroDivisionError("oh")

    helper = Helper(program="x", product="X", answers={Operation.SUBMIT: submit})
    assert run(helper, argv, {}) == ExitStatus.UNREACHABLE
    output, errors = capfd.readouterr()
    assert output == "Internal error: ZeroDivisionError: oh\n"
    assert ("Traceback" in errors) is is_shown


def test_any_status_and_bytes_can_be_replied(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    helper = Helper(
        program="x",
        product="X",
        answers={Operation.POLL: lambda *_: Reply(output=b"5\r\n\xff\0", status=ExitStatus.WAIT_WITH_DELAY)},
    )
    assert run(helper, (), {"CERTMONGER_OPERATION": "POLL"}) == 5
    assert capfdbinary.readouterr().out == b"5\r\n\xff\0"


@pytest.mark.parametrize("option", ["--help", "-?", "--usage"])
def test_help_is_printed_and_success(capfd: pytest.CaptureFixture[str], option: str) -> None:
    status, output = ended(capfd, argv=(option,))
    assert status == 0
    assert output.startswith("usage: trial-submit")


def test_an_unknown_option_explains_itself_on_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    status, output = ended(capfd, argv=("--unknown",))
    assert status == 4
    assert output.startswith("unrecognized arguments: --unknown\nusage: trial-submit")


def test_an_option_can_force_an_operation(capfd: pytest.CaptureFixture[str]) -> None:
    helper = Helper(
        program="x",
        product="X",
        answers={Operation.POLL: lambda *_: Reply(output="polled")},
        choose_operation=lambda given, options: Operation.POLL,
    )
    assert run(helper, (), {"CERTMONGER_OPERATION": "SUBMIT"}) == 0
    assert capfd.readouterr().out == "polled"


def test_output_that_nobody_reads_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = io.TextIOWrapper(os.fdopen(writer, "wb", buffering=0), write_through=True)
    monkeypatch.setattr("sys.stdout", stream)  # the stream of the process is what is tested
    helper = Helper(program="x", product="X", answers={Operation.SUBMIT: lambda *_: Reply(output="certificate")})
    assert run(helper, (), {}) == ExitStatus.UNREACHABLE
    stream.close()


def test_variables_are_read_by_their_names() -> None:
    given = HelperInput.from_environ(
        {
            "CERTMONGER_OPERATION": "poll",
            "CERTMONGER_REQ_HOSTNAME": "a\nb\n",
            "CERTMONGER_CA_COOKIE": "cookie\n",
            "CERTMONGER_SCEP_CA_IDENTIFIER": "",
            "CERTMONGER_SPKI": "MAA=",
            "CERTMONGER_PKCSREQ_REKEY": "P7",
        }
    )
    assert given.operation is Operation.POLL
    assert given.req_hostname == ("a", "b")
    assert given.ca_cookie == "cookie\n"
    assert given.scep_ca_identifier == ""
    assert given.spki_der == b"0\0"
    assert given.pkcsreq_rekey == "P7"
    assert HelperInput.from_environ({}).scep_ca_identifier is None
    assert HelperInput.from_environ({}).req_email == ()


def test_a_key_that_is_not_base64_is_named() -> None:
    with pytest.raises(Unconfigured, match="CERTMONGER_SPKI"):
        HelperInput.from_environ({"CERTMONGER_SPKI": "*"}).spki_der  # noqa: B018 - the access is the test
