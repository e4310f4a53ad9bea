"""What is wrong with certmonger 0.79.17 and not with this daemon: a test for each, by its number in the specification.

Each was seen on certmonger. Some are tested once more, in detail and with invented surroundings, by the unit tests of
`busapi`, `store` and `core`.
"""

import base64
import os
import pwd
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest, assert_pair, open_folders, openssl
from fakes.message_bus import Bus
from fakes.sockets import RawClient

from certmongerd.api import (
    BUS_NAME,
    CA_INTERFACE,
    OBJECT_MANAGER_INTERFACE,
    PEER_INTERFACE,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.blocking import BlockingConnection, BusError
from certmongerd.busapi.transport import MessageKind, Variant, WireMessage, encode

WAIT_S = 60
ERRORS = "org.fedorahosted.certmonger."
INVALID_ARGS = "org.freedesktop.DBus.Error.InvalidArgs"
MakeDaemon = Callable[..., DaemonUnderTest]


def s(text: str) -> Variant:
    return Variant("s", text)


def texts(*elements: str) -> Variant:
    return Variant("as", elements)


@dataclass(frozen=True)
class Api:
    """Calls to one daemon, over a bus or without one."""

    connection: BlockingConnection

    def call(self, path: str, interface: str, member: str, signature: str = "", *body: object) -> tuple[object, ...]:
        return self.connection.call(BUS_NAME, path, interface, member, signature, body)

    def root(self, member: str, signature: str = "", *body: object) -> tuple[object, ...]:
        return self.call(ROOT_PATH, ROOT_INTERFACE, member, signature, *body)

    def ca(self, nickname: str) -> str:
        (path,) = self.root("find_ca_by_nickname", "s", nickname)
        return str(path)

    def request(self, nickname: str) -> str:
        (path,) = self.root("find_request_by_nickname", "s", nickname)
        return str(path)

    def add(self, **entries: Variant) -> str:
        _, path = self.root("add_request", "a{sv}", {key.replace("__", "-"): value for key, value in entries.items()})
        return str(path)

    def modify(self, path: str, entries: Mapping[str, Variant]) -> None:
        self.call(path, REQUEST_INTERFACE, "modify", "a{sv}", dict(entries))

    def get(self, path: str, name: str) -> object:
        answer = self.call(path, PROPERTIES_INTERFACE, "Get", "ss", "", name)
        if not answer:
            return None
        assert isinstance(answer[0], Variant)
        return answer[0].value

    def set(self, path: str, interface: str, name: str, value: Variant) -> None:
        self.call(path, PROPERTIES_INTERFACE, "Set", "ssv", interface, name, value)

    def refused(self, path: str, interface: str, member: str, signature: str = "", *body: object) -> BusError:
        with pytest.raises(BusError) as refused:
            self.call(path, interface, member, signature, *body)
        return refused.value


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonUnderTest]:
    """A daemon on a session bus and on its private socket."""
    bus = Bus(tmp_path_factory.mktemp("bus"))
    under_test = DaemonUnderTest(tmp_path_factory.mktemp("daemon"), bus_address=bus.address)
    under_test.start()
    yield under_test
    under_test.close()
    bus.stop()


@pytest.fixture
def api(daemon: DaemonUnderTest) -> Iterator[Api]:
    """Over the bus."""
    with BlockingConnection.connect(daemon.bus_address) as connection:
        connection.hello()
        yield Api(connection)


def private(daemon: DaemonUnderTest) -> BlockingConnection:
    return BlockingConnection.connect(f"unix:path={daemon.socket}")


def location(daemon: DaemonUnderTest, name: str) -> dict[str, Variant]:
    """Storage of a request that has nothing to do: without CA, it waits for one."""
    return {
        "NICKNAME": s(name),
        "CERT_STORAGE": s("FILE"),
        "CERT_LOCATION": s(str(daemon.certs / f"{name}.crt")),
        "KEY_STORAGE": s("FILE"),
        "KEY_LOCATION": s(str(daemon.certs / f"{name}.key")),
        "KEY_TYPE": s("EC"),
    }


