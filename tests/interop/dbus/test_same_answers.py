"""The same calls to Debian's certmonger and to this daemon: the same answers, but for what is meant to be different."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from daemon_under_test import BIN, DaemonUnderTest
from fakes.message_bus import Bus

from certmongerd.api import (
    BUS_NAME,
    CA_INTERFACE,
    INTROSPECTABLE_INTERFACE,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.blocking import BlockingConnection, BusError
from certmongerd.busapi.ca import CA
from certmongerd.busapi.request import REQUEST
from certmongerd.busapi.transport import Variant

WAIT_S: Final = 60
OWN_CONTENT: Final = {
    "cert",
    "cert-roots",
    "csr",
    "not-valid-before",
    "not-valid-after",
    "key-generated-date",
    "submitted-date",
    "last-checked",
    "issuer",
    "serial",
    "aka",
    "external-helper",
    "ca",
    "root-certs",
    "get_cert_data",
    "get_csr_data",
    "get_cert_info",
    "get_cert_last_checked",
    "get_submitted_date",
    "get_config_file_path",
    "get_location",
}
"""Properties and getters whose values belong to one daemon alone: only their types are compared."""
INTENDED: Final = {
    "bare get_ca_error": "a reason is given for NEED_GUIDANCE",
    "bare Get ca-error": "a reason is given for NEED_GUIDANCE",
    "bare GetAll ca-error": "a reason is given for NEED_GUIDANCE",
    "local Get ca-error": "no error is no value, where certmonger has an empty one after each phase",
    "local GetAll ca-error": "no error is no value, where certmonger has an empty one after each phase",
    "SelfSign Get ca-error": "no error is no value, where certmonger has an empty one after each phase",
    "SelfSign GetAll ca-error": "no error is no value, where certmonger has an empty one after each phase",
    "new Get ca-error": "the reason is given in other words",
    "new GetAll ca-error": "the reason is given in other words",
    "root get_supported_key_types": "there are more",
}


def s(text: str) -> Variant:
    return Variant("s", text)


def texts(*elements: str) -> Variant:
    return Variant("as", elements)


@dataclass
class Interview:
    """One daemon, and what it answered."""

    daemon: DaemonUnderTest
    connection: BlockingConnection
    answers: dict[str, object] = field(default_factory=dict)

    def call(self, path: object, interface: str, member: str, signature: str = "", *body: object) -> object:
        try:
            return self.connection.call(BUS_NAME, str(path), interface, member, signature, body, timeout_s=WAIT_S)
        except BusError as error:
            return error.name, error.body

    def root(self, member: str, signature: str = "", *body: object) -> tuple[object, ...]:
        answer = self.call(ROOT_PATH, ROOT_INTERFACE, member, signature, *body)
        assert isinstance(answer, tuple)
        return answer

    def ask(self, label: str, path: object, interface: str, member: str, signature: str = "", *body: object) -> None:
        self.answers[label] = self.call(path, interface, member, signature, *body)

    def files(self, name: str) -> dict[str, Variant]:
        certs = self.daemon.certs
        certificate = {"CERT_STORAGE": s("FILE"), "CERT_LOCATION": s(str(certs / f"{name}.crt"))}
        return {
            "NICKNAME": s(name),
            **certificate,
            "KEY_STORAGE": s("FILE"),
            "KEY_LOCATION": s(str(certs / f"{name}.key")),
        }

    def add(self, entries: dict[str, Variant], state: str) -> object:
        """Add a request and wait until it is in *state*."""
        answer = self.root("add_request", "a{sv}", entries)
        assert answer[0] is True, answer
        deadline = time.monotonic() + WAIT_S
        while (status := self.call(answer[1], REQUEST_INTERFACE, "get_status")) not in ((state, True), (state, False)):
            assert time.monotonic() < deadline, (entries, status)
            time.sleep(0.05)
        return answer[1]

    def ask_everything(self, label: str, path: object, interface: str) -> None:
        """Each getter, each property, and all at once."""
        table = REQUEST if interface == REQUEST_INTERFACE else CA
        for member in table.methods:
            if member.startswith("get_"):
                self.ask(f"{label} {member}", path, interface, member)
        for name in table.properties:
            self.ask(f"{label} Get {name}", path, PROPERTIES_INTERFACE, "Get", "ss", interface, name)
        found = self.call(path, PROPERTIES_INTERFACE, "GetAll", "s", interface)
        assert isinstance(found, tuple)
        assert isinstance(found[0], dict)
        for name, variant in found[0].items():
            self.answers[f"{label} GetAll {name}"] = variant


def ask_about_requests(interview: Interview) -> None:
    (self_sign,), (local,) = (interview.root("find_ca_by_nickname", "s", name) for name in ("SelfSign", "local"))
    bare = {key: value for key, value in interview.files("bare").items() if not key.startswith("KEY")}
    full = interview.files("full") | {
        "CA": Variant("o", local),
        "SUBJECT": s("CN=full,O=Example"),
        "DNS": texts("a.example.org", "b.example.org"),
        "EMAIL": texts("a@example.org"),
        "PRINCIPAL": texts("host/x@EXAMPLE.ORG"),
        "KU": s("101"),
        "EKU": texts("1.3.6.1.5.5.7.3.1"),
        "KEY_PIN": s("pin"),
        "RENEW": Variant("b", False),
        "template-ip-address": texts("10.0.0.1"),
        "template-is-ca": Variant("b", True),
        "template-ca-path-length": Variant("x", 3),
        "template-ocsp": texts("http://ocsp.example.org/"),
        "template-crldp": texts("http://crl.example.org/"),
        "template-ns-comment": s("comment"),
        "template-profile": s("profile"),
        "template-issuer": s("issuer"),
        "template-ms-certificate-template": s("1.2.3:4"),
        "template-challenge-password": s("password"),
        "cert-owner": s("root"),
        "key-perms": Variant("x", 0o640),
        "nss-user": s("user"),
        "cert-presave-command": s("/bin/true"),
        "cert-postsave-command": s("/bin/true"),
        "root-cert-files": texts(str(interview.daemon.certs / "roots.pem")),
    }
    paths = {
        "bare": interview.add(bare, "NEED_GUIDANCE"),
        "waiting": interview.add(interview.files("waiting"), "NEED_CA"),
        "self": interview.add(
            interview.files("self") | {"CA": Variant("o", self_sign), "SUBJECT": s("CN=self")}, "MONITORING"
        ),
        "full": interview.add(full, "MONITORING"),
    }
    for label, path in paths.items():
        interview.ask_everything(label, path, REQUEST_INTERFACE)
        interview.ask(f"{label} refresh", path, REQUEST_INTERFACE, "refresh")
    interview.ask("requests", ROOT_PATH, ROOT_INTERFACE, "get_requests")
    ask_about_changes(interview, paths["waiting"])


def ask_about_changes(interview: Interview, path: object) -> None:
    for name, value in (
        ("template-subject", s("CN=set")),
        ("template-email", texts("set@example.org")),
        ("key-perms", Variant("i", 0o600)),
        ("template-eku", texts()),
        ("nss-user", s("")),
        ("key-pin-file", s("/etc/pin")),
        ("key-pin", s("1234")),
    ):
        interview.ask(f"Set {name}", path, PROPERTIES_INTERFACE, "Set", "ssv", REQUEST_INTERFACE, name, value)
    changes = {"NICKNAME": s("renamed"), "TRACK": Variant("b", False), "ku": s("11"), "template-hostname": texts("x")}
    interview.ask("modify", path, REQUEST_INTERFACE, "modify", "a{sv}", changes)
    interview.ask_everything("changed", path, REQUEST_INTERFACE)
    interview.ask("remove", ROOT_PATH, ROOT_INTERFACE, "remove_request", "o", path)
    interview.ask("removed", path, REQUEST_INTERFACE, "get_status")
    interview.ask("removed properties", path, PROPERTIES_INTERFACE, "GetAll", "s", "")
    interview.ask("removed document", path, INTROSPECTABLE_INTERFACE, "Introspect")
    interview.ask("removed twice", ROOT_PATH, ROOT_INTERFACE, "remove_request", "o", path)


def ask_about_cas(interview: Interview) -> None:
    interview.ask("add a CA", ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", "new", "/bin/false", ("CN=issuer",))
    interview.ask("add it again", ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", "NEW", "/bin/false", ())
    for name in ("SelfSign", "local", "new"):
        (path,) = interview.root("find_ca_by_nickname", "s", name)
        interview.ask_everything(name, path, CA_INTERFACE)
        interview.ask(f"{name} refresh", path, CA_INTERFACE, "refresh")
    (new,) = interview.root("find_ca_by_nickname", "s", "new")
    interview.ask("remove a CA", ROOT_PATH, ROOT_INTERFACE, "remove_known_ca", "o", new)
    interview.ask("CAs", ROOT_PATH, ROOT_INTERFACE, "get_known_cas")
    for member in ("get_supported_key_types", "get_supported_key_storage", "get_supported_cert_storage"):
        interview.ask(f"root {member}", ROOT_PATH, ROOT_INTERFACE, member)
    interview.ask("root properties", ROOT_PATH, PROPERTIES_INTERFACE, "GetAll", "s", "")
    for path in ("/", "/org", ROOT_PATH + "/cas", ROOT_PATH + "/requests", "/nowhere"):
        interview.ask(f"{path} document", path, INTROSPECTABLE_INTERFACE, "Introspect")
        interview.ask(f"{path} nothing", path, ROOT_INTERFACE, "get_requests")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], dict[str, object]]:
    """Of Debian's daemon, and of ours."""
    theirs = shutil.which("certmonger", path="/usr/sbin")
    assert theirs is not None, "apt-get install certmonger"
    given = []
    for program in (theirs, str(BIN / "certmongerd")):
        bus = Bus(tmp_path_factory.mktemp("bus"))
        daemon = DaemonUnderTest(tmp_path_factory.mktemp("daemon"), bus_address=bus.address, program=program)
        try:
            daemon.start()
            with BlockingConnection.connect(bus.address) as connection:
                connection.hello()
                interview = Interview(daemon, connection)
                ask_about_requests(interview)
                ask_about_cas(interview)
            given.append({label: without(daemon.root, answer) for label, answer in interview.answers.items()})
        finally:
            daemon.close()
            bus.stop()
    return given[0], given[1]


def without(folder: Path, answer: object) -> object:
    """An answer without the name of the daemon's folder."""
    match answer:
        case str():
            return answer.replace(str(folder), "<state>")
        case tuple():
            return tuple(without(folder, element) for element in answer)
        case Variant(signature, value):
            return Variant(signature, without(folder, value))
    return answer


def types(answer: object) -> object:
    """What kind of answer it is."""
    match answer:
        case Variant(signature, _):
            return signature
        case tuple():
            return tuple(types(element) for element in answer)
    return type(answer)


def test_every_answer_is_the_same_but_for_what_is_meant_to_be_different(
    answers: tuple[dict[str, object], dict[str, object]],
) -> None:
    theirs, ours = answers
    assert len(theirs) > 500
    different = {}
    for label in theirs.keys() | ours.keys():
        their, our = theirs.get(label), ours.get(label)
        if label.rpartition(" ")[2] in OWN_CONTENT:
            their, our = types(their), types(our)
        if their != our and label not in INTENDED:
            different[label] = f"certmonger: {their!r}, certmongerd: {our!r}"
    assert different == {}
