"""The daemon asks helpers that know GET-RENEWAL-INFO (RFC 9773), and only these."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest
from scep_rig import until


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonUnderTest]:
    under_test = DaemonUnderTest(tmp_path)
    under_test.start()
    yield under_test
    under_test.close()


def add_ca(daemon: DaemonUnderTest, name: str, answer: str) -> Path:
    """A CA that issues as the local one does, and has *answer* for GET-RENEWAL-INFO; the log of these questions."""
    log, path = daemon.root / f"{name}.log", daemon.root / f"{name}.sh"
    path.write_text(
        f"""#!/bin/sh
case "$CERTMONGER_OPERATION" in
SUBMIT|POLL) exec {sys.executable} -I -m certmonger_helpers.local_submit ;;
GET-RENEWAL-INFO) ;;
*) exit 6 ;;
esac
echo "${{CERTMONGER_CERTIFICATE:+with}}" >>{log}
{answer}
"""
    )
    path.chmod(0o755)
    added = daemon.getcert("add-ca", "-c", name, "-e", str(path))
    assert added.returncode == 0, added.stdout
    return log


def why(daemon: DaemonUnderTest, name: str) -> str:
    return daemon.getcert("why", "-i", name).stdout


def test_what_the_ca_wants_is_asked_for_and_shown(daemon: DaemonUnderTest) -> None:
    log = add_ca(
        daemon,
        "advising",
        '[ -z "$CERTMONGER_CERTIFICATE" ] || '
        f"{sys.executable} -c 'import datetime as d; n = d.datetime.now(d.UTC)\n"
        'print("start=%s\\nend=%s\\nexplanation-url=https://ca.example.org/why" % '
        "((n + d.timedelta(days=30)).isoformat(), (n + d.timedelta(days=40)).isoformat()))'",
    )
    daemon.request("a", ca="advising")
    until(lambda: "the CA wants it renewed between" in why(daemon, "a"))
    assert "https://ca.example.org/why" in why(daemon, "a")
    assert log.read_text().split("\n") == ["", "with", ""]
    # Nothing of it is stored: the next daemon asks again.
    daemon.stop()
    daemon.start()
    until(lambda: "the CA wants it renewed between" in why(daemon, "a"))


@pytest.mark.parametrize("answer", ["exit 6", '[ -z "$CERTMONGER_CERTIFICATE" ] && exit 0; echo broken; exit 3'])
def test_a_ca_without_advice_leaves_the_thresholds(daemon: DaemonUnderTest, answer: str) -> None:
    log = add_ca(daemon, "silent", answer)
    until(log.exists)
    daemon.request("a", ca="silent")
    assert daemon.listing("a")["status"] == "MONITORING"
    assert "28 days" in why(daemon, "a")
    assert ("with" in log.read_text()) == (answer != "exit 6")
