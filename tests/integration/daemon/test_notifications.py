"""People are told as the configuration says, or as the request says for itself."""

from collections.abc import Callable
from pathlib import Path

from daemon_under_test import DaemonUnderTest, wait_until

from certmongerd.api import PROPERTIES_INTERFACE, REQUEST_INTERFACE
from certmongerd.busapi.blocking import BlockingConnection

MakeDaemon = Callable[..., DaemonUnderTest]
REQUEST = "/org/fedorahosted/certmonger/requests/Request1"


def teller(root: Path, name: str) -> Path:
    """A command that appends notifications to the file *name*.out."""
    path = root / f"{name}.sh"
    path.write_text(
        f'#!/bin/sh\necho "$CERTMONGER_NOTIFICATION_EVENT $CERTMONGER_REQUEST_NICKNAME" >> {root}/{name}.out\n'
    )
    path.chmod(0o755)
    return path


def properties(daemon: DaemonUnderTest) -> dict[str, object]:
    with BlockingConnection.connect(f"unix:path={daemon.socket}") as connection:
        (values,) = connection.call(None, REQUEST, PROPERTIES_INTERFACE, "GetAll", "s", (REQUEST_INTERFACE,))
        info = connection.call(None, REQUEST, REQUEST_INTERFACE, "get_notification_info")
    assert isinstance(values, dict)
    found = {name: variant.value for name, variant in values.items() if name.startswith("notification-")}
    return found | {"info": info}


def test_a_request_is_told_of_in_its_own_way_until_that_is_taken_back(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    common, own = (teller(daemon.root, name) for name in ("common", "own"))
    daemon.configure(f"[defaults]\nnotification_method = command\nnotification_destination = {common}\n")
    daemon.start()
    asked = ["--notification-method", "command", "--notification-destination", str(own)]
    assert daemon.request("it", *asked, ca="SelfSign").returncode == 0
    out = daemon.root / "own.out"
    wait_until(out.exists)
    assert out.read_text() == "issued-saved it\n"
    assert properties(daemon) == {
        "notification-type": "command",
        "notification-syslog-priority": "",
        "notification-email": "",
        "notification-command": str(own),
        "info": ("command", str(own)),
    }
    # It is kept with the request.
    daemon.stop()
    daemon.start()
    assert properties(daemon)["notification-command"] == str(own)
    back = ["--notification-method", "", "--notification-destination", ""]
    assert daemon.getcert("start-tracking", "-i", "it", *back).returncode == 0
    assert properties(daemon)["info"] == ("command", str(common))
    assert daemon.getcert("resubmit", "-i", "it", "-w").returncode == 0
    wait_until((daemon.root / "common.out").exists)
    assert out.read_text() == "issued-saved it\n"


def test_an_unknown_method_is_refused(daemon: DaemonUnderTest) -> None:
    done = daemon.request("pigeon", "--notification-method", "pigeon")
    assert done.returncode == 1
    assert 'The notification method "pigeon" is not one of syslog, mail' in done.stdout


def test_a_notification_that_cannot_be_delivered_is_logged_and_holds_nothing_up(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("[defaults]\nnotification_method = command\nnotification_destination = /nonexistent/tell\n")
    daemon.start()
    assert daemon.request("it", ca="SelfSign").returncode == 0
    wait_until(lambda: "notification not delivered" in daemon.log.read_text())
    assert "/nonexistent/tell" in daemon.log.read_text()
    daemon.wait_for("it")