def until(is_so: Callable[[], bool], what: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def state_file(daemon: DaemonUnderTest, name: str) -> str:
    return daemon.state_file("requests", name).read_text()


# Crashes and security


def test_01_asking_the_default_ca_whether_it_is_the_default_ends_nothing(daemon: DaemonUnderTest, api: Api) -> None:
    path = api.ca("SelfSign")
    api.set(path, CA_INTERFACE, "is-default", Variant("b", True))

    assert api.call(path, CA_INTERFACE, "get_is_default") == (True,)
    assert "\tis-default: yes\n" in daemon.getcert("list-cas", "-c", "SelfSign").stdout
    api.set(path, CA_INTERFACE, "is-default", Variant("b", False))
    assert api.call(path, CA_INTERFACE, "get_is_default") == (False,)


def test_02_after_a_restart_one_ca_is_the_default(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    for name in ("SelfSign", "local"):
        with private(daemon) as connection:
            api = Api(connection)
            api.set(api.ca(name), CA_INTERFACE, "is-default", Variant("b", True))
    daemon.stop()
    daemon.start()

    with private(daemon) as connection:
        api = Api(connection)
        (cas,) = api.root("get_known_cas")
        assert isinstance(cas, tuple)
        defaults = [api.get(path, "nickname") for path in cas if api.get(path, "is-default")]
    assert defaults == ["local"]


def test_03_a_command_given_over_the_private_socket_belongs_to_the_callers_user(daemon: DaemonUnderTest) -> None:
    with private(daemon) as connection:
        api = Api(connection)
        path = api.add(**location(daemon, "d3"), cert__presave__command=s("/bin/true"))

        assert api.get(path, "cert-presave-uid") == str(os.geteuid())
        assert str(os.geteuid()) != str(os.getpid())


def test_04_secrets_are_in_no_signal_and_in_no_bulk_answer(daemon: DaemonUnderTest, api: Api) -> None:
    with BlockingConnection.connect(daemon.bus_address) as eavesdropper:
        eavesdropper.hello()
        eavesdropper.add_match("type='signal'")
        path = api.add(**location(daemon, "d4"), KEY_PIN=s("SESAME-1"), template__challenge__password=s("SESAME-2"))
        api.set(path, REQUEST_INTERFACE, "key-pin", s("SESAME-3"))
        api.modify(path, {"template-challenge-password": s("SESAME-4"), "key-pin": s("SESAME-5")})
        api.modify(path, {"nss-user": s("the last signal")})
        signals: list[WireMessage] = []
        while "the last signal" not in repr(signals[-1:]):
            signal = eavesdropper.next_signal(WAIT_S)
            assert signal is not None
            signals.append(signal)

    assert any("key-pin" in repr(signal) for signal in signals)  # that it changed is no secret
    assert "SESAME" not in repr(signals)
    assert "SESAME" not in repr(api.call(ROOT_PATH, OBJECT_MANAGER_INTERFACE, "GetManagedObjects"))
    assert "SESAME" not in daemon.log.read_text()


def test_05_the_property_ca_is_the_path_of_the_ca(daemon: DaemonUnderTest, api: Api) -> None:
    path = api.add(**location(daemon, "d5"), CA=Variant("o", api.ca("SelfSign")))

    assert (api.get(path, "ca"),) == api.call(path, REQUEST_INTERFACE, "get_ca") == (api.ca("SelfSign"),)


@pytest.mark.parametrize("key", ["root-cert-nssdbs", "root-other-cert-nssdbs", "other-cert-nssdbs"])
def test_06_a_missing_database_directory_is_named_and_nothing_else(key: str, daemon: DaemonUnderTest, api: Api) -> None:
    for _ in range(5):
        entries = location(daemon, "d6") | {key: texts("/no")}
        error = api.refused(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", entries)
        assert (error.name, error.body) == (ERRORS + "bad_arg", ('The location "/no" must be a directory.', key))


def test_07_the_state_file_holds_the_public_key_that_the_key_has(daemon: DaemonUnderTest) -> None:
    assert daemon.request("d7").returncode == 0

    fields = dict(re.findall("^(key_pubkey(?:_info)?)=(.*)$", state_file(daemon, "d7"), re.MULTILINE))
    assert fields["key_pubkey"].startswith("30820")
    assert fields["key_pubkey_info"].endswith(fields["key_pubkey"])
    public = openssl("pkey", "-in", daemon.certs / "d7.key", "-pubout", "-outform", "PEM")
    assert bytes.fromhex(fields["key_pubkey_info"]) == pem_content(public)


def pem_content(pem: str) -> bytes:
    return base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-")))


# Wrong results


def test_08_each_list_of_ca_certificates_is_changed_in_its_own_place(daemon: DaemonUnderTest, api: Api) -> None:
    path = api.add(**location(daemon, "d8"))
    wanted = str(daemon.certs / "others.pem")

    api.modify(path, {"other-cert-files": texts(wanted)})

    assert (api.get(path, "other-cert-files"), api.get(path, "other-cert-nssdbs")) == ((wanted,), ())


def test_09_key_and_certificate_cannot_be_one_file(daemon: DaemonUnderTest, api: Api) -> None:
    entries = location(daemon, "d9")
    entries["KEY_LOCATION"] = entries["CERT_LOCATION"]

    assert api.refused(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", entries).name == ERRORS + "bad_arg"


@pytest.mark.parametrize("member", ["resubmit", "rekey"])
def test_10_without_a_place_for_a_key_a_request_is_stuck_and_says_so(
    member: str, daemon: DaemonUnderTest, api: Api
) -> None:
    entries = {key: value for key, value in location(daemon, f"d10{member}").items() if not key.startswith("KEY")}
    path = api.add(**entries, CA=Variant("o", api.ca("SelfSign")))

    api.call(path, REQUEST_INTERFACE, member)

    until(lambda: api.call(path, REQUEST_INTERFACE, "get_status") == ("NEED_GUIDANCE", True))


def test_11_after_a_rekey_type_and_size_are_those_of_the_new_key(daemon: DaemonUnderTest, api: Api) -> None:
    assert daemon.request("d11").returncode == 0
    path = api.request("d11")
    assert api.call(path, REQUEST_INTERFACE, "get_key_type_and_size") == ("RSA", 2048)

    assert daemon.getcert("rekey", "-i", "d11", "-G", "EC", "-g", "384", "-w").returncode == 0

    assert api.call(path, REQUEST_INTERFACE, "get_key_type_and_size") == ("EC", 384)
    assert (api.get(path, "key-type"), api.get(path, "key-size")) == ("EC", 384)


def test_12_an_interrupted_rekey_leaves_no_private_key_behind(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    assert daemon.request("web").returncode == 0
    for _ in range(2):
        assert daemon.getcert("rekey", "-i", "web", "-g", "3072").returncode == 0
    assert daemon.getcert("resubmit", "-i", "web", "-w").returncode == 0
    assert daemon.getcert("rekey", "-i", "web", "-g", "3072").returncode == 0
    assert daemon.getcert("stop-tracking", "-i", "web").returncode == 0

    # A key that is just being made can only be thrown away when it is finished.
    until(lambda: sorted(path.name for path in daemon.certs.iterdir()) == ["web.crt", "web.key"])
    assert daemon.stop() == 0
    assert sorted(path.name for path in daemon.certs.iterdir()) == ["web.crt", "web.key"]
    assert_pair(daemon.certs / "web.crt", daemon.certs / "web.key")


def test_13_every_writable_property_can_be_set_in_each_of_the_three_ways(daemon: DaemonUnderTest, api: Api) -> None:
    crl = "http://crl.example.org/delta"
    path = api.add(
        **location(daemon, "d13"), template__freshest__crl=texts(crl), template__ns__certtype=s("client,server")
    )
    assert (api.get(path, "template-freshest-crl"), api.get(path, "template-ns-certtype")) == ((crl,), "client,server")

    api.modify(path, {"template-freshest-crl": texts(crl + "2"), "template-ns-certtype": s("email")})
    assert (api.get(path, "template-freshest-crl"), api.get(path, "template-ns-certtype")) == ((crl + "2",), "email")

    api.set(path, REQUEST_INTERFACE, "template-ns-certtype", s("sslCA"))
    assert api.get(path, "template-ns-certtype") == "sslCA"


def test_14_the_profile_reads_back_under_both_its_names(daemon: DaemonUnderTest, api: Api) -> None:
    path = api.add(**location(daemon, "d14"))

    api.modify(path, {"ca-profile": s("caServerCert")})

    assert (api.get(path, "ca-profile"), api.get(path, "template-profile")) == ("caServerCert", "caServerCert")


def test_15_the_time_of_the_last_check_is_that(daemon: DaemonUnderTest, api: Api) -> None:
    assert daemon.request("d15").returncode == 0
    path = api.request("d15")

    assert api.call(path, REQUEST_INTERFACE, "get_cert_last_checked") == (api.get(path, "last-checked"),)
    assert api.get(path, "last-checked") != 0


FOREIGN_DAEMON = """
import importlib, os, pkgutil, pwd, sys
import certmongerd
for module in pkgutil.walk_packages(certmongerd.__path__, "certmongerd."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from certmongerd.__main__ import main
user = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
sys.argv = ["certmongerd", "-n", "-L", "-P", sys.argv[1]]
sys.exit(main())
"""
"""A daemon of another user; modules first, because the interpreter may be where other users cannot read."""


@pytest.fixture(scope="module")
def foreign_state(tmp_path_factory: pytest.TempPathFactory) -> DaemonUnderTest:
    """Directories of another user's daemon."""
    assert os.geteuid() == 0, "only root can start another user's daemon: run these tests as root"
    nobody = pwd.getpwnam("nobody")
    root = tmp_path_factory.mktemp("foreign")
    open_folders(root)
    state = DaemonUnderTest(root)
    for path in (root, *root.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return state


@pytest.fixture(scope="module")
def foreign(foreign_state: DaemonUnderTest) -> Iterator[Api]:
    """A daemon that belongs to another user, called by root."""
    state = foreign_state
    with state.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", FOREIGN_DAEMON, str(state.socket)], env=state.environment(), stdout=log, stderr=log
        )
    try:
        until(lambda: state.socket.exists() or process.poll() is not None)
        assert process.poll() is None, state.log.read_text()
        with private(state) as connection:
            yield Api(connection)
    finally:
        process.terminate()
        process.wait(WAIT_S)


@pytest.mark.parametrize("what", ["CERT", "KEY"])
def test_16_a_database_without_permission_is_called_that_for_keys_too(
    what: str, foreign: Api, foreign_state: DaemonUnderTest, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    entries = {"CERT_STORAGE": s("FILE"), "CERT_LOCATION": s(str(foreign_state.certs / "d16.crt"))}
    entries |= {f"{what}_STORAGE": s("NSSDB"), f"{what}_LOCATION": s(str(tmp_path)), f"{what}_NICKNAME": s("x")}

    error = foreign.refused(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", entries)

    text = f'The location "{tmp_path}" could not be accessed due to insufficient permissions.'
    assert (error.name, error.body) == (ERRORS + "bad_arg", (text, f"{what}_LOCATION"))


@pytest.mark.parametrize("nickname", ["", "two\nlines"])
def test_17_a_nickname_that_cannot_be_stored_is_refused(nickname: str, daemon: DaemonUnderTest, api: Api) -> None:
    path = api.add(**location(daemon, f"d17{len(nickname)}"))

    renamed = api.refused(path, REQUEST_INTERFACE, "modify", "a{sv}", {"NICKNAME": s(nickname)})
    assert (renamed.name, renamed.body[1]) == (ERRORS + "bad_arg", "NICKNAME")
    added = api.refused(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", nickname, "/bin/true", ())
    assert added.name == ERRORS + "bad_arg"


def test_18_nicknames_are_compared_alike_by_adding_and_by_changing(daemon: DaemonUnderTest, api: Api) -> None:
    first, second = api.add(**location(daemon, "d18")), api.add(**location(daemon, "other"))

    added = api.refused(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", location(daemon, "D18"))
    changed = api.refused(second, REQUEST_INTERFACE, "modify", "a{sv}", {"NICKNAME": s("D18")})
    assert added.name == changed.name == ERRORS + "duplicate"
    api.modify(first, {"NICKNAME": s("d18")})
    api.modify(first, {"NICKNAME": s("D18")})
    assert api.get(first, "nickname") == "D18"


def test_19_a_change_happens_as_a_whole_or_not_at_all(daemon: DaemonUnderTest, api: Api) -> None:
    path = api.add(**location(daemon, "d19"), SUBJECT=s("CN=before"))

    for bad in ({"nope": s("x")}, {"KEY_PIN_FILE": s("relative")}, {"TRACK": Variant("x", 1)}):
        error = api.refused(path, REQUEST_INTERFACE, "modify", "a{sv}", {"SUBJECT": s("CN=after"), **bad})
        assert error.name.endswith("bad_arg")

    assert api.get(path, "template-subject") == "CN=before"
    assert "template_subject=CN=before\n" in state_file(daemon, "d19")


def test_20_what_cannot_be_stored_is_told_and_not_kept(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    (daemon.root / "requests").rename(daemon.root / "elsewhere")
    with private(daemon) as connection:
        api = Api(connection)
        error = api.refused(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", location(daemon, "web"))
        assert error.name == ERRORS + "internal"
        assert "directory is missing" in error.message
        assert api.root("get_requests") == ((),)


# Hangs and protocol


@pytest.mark.parametrize(
    ("member", "signature", "body"),
    [
        ("add_request", "", ()),
        ("add_request", "a{sv}", ({},)),
        ("add_request", "a{sv}", ({"x": Variant("u", 1)},)),
        ("add_known_ca", "s", ("x",)),
        ("remove_request", "s", ("x",)),
        ("find_ca_by_nickname", "x", (1,)),
    ],
)
def test_21_what_cannot_be_parsed_is_answered(member: str, signature: str, body: tuple[object, ...], api: Api) -> None:
    assert api.refused(ROOT_PATH, ROOT_INTERFACE, member, signature, *body).name == INVALID_ARGS


def test_21_a_set_that_fails_is_answered(daemon: DaemonUnderTest, api: Api) -> None:
    path = api.add(**location(daemon, "d21"))

    for name, value, error in (
        ("nope", s("x"), "UnknownProperty"),
        ("status", s("x"), "PropertyReadOnly"),
        ("nss-user", Variant("x", 1), "InvalidArgs"),
    ):
        refused = api.refused(path, PROPERTIES_INTERFACE, "Set", "ssv", REQUEST_INTERFACE, name, value)
        assert refused.name == f"org.freedesktop.DBus.Error.{error}"


def test_22_a_text_that_is_not_set_is_still_answered_with_nothing_because_clients_test_for_it(
    daemon: DaemonUnderTest, api: Api
) -> None:
    """The one of these that is copied: FreeIPA takes the empty answer to `ca-error` for success."""
    path = api.add(**location(daemon, "d22"))

    assert api.call(path, PROPERTIES_INTERFACE, "Get", "ss", REQUEST_INTERFACE, "ca-error") == ()
    (everything,) = api.call(path, PROPERTIES_INTERFACE, "GetAll", "s", REQUEST_INTERFACE)
    assert isinstance(everything, dict)
    assert "ca-error" not in everything


def signal_of(listener: BlockingConnection, path: str) -> WireMessage:
    """The next signal of an object; the bus itself has some for a new connection."""
    while True:
        signal = listener.next_signal(WAIT_S)
        assert signal is not None
        if signal.path == path:
            return signal


def test_23_changes_are_announced_in_the_standard_form_and_without_noise(daemon: DaemonUnderTest, api: Api) -> None:
    path = api.add(**location(daemon, "d23"))
    until(lambda: api.get(path, "status") == "NEED_CA")
    with BlockingConnection.connect(daemon.bus_address) as listener:
        listener.hello()
        listener.add_match(f"type='signal',path='{path}'")
        for text in ("web", "", "end"):
            api.set(path, REQUEST_INTERFACE, "nss-user", s(text))
        signals = [signal_of(listener, path) for _ in range(3)]

    assert [(signal.signature, signal.body) for signal in signals] == [
        ("sa{sv}as", (REQUEST_INTERFACE, {"nss-user": s("web")}, ())),
        ("sa{sv}as", (REQUEST_INTERFACE, {}, ("nss-user",))),
        ("sa{sv}as", (REQUEST_INTERFACE, {"nss-user": s("end")}, ())),
    ]


def test_24_a_call_that_ends_a_helper_keeps_nobody_waiting(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    script, began = daemon.root / "sleeper.sh", daemon.root / "began"
    script.write_text(f"#!/bin/sh\ntouch {began}\nexec sleep 600\n")
    script.chmod(0o755)
    with private(daemon) as one, private(daemon) as other:
        api, bystander = Api(one), Api(other)
        _, path = api.root("add_known_ca", "ssas", "sleeper", str(script), ())
        until(began.exists)
        ends = threading.Thread(target=api.call, args=(str(path), CA_INTERFACE, "refresh"))
        ends.start()
        for _ in range(20):
            assert bystander.root("get_requests") == ((),)
        ends.join(WAIT_S)
        assert not ends.is_alive()
        assert api.root("remove_known_ca", "o", path) == (True,)


def test_25_requests_without_a_name_need_not_wait_for_the_next_second(daemon: DaemonUnderTest, api: Api) -> None:
    began = time.time()
    nicknames = []
    for number in range(40):
        entries = location(daemon, f"d25-{number}")
        del entries["NICKNAME"]
        nicknames.append(str(api.get(api.add(**entries), "nickname")))
    seconds = time.time() - began

    assert len(set(nicknames)) == 40
    # certmonger sleeps until a second is free, so that it takes as many seconds as there are requests.
    assert seconds < 39
    assert any("-" in nickname for nickname in nicknames)


def test_26_the_private_socket_is_private_needs_no_destination_and_goes_away(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    assert daemon.socket.stat().st_mode & 0o777 == 0o600
    with private(daemon) as connection:
        for destination in (None, BUS_NAME, "a.b"):
            assert connection.call(destination, ROOT_PATH, ROOT_INTERFACE, "get_requests") == ((),)

    assert daemon.stop() == 0
    assert not daemon.socket.exists()


def test_27_root_is_served_by_another_users_daemon(foreign: Api) -> None:
    assert foreign.root("get_requests") == ((),)
    assert foreign.call("/", PEER_INTERFACE, "Ping") == ()


def test_28_who_wants_no_reply_gets_none(daemon: DaemonUnderTest) -> None:
    with closing(RawClient(f"unix:path={daemon.socket}").authenticate()) as client:
        unwanted = WireMessage(
            kind=MessageKind.CALL, serial=100, path=ROOT_PATH, interface=ROOT_INTERFACE, member="get_requests"
        )
        for call in (unwanted, replace(unwanted, serial=101, member="nope")):
            client.socket.sendall(encode(replace(call, no_reply_expected=True)))
        wanted = client.send(ROOT_PATH, PEER_INTERFACE, "Ping")

        assert client.receive().reply_serial == wanted
