"""What a helper's exit status and output mean."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.answers import HelperRun, RawIssued, first_line, normalise_cookie, read_answer
from certmongerd.core.events import (
    Answer,
    NeedKeyPair,
    NeedScepMessages,
    Rejected,
    Unconfigured,
    Unreachable,
    Unusable,
    Working,
)


def read(status: int | None, stdout: bytes = b"", *, scep_given: bool = False, stderr: str = "") -> Answer | RawIssued:
    return read_answer(HelperRun(exit_status=status, stdout=stdout, stderr_tail=stderr), scep_given=scep_given)


@pytest.mark.parametrize(
    ("status", "stdout", "expected"),
    [
        (0, b"anything", RawIssued(b"anything")),
        (0, b"", RawIssued(b"")),
        (1, b"cookie\n", Working(cookie="cookie")),
        (2, b"no\nmore\n", Rejected("no")),
        (2, b"", Rejected("")),
        (2, b"7\nno\n", Rejected("7")),
        (3, b"no route\n", Unreachable("no route")),
        (4, b"no settings\n", Unconfigured("no settings")),
        (5, b"30\ncookie\n", Working(cookie="cookie", delay=timedelta(seconds=30))),
        (6, b"what?\n", Unusable("what?")),
        (16, b"ignored\n", NeedScepMessages(were_given=False)),
        (17, b"ignored\n", NeedKeyPair()),
        (7, b"weird\n", Unusable("weird")),
        (127, b"not found\n", Unusable("not found")),
    ],
)
def test_each_exit_status_has_its_meaning(status: int, stdout: bytes, expected: Answer) -> None:
    assert read(status, stdout) == expected


def test_a_helper_that_was_given_scep_messages_and_wants_some_is_noticed() -> None:
    assert read(16, scep_given=True) == NeedScepMessages(were_given=True)


@pytest.mark.parametrize("status", [3, 4, 6, 7, 255])
def test_a_failure_without_a_word_still_gets_a_reason(status: int) -> None:
    answer = read(status)
    assert isinstance(answer, Unreachable | Unconfigured | Unusable)
    assert answer.text.endswith(".")


def test_the_last_line_of_standard_error_is_the_reason_when_there_is_no_output() -> None:
    assert read(3, stderr="Traceback\nConnectionError: refused\n") == Unreachable("ConnectionError: refused")
    # A rejection is the CA's own words or none.
    assert read(2, stderr="Traceback\n") == Rejected("")


@pytest.mark.parametrize("stdout", [b"", b"\n", b" \n", b"\r\n\r\n"])
def test_waiting_without_a_cookie_makes_no_sense(stdout: bytes) -> None:
    assert isinstance(read(1, stdout), Unusable)


@pytest.mark.parametrize(
    ("stdout", "delay", "cookie"),
    [
        (b"0\nc\n", 0, "c"),
        (b"-0\nc\n", 0, "c"),
        (b"007\nc\n", 7, "c"),
        (b"5\r\nc\r\n", 5, "c"),
        (b"3", 3, ""),
        (b"3\n", 3, ""),
        (b"-1\nc\n", None, "c"),
        (b"-" + b"9" * 5000 + b"\nc\n", None, "c"),
        (b"99999999999999999999\nc\n", 10**9, "c"),
        (b"9" * 100_000 + b"\nc\n", 10**9, "c"),
        (b"0" * 100_000 + b"4\nc\n", 4, "c"),
    ],
)
def test_a_delay_is_a_decimal_number_on_the_first_line(stdout: bytes, delay: int | None, cookie: str) -> None:
    answer = read(5, stdout)
    assert isinstance(answer, Working)
    assert answer.delay == (None if delay is None else timedelta(seconds=delay))
    assert answer.cookie == cookie


@pytest.mark.parametrize(
    "stdout",
    [
        b"",
        b"\n",
        b"soon\n",
        b"3 \nc\n",
        b" 3\nc\n",
        b"+3\nc\n",
        b"3.5\nc\n",
        b"0x10\nc\n",
        b"--3\nc\n",
        b"-\nc\n",
        b"3s",
        "٣\nc\n".encode(),
        b"\xff\nc\n",
    ],
)
def test_anything_else_on_the_first_line_spoils_the_answer(stdout: bytes) -> None:
    assert isinstance(read(5, stdout), Unusable)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one", "one"),
        ("one\n", "one"),
        ("one\r\n", "one"),
        ("a\nb", "a\nb\n"),
        ("a\nb\n", "a\nb\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\n\nb\n", "a\n\nb\n"),
        ("a\r\r\nb\r", "a\nb\n"),
        ("a\rb", "a\rb"),
        ("\n\r", ""),
        ('{"a": "\\u00e4", "b": [1]}\n', '{"a": "\\u00e4", "b": [1]}'),
    ],
)
def test_cookies_keep_everything_but_their_line_ends(text: str, expected: str) -> None:
    assert normalise_cookie(text) == expected


@given(st.one_of(st.text(), st.text("a\r\n")))
def test_a_kept_cookie_is_not_changed_by_keeping_it_again(text: str) -> None:
    kept = normalise_cookie(text)
    assert normalise_cookie(kept) == kept


def test_a_helper_that_was_stopped_counts_as_a_ca_that_did_not_answer() -> None:
    late = read_answer(HelperRun(exit_status=None, signal=15, timed_out=True, time_limit_s=600), scep_given=False)
    assert late == Unreachable("The CA's helper did not finish within 600 seconds and was stopped.")
    endless = read_answer(HelperRun(exit_status=0, stdout=b"x", truncated=True), scep_given=False)
    assert isinstance(endless, Unreachable)


def test_a_helper_that_a_signal_ended_is_out_of_order() -> None:
    answer = read_answer(HelperRun(exit_status=None, signal=11, stdout=b"cookie\n"), scep_given=False)
    assert answer == Unusable("The CA's helper was ended by signal 11.")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"", ""),
        (b"\n\n text \nmore", "text"),
        (b"a\tb\x1b[31m\x00\n", "a�b�[31m�"),
        (b"\xff\xfe\n", "��"),
        ("größer\n".encode(), "größer"),
    ],
)
def test_the_first_line_can_be_shown(output: bytes, expected: str) -> None:
    assert first_line(output) == expected


def test_an_endless_first_line_is_cut() -> None:
    assert len(first_line(b"x" * 10**6)) == 1024


@given(st.none() | st.integers(-1, 300), st.binary(), st.booleans(), st.text())
def test_whatever_a_helper_does_has_a_meaning(status: int | None, stdout: bytes, given_: bool, stderr: str) -> None:
    answer = read(status, stdout, scep_given=given_, stderr=stderr)
    if isinstance(answer, Rejected | Unreachable | Unconfigured | Unusable):
        assert "\n" not in answer.text
        assert len(answer.text) <= 1024
    if isinstance(answer, Working):
        assert answer.delay is None or answer.delay >= timedelta(0)
