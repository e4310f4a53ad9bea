"""The protocol with helpers over several runs: cookies over restarts, SCEP messages, endless wishes."""

from collections.abc import Callable
from pathlib import Path

from daemon_under_test import DaemonUnderTest, wait_until
from helper_cases import CA, KEY_PEM, LEAF, ROOT
from scep_material import certificate, pem, rsa_key

MakeDaemon = Callable[..., DaemonUnderTest]
COOKIE = 'first "line" {}\\\n  zweite: äöü\n\nlast\n'
RA = certificate("RA", rsa_key("helpers' RA"), ca=False)
SCEP_HELPER = """\
#!/bin/sh
d={root}/scep
case "$CERTMONGER_OPERATION" in
FETCH-SCEP-CA-CAPS) printf 'SHA-256\\nAES\\n' ;;
FETCH-SCEP-CA-CERTS) cat $d.certificates ;;
SUBMIT|POLL)
    [ -n "$CERTMONGER_PKCSREQ" ] || exit 16
    env > $d.$CERTMONGER_OPERATION
    echo "$CERTMONGER_OPERATION" >> $d.runs
    [ "$CERTMONGER_CA_PROFILE" != never ] || exit 16
    if [ "$CERTMONGER_OPERATION" = SUBMIT ]; then printf '0\\nwaiting\\n'; exit 5; fi
    cat {root}/leaf.pem ;;
*) exit 6 ;;
esac
"""


def test_a_cookie_of_several_lines_outlives_the_daemon(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    (daemon.root / "cookie").write_text("3600\n" + COOKIE)
    daemon.add_helper(
        "later",
        f'if [ "$CERTMONGER_OPERATION" = SUBMIT ]; then cat {daemon.root}/cookie; exit 5; fi\n'
        f'cd {daemon.root}; printf %s "$CERTMONGER_CA_COOKIE" > seen.new; mv seen.new seen; exit 1',
    )
    daemon.request("it", ca="later")
    assert daemon.listing("it")["status"] == "CA_WORKING"
    daemon.kill()
    daemon.start()
    assert daemon.getcert("refresh", "-i", "it").returncode == 0
    wait_until((daemon.root / "seen").exists, daemon.log)
    assert (daemon.root / "seen").read_text() == COOKIE


def scep_daemon(make_daemon: MakeDaemon) -> DaemonUnderTest:
    """A daemon with a CA whose helper is a shell script that speaks SCEP."""
    daemon = make_daemon()
    daemon.start()
    helper = daemon.root / "scep.sh"
    helper.write_text(SCEP_HELPER.format(root=daemon.root))
    helper.chmod(0o755)
    (daemon.root / "scep.certificates").write_text(pem(RA, CA, ROOT))
    (daemon.root / "leaf.pem").write_text(pem(LEAF))
    (daemon.certs / "it.key").write_bytes(KEY_PEM)
    assert daemon.getcert("add-ca", "-c", "scep", "-e", str(helper)).returncode == 0
    assert daemon.getcert("modify-ca", "-c", "scep", "--scep-ca-identifier", "department").returncode == 0
    return daemon


def variables(path: Path) -> set[str]:
    """The names of protocol variables that a run had."""
    names = {line.partition("=")[0] for line in path.read_text().splitlines() if line.startswith("CERTMONGER_")}
    return {name.removeprefix("CERTMONGER_") for name in names}


def test_a_script_is_given_scep_messages_when_it_asks_for_them(make_daemon: MakeDaemon) -> None:
    daemon = scep_daemon(make_daemon)
    daemon.request("it", ca="scep")
    daemon.wait_for("it")
    server = {"SCEP_CA_IDENTIFIER", "SCEP_RA_CERTIFICATE", "SCEP_CA_CERTIFICATE", "SCEP_CERTIFICATES"}
    messages = {"PKCSREQ", "GETCERTINITIAL"}
    assert server | messages <= variables(daemon.root / "scep.SUBMIT")
    assert server | messages | {"CA_COOKIE"} <= variables(daemon.root / "scep.POLL")
    assert (daemon.certs / "it.crt").read_text() == pem(LEAF)


def test_a_script_that_never_has_enough_messages_is_not_run_for_ever(make_daemon: MakeDaemon) -> None:
    daemon = scep_daemon(make_daemon)
    daemon.request("it", "-T", "never", ca="scep")
    shown = daemon.listing("it")
    assert shown["status"] in ("NEED_SCEP_DATA", "CA_UNREACHABLE", "NEED_GUIDANCE"), shown
    assert "SCEP" in shown["ca-error"]
    assert len((daemon.root / "scep.runs").read_text().split()) <= 3
