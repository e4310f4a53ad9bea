import io

import pytest

from getcert.entries import Properties, RequestEntry
from getcert.wait import Progress, advice_lines, exit_status


@pytest.mark.parametrize(
    ("state", "stuck", "status"),
    [
        ("MONITORING", False, 0),
        ("CA_REJECTED", True, 2),
        ("CA_UNREACHABLE", False, 3),
        ("NEED_CA", True, 4),
        ("CA_UNCONFIGURED", True, 4),
        ("CA_WORKING", False, 5),
        ("SUBMITTING", False, 5),
        ("A_STATE_OF_TOMORROW", False, 5),
        ("A_STATE_OF_TOMORROW", True, 4),
    ],
)
def test_every_state_has_its_exit_status(state: str, stuck: bool, status: int) -> None:
    assert exit_status(state, stuck=stuck) == status


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def played(out: io.StringIO, *, verbose: bool) -> str:
    clock = iter(range(100))
    progress = Progress(out, verbose=verbose, now=lambda: float(next(clock)))
    for state in ("GENERATING_CSR", "GENERATING_CSR", "SUBMITTING"):
        progress.show(state, stuck=False)
    progress.end()
    return out.getvalue()


def test_progress_is_silent_where_nobody_looks() -> None:
    assert played(io.StringIO(), verbose=False) == ""


def test_verbose_progress_has_one_line_for_each_state() -> None:
    text = "State GENERATING_CSR, stuck: no.\nState SUBMITTING, stuck: no.\n"
    assert played(io.StringIO(), verbose=True) == text
    assert played(Terminal(), verbose=True) == text


def test_a_terminal_is_left_with_one_line_for_each_state() -> None:
    lines = played(Terminal(), verbose=False).split("\n")
    left = [line.rpartition("\x1b[K")[2].split()[0] for line in lines if line]
    assert left == ["GENERATING_CSR", "SUBMITTING"]


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("NEED_CA", "getcert resubmit -i web -c NAME"),
        ("CA_REJECTED", "getcert resubmit -i web"),
        ("NEED_CSR_GEN_PIN", "getcert resubmit -i web -p FILE"),
        ("NEED_CERTSAVE_PERMS", "security label"),
        ("NEED_KEY_GEN_TOKEN", "token's name"),
    ],
)
def test_a_stuck_request_is_explained(status: str, hint: str) -> None:
    entry = RequestEntry(
        "/r", Properties({"nickname": "web", "status": status, "stuck": True, "ca-error": "Policy says no."})
    )
    reason, advice = advice_lines(entry)
    assert reason == "The CA says: Policy says no."
    assert hint in advice
