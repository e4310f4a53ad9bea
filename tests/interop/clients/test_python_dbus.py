"""What programs with python-dbus lean on: Ansible's certificate role, exporters, and pages that live on signals.

The pieces of Python here are run by Debian's interpreter, with its python3-dbus; each does what those programs do.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest, assert_pair
from fakes.message_bus import Bus

DEBIAN_PYTHON = "/usr/bin/python3"
LIMIT_S = 60
COMMON = """
import json, sys, time
import dbus
bus = dbus.SessionBus()
NAME, PROPERTIES = "org.fedorahosted.certmonger", "org.freedesktop.DBus.Properties"
REQUEST = NAME + ".request"
root = dbus.Interface(bus.get_object(NAME, "/org/fedorahosted/certmonger"), NAME)
def finish(path):
    request = bus.get_object(NAME, path)
    while request.Get(REQUEST, "status", dbus_interface=PROPERTIES) != "MONITORING":
        time.sleep(0.05)
    return request
"""
SUBSCRIBER = """
import json
import dbus, dbus.mainloop.glib
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus, loop, seen = dbus.SessionBus(), GLib.MainLoop(), []
def changed(interface, properties, invalidated, path):
    seen.append([interface, sorted(properties), list(invalidated), properties.get("status")])
    if properties.get("status") == "MONITORING":
        print(json.dumps(seen), flush=True)
        loop.quit()
def saved(path):
    seen.append(["saved", [], [], None])
bus.add_signal_receiver(changed, "PropertiesChanged", "org.freedesktop.DBus.Properties", path_keyword="path")
bus.add_signal_receiver(saved, "SavedCertificate", "org.fedorahosted.certmonger.request", path_keyword="path")
bus.call_blocking("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", "", ())
print("listening", flush=True)
loop.run()
"""
"""Takes the arguments of signals by position, as such programs do."""

STATES = [
    "NEWLY_ADDED_START_READING_KEYINFO",
    "NEWLY_ADDED_READING_KEYINFO",
    "NEWLY_ADDED_START_READING_CERT",
    "NEWLY_ADDED_READING_CERT",
    "NEWLY_ADDED_DECIDING",
    "NEED_KEY_PAIR",
    "GENERATING_KEY_PAIR",
    "HAVE_KEY_PAIR",
    "NEED_KEYINFO",
    "READING_KEYINFO",
    "HAVE_KEYINFO",
    "NEED_CSR",
    "GENERATING_CSR",
    "HAVE_CSR",
    "NEED_TO_SUBMIT",
    "SUBMITTING",
    "NEED_TO_SAVE_CERT",
    "START_SAVING_CERT",
    "SAVING_CERT",
    "SAVED_CERT",
    "NEED_TO_SAVE_CA_CERTS",
    "START_SAVING_CA_CERTS",
    "SAVING_CA_CERTS",
    "NEED_TO_READ_CERT",
    "READING_CERT",
    "NEED_TO_NOTIFY_ISSUED_SAVED",
    "NOTIFYING_ISSUED_SAVED",
    "MONITORING",
]
"""What certmonger announces of an enrolment, one signal each."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    bus = Bus(tmp_path_factory.mktemp("bus"))
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"), bus_address=bus.address)
    under_test.start()
    yield under_test
    under_test.close()
    bus.stop()


def files(daemon: DaemonUnderTest, name: str) -> tuple[Path, Path]:
    return daemon.certs / f"{name}.crt", daemon.certs / f"{name}.key"


