"""--output, --table and --sort with both daemons, as a program and as a person use them."""

import json
from collections.abc import Iterator

import pytest
import yaml
from cli.rig import ORIGINAL, OWN, Daemon, Rig, installed, running
from cli.test_terminal import shown_on_a_terminal


@pytest.fixture(scope="module", params=[ORIGINAL, OWN], ids=lambda daemon: daemon.name)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    daemon: Daemon = request.param
    with running(daemon) as rig:
        for name in ("web", "api"):
            files = ("-f", f"{rig.directory}/{name}.crt", "-k", f"{rig.directory}/{name}.key")
            names = ("-N", f"CN={name}.example.org", "-D", f"{name}.example.org")
            command = ("request", "-s", "-c", "SelfSign", "-I", name, *files, *names, "-w", "-m", "0640")
            done = rig.run([installed("getcert"), *command])
            assert done.returncode == 0, done.stdout
        yield rig


def getcert(rig: Rig, *arguments: str) -> tuple[int, str, str]:
    done = rig.run([installed("getcert"), *arguments])
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("read", [json.loads, yaml.safe_load])
def test_a_program_reads_the_requests(rig: Rig, read: object) -> None:
    form = "json" if read is json.loads else "yaml"
    status, out, err = getcert(rig, "list", "-s", "--output", form)
    assert (status, err) == (0, "")
    document = read(out)  # type: ignore[operator]
    assert (document["version"], document["tracked"]) == (1, 2)
    web, api = document["requests"]
    assert (web["id"], web["status"], web["ca"], web["key"]["permissions"]) == ("web", "MONITORING", "SelfSign", "0640")
    assert web["certificate"]["dns"] == ["web.example.org"]
    assert web["certificate"]["days_left"] > 300
    assert api["key"]["type"] == "RSA"


def test_a_program_reads_the_cas(rig: Rig) -> None:
    status, out, err = getcert(rig, "list-cas", "-s", "--output=json")
    assert (status, err) == (0, "")
    cas = {ca["name"]: ca for ca in json.loads(out)["cas"]}
    assert list(cas) == ["SelfSign", "IPA", "dogtag-ipa-renew-agent", "local"]
    assert cas["SelfSign"]["type"] == "INTERNAL:SELF"
    assert cas["SelfSign"]["next_serial"]
    assert cas["local"]["helper"].endswith("/local-submit")
    assert cas["local"]["file"].startswith(str(rig.state))


def test_a_program_reads_a_status_and_its_exit_status(rig: Rig) -> None:
    status, out, err = getcert(rig, "status", "-s", "-i", "web", "--output", "json")
    assert (status, err) == (0, "")
    expected = {"version": 1, "id": "web", "status": "MONITORING", "stuck": False, "ca_error": None, "exit_status": 0}
    assert json.loads(out) == expected


def test_errors_and_remarks_do_not_get_into_a_document(rig: Rig) -> None:
    status, out, err = getcert(rig, "list", "-s", "-i", "nosuch", "--output", "json")
    assert (status, out, err) == (1, "", "No request found with specified nickname.\n")
    done = rig.run([installed("getcert"), "list", "-s", "-f", "web.crt", "--output", "json"], cwd=rig.directory)
    assert json.loads(done.stdout)["requests"][0]["id"] == "web"
    assert done.stderr.startswith('Path "web.crt" is not absolute')


def test_an_unknown_format_or_order_is_refused_with_those_there_are(rig: Rig) -> None:
    status, out, _ = getcert(rig, "list", "-s", "--output", "xml")
    assert (status, out.splitlines()[0]) == (1, "--output takes one of: json, yaml.")
    status, out, _ = getcert(rig, "list", "-s", "--sort", "size")
    assert (status, out.splitlines()[0]) == (1, "--sort takes one of: added, id, expires, status.")
    status, _, err = getcert(rig, "list", "-s", "--table", "--output", "json")
    assert (status, err.splitlines()[0]) == (1, "--table and --output exclude each other.")


def test_the_usual_order_is_that_of_adding_and_another_can_be_asked_for(rig: Rig) -> None:
    for arguments, expected in (((), ["web", "api"]), (("--sort", "id"), ["api", "web"])):
        _, out, _ = getcert(rig, "list", "-s", *arguments)
        assert [line.split("'")[1] for line in out.splitlines() if line.startswith("Request ID")] == expected


def test_a_table_in_a_file_is_plain_and_on_a_terminal_coloured(rig: Rig) -> None:
    status, out, err = getcert(rig, "list", "-s", "--table")
    assert (status, err) == (0, "")
    heading, web, _ = out.splitlines()
    assert heading.split() == ["ID", "STATUS", "CA", "EXPIRES", "DAYS", "SUBJECT"]
    assert web.split()[:3] == ["web", "MONITORING", "SelfSign"]
    status, shown = shown_on_a_terminal(rig, "list", "-s", "--table")
    assert status == 0
    assert "\x1b[32mweb" in shown
