"""The playbooks of the documents, run by Ansible itself against a daemon: what is declared comes to be, once."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemon_under_test import BIN, DaemonUnderTest, assert_pair, openssl

PLAYBOOKS = Path(__file__).parents[3] / "docs" / "ansible"
LIMIT_S = 300


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonUnderTest]:
    under_test = DaemonUnderTest(tmp_path)
    under_test.start()
    yield under_test
    under_test.close()


Play = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def play(daemon: DaemonUnderTest) -> Play:
    """Runs a playbook on a host that is this one, with host variables."""
    program = shutil.which("ansible-playbook")
    assert program is not None, "Ansible is not installed: apt-get install ansible-core"

    def run(playbook: str, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": "/usr/bin/python3",
            "certificate_become": False,
            "certificate_directory": str(daemon.root),
            **variables,
        }
        inventory = daemon.root / "inventory.yaml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": {"www": host}}}))
        environment = daemon.environment() | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "CERTMONGER_PVT_ADDRESS": f"unix:path={daemon.socket}",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(daemon.root / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(daemon.root / "ansible" / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(daemon.root / "ansible" / "remote"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "False",
        }
        return subprocess.run(
            [program, "-i", str(inventory), *options, str(PLAYBOOKS / playbook)],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )

    return run


def recap(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """What Ansible counted on the host."""
    line = next(line for line in done.stdout.splitlines() if line.startswith("www ") and "ok=" in line)
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}


def declared(daemon: DaemonUnderTest, *names: str) -> dict[str, Any]:
    request = {
        "id": "web",
        "certfile": str(daemon.certs / "web.crt"),
        "keyfile": str(daemon.certs / "web.key"),
        "subject-name": "CN=www.example.org",
        "dns": list(names),
    }
    return {"defaults": {"ca": "local", "key-type": "EC"}, "requests": [request]}


def test_certificates_come_to_be_as_declared_and_stay_so(daemon: DaemonUnderTest, play: Play) -> None:
    certificates = declared(daemon, "www.example.org")

    only_told = play("certificates.yml", "--check", certificates=certificates)
    assert only_told.returncode == 0, only_told.stdout + only_told.stderr
    assert not (daemon.certs / "web.crt").exists()

    made = play("certificates.yml", certificates=certificates)
    assert (made.returncode, recap(made)["changed"]) == (0, 2), made.stdout + made.stderr
    assert_pair(daemon.certs / "web.crt", daemon.certs / "web.key")

    again = play("certificates.yml", certificates=certificates)
    assert (again.returncode, recap(again)["changed"]) == (0, 0), again.stdout + again.stderr

    other = play("certificates.yml", certificates=declared(daemon, "www.example.org", "example.org"))
    assert (other.returncode, recap(other)["changed"]) == (0, 2), other.stdout + other.stderr
    daemon.wait_for("web")
    assert "DNS:example.org" in openssl("x509", "-in", daemon.certs / "web.crt", "-noout", "-ext", "subjectAltName")

    gone = play("certificates.yml", certificates={"requests": []})
    assert (gone.returncode, recap(gone)["changed"]) == (0, 2), gone.stdout + gone.stderr
    assert json.loads(daemon.getcert("list", "--output", "json").stdout)["requests"] == []


def test_a_mistake_in_a_declaration_changes_nothing(daemon: DaemonUnderTest, play: Play) -> None:
    certificates = declared(daemon, "www.example.org")
    certificates["requests"][0]["dsn"] = "typing error"
    done = play("certificates.yml", certificates=certificates)
    assert done.returncode == 2
    assert "dsn" in done.stdout
    assert json.loads(daemon.getcert("list", "--output", "json").stdout)["requests"] == []


def test_the_check_fails_where_a_certificate_needs_somebody(daemon: DaemonUnderTest, play: Play) -> None:
    assert daemon.request("good").returncode == 0
    fine = play("check.yml")
    assert (fine.returncode, recap(fine)["changed"]) == (0, 0), fine.stdout + fine.stderr
    daemon.add_helper("refusing", "echo not today; exit 2")
    daemon.request("bad", ca="refusing")
    done = play("check.yml")
    assert (done.returncode, recap(done)["failed"]) == (2, 1)
    assert "bad is in state CA_REJECTED: not today" in done.stdout