def run(daemon: DaemonUnderTest, code: str, *arguments: object) -> object:
    """What a piece of Python prints, JSON."""
    finished = subprocess.run(
        [DEBIAN_PYTHON, "-c", COMMON + code, *map(str, arguments)],
        env=daemon.environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_a_request_is_added_in_lower_case_with_the_ca_as_a_text_and_read_with_get_all_in_lower_case(
    daemon: DaemonUnderTest,
) -> None:
    """Ansible's certificate role."""
    certificate, key = files(daemon, "role")

    shown = run(
        daemon,
        """
ca = str(root.find_ca_by_nickname("local"))
added, path = root.add_request({
    "cert-storage": "file", "cert-file": sys.argv[1], "key-storage": "file", "key-file": sys.argv[2],
    "ca": ca, "nickname": "role", "template-subject": "CN=role", "template-hostname": ["role.example.org"],
})
request = finish(path)
everything = dbus.Interface(request, PROPERTIES).getAll(REQUEST)
names = "cert-storage", "cert-file", "key-file", "autorenew", "monitoring", "template-hostname"
print(json.dumps([added, everything["ca"] == ca, "ca-error" in everything, [everything[name] for name in names]]))
""",
        certificate,
        key,
    )

    assert shown == [1, True, False, ["FILE", str(certificate), str(key), 1, 1, ["role.example.org"]]]
    assert_pair(certificate, key)


def test_a_post_quantum_key_is_asked_for_by_name(daemon: DaemonUnderTest) -> None:
    """FreeIPA's key types."""
    certificate, key = files(daemon, "quantum")

    shown = run(
        daemon,
        """
added, path = root.add_request({
    "CERT_STORAGE": "FILE", "CERT_LOCATION": sys.argv[1], "KEY_STORAGE": "FILE", "KEY_LOCATION": sys.argv[2],
    "CA": root.find_ca_by_nickname("SelfSign"), "KEY_TYPE": "ML-DSA-65", "NICKNAME": "quantum",
})
print(json.dumps(str(finish(path).Get(REQUEST, "key-type", dbus_interface=PROPERTIES))))
""",
        certificate,
        key,
    )

    assert shown == "ML-DSA-65"


def test_an_exporter_walks_all_requests_with_single_gets(daemon: DaemonUnderTest) -> None:
    """Exporters for Prometheus; one such asks for `ca-error` and takes None for none."""
    assert daemon.request("walked").returncode == 0
    daemon.add_helper("refuser", "echo no; exit 2")
    daemon.request("refused", ca="refuser")

    shown = run(
        daemon,
        """
found = {}
names = "status", "stuck", "ca-error", "not-valid-after", "issuer", "serial", "cert-file", "last-checked"
for path in root.get_requests():
    properties = dbus.Interface(bus.get_object(NAME, path), PROPERTIES)
    values = {name: properties.Get(REQUEST, name) for name in names}
    found[properties.Get(REQUEST, "nickname")] = values
print(json.dumps([found["walked"], found["refused"]]))
""",
    )

    assert isinstance(shown, list)
    walked, refused = shown
    assert (walked["status"], walked["stuck"], walked["ca-error"]) == ("MONITORING", 0, None)
    assert walked["not-valid-after"] > walked["last-checked"] > 0
    assert walked["issuer"]
    assert (refused["status"], refused["stuck"], refused["ca-error"]) == ("CA_REJECTED", 1, "no")
    assert (refused["not-valid-after"], refused["issuer"]) == (0, None)


def test_errors_are_exceptions_with_certmongers_names(daemon: DaemonUnderTest) -> None:
    shown = run(
        daemon,
        """
names = []
for call in (
    lambda: root.add_request({"CERT_STORAGE": "FILE"}),
    lambda: root.add_request({"CERT_STORAGE": "FILE", "CERT_LOCATION": "relative"}),
    lambda: root.remove_request("/org/fedorahosted/certmonger/requests/Request999"),
    lambda: root.add_known_ca("local", "/bin/true", dbus.Array([], signature="s")),
):
    try:
        call()
    except dbus.DBusException as error:
        names.append(error.get_dbus_name())
print(json.dumps([names, root.find_request_by_nickname("nobody")]))
""",
    )

    base = "org.fedorahosted.certmonger."
    assert shown == [[base + "missing_arg", base + "bad_arg", base + "no_such_entry", base + "duplicate"], None]


def test_a_page_that_lives_on_signals_sees_each_state(daemon: DaemonUnderTest) -> None:
    """Cockpit's page builds everything from `PropertiesChanged`, whose arguments it takes by position."""
    subscriber = subprocess.Popen(
        [DEBIAN_PYTHON, "-c", SUBSCRIBER], env=daemon.environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert subscriber.stdout is not None
        assert subscriber.stdout.readline() == "listening\n"
        assert daemon.request("signalled", "-G", "EC", ca="SelfSign").returncode == 0
        seen = json.loads(subscriber.communicate(timeout=LIMIT_S)[0])
    finally:
        subscriber.kill()
        subscriber.communicate()

    of_request = [entry for entry in seen if entry[0] in ("saved", "org.fedorahosted.certmonger.request")]
    states = [status for _, _, _, status in of_request if status is not None]
    assert [state for state, before in zip(states, [None, *states], strict=False) if state != before] == STATES
    by_state = {status: (changed, invalidated) for _, changed, invalidated, status in of_request}
    assert "csr" in by_state["HAVE_CSR"][0]
    assert "cert" in by_state["NEED_TO_SAVE_CERT"][0]
    assert {"issuer", "not-valid-after", "serial"} <= set(by_state["NEED_TO_NOTIFY_ISSUED_SAVED"][0])
    saved = next(number for number, entry in enumerate(of_request) if entry[0] == "saved")
    assert of_request[saved + 1][3] == "NEED_TO_NOTIFY_ISSUED_SAVED"
