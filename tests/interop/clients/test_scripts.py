"""What shell scripts, Nagios checks and Puppet facts read out of `getcert list` and `getcert status`."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from daemon_under_test import BIN, DaemonUnderTest

ENTRIES_BY_BLANK_LINES_OF_ONE_TAB = r"""
getcert list | awk -F"'" '
/^Request ID/ { id = $2 }
/^\tstatus: / { split($0, a, ": "); status[id] = a[2] }
/^\tstuck: yes/ { stuck[id] = 1 }
END { for (id in status) print id, status[id], stuck[id] + 0 }' | sort
"""
DAYS_LEFT = r"""
getcert list -i "$1" | sed -n 's/^\texpires: //p' | while read -r expires; do
    echo $(( ($(date -d "$expires" +%s) - $(date +%s)) / 86400 ))
done
"""
LOCATIONS = r"""
getcert list -i "$1" | sed -n \
    -e "s/^\tkey pair storage: type=\([A-Z]*\),location='\([^']*\)'.*/key \1 \2/p" \
    -e "s/^\tcertificate: type=\([A-Z]*\),location='\([^']*\)'.*/cert \1 \2/p" \
    -e "s/^\tCA: /ca /p" -e "s/^\tdns: /dns /p" -e "s/^\tsubject: /subject /p" \
    -e "s/^\ttrack: /track /p" -e "s/^\tauto-renew: /renew /p" -e "s/^\tpost-save command: /post /p"
"""
COUNT = "getcert list | sed -n 's/^Number of certificates and requests being tracked: \\([0-9]*\\)\\.$/\\1/p'"
CA_HELPERS = (
    r"""getcert list-cas | awk '/^CA /{gsub("[\x27:]","",$2); ca=$2} /helper-location/{print ca, $2}' | grep ^mine"""
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"))
    under_test.start()
    under_test.add_helper("mine", "echo never; exit 2")
    assert under_test.request("good", "-D", "good.example.org", "-C", "/bin/true").returncode == 0
    under_test.request("bad", ca="mine")
    yield under_test
    under_test.close()


def shell(daemon: DaemonUnderTest, script: str, *arguments: str) -> list[str]:
    """The lines that a script prints, with our getcert in its path."""
    environment = daemon.environment() | {"CERTMONGER_PVT_ADDRESS": f"unix:path={daemon.socket}"}
    environment["PATH"] = f"{BIN}:{environment['PATH']}"
    finished = subprocess.run(
        ["/bin/sh", "-c", script, "script", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.stderr == ""
    return finished.stdout.splitlines()


def test_entries_states_and_trouble_are_cut_out_of_the_list(daemon: DaemonUnderTest) -> None:
    assert shell(daemon, ENTRIES_BY_BLANK_LINES_OF_ONE_TAB) == ["bad CA_REJECTED 1", "good MONITORING 0"]
    assert shell(daemon, COUNT) == ["2"]


def test_the_time_of_expiry_is_one_that_date_understands(daemon: DaemonUnderTest) -> None:
    (days,) = shell(daemon, DAYS_LEFT, "good")

    year = datetime.now(UTC) + timedelta(days=int(days))
    assert abs(year - datetime.now(UTC) - timedelta(days=365)) < timedelta(days=2)


def test_the_fields_of_an_entry_are_cut_out_of_its_lines(daemon: DaemonUnderTest) -> None:
    assert shell(daemon, LOCATIONS, "good") == [
        f"key FILE {daemon.certs}/good.key",
        f"cert FILE {daemon.certs}/good.crt",
        "ca local",
        "subject CN=good.example.org",
        "dns good.example.org",
        "post /bin/true",
        "track yes",
        "renew yes",
    ]


def test_the_status_of_a_request_is_an_exit_status(daemon: DaemonUnderTest) -> None:
    assert shell(daemon, "for id in good bad nobody; do getcert status -i $id >/dev/null; echo $?; done") == [
        "0",
        "2",
        "1",
    ]


def test_the_helpers_of_cas_are_cut_out_of_their_list(daemon: DaemonUnderTest) -> None:
    assert shell(daemon, CA_HELPERS) == [f"mine {daemon.root}/mine.sh"]
