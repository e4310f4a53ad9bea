"""The system bus policy, enforced by a dbus-daemon of our own with the daemon on it."""

import grp
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest
from fakes.message_bus import SYSTEM_BUS_CONFIGURATION, Bus

from certmongerd.api import (
    BUS_NAME,
    CA_INTERFACE,
    DBUS_NAME,
    DBUS_PATH,
    INTROSPECTABLE_INTERFACE,
    PROPERTIES_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.blocking import BlockingConnection, BusError
from certmongerd.busapi.transport import Variant

PROJECT = Path(__file__).parents[3]
AS_ANOTHER = PROJECT / "tests" / "cli" / "as_another_user.py"
READERS = PROJECT / "dbus" / "readers.conf.example"
ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
STRANGER = pwd.getpwnam("nobody")
READER = pwd.getpwnam("mail")
READERS_GROUP = grp.getgrgid(READER.pw_gid).gr_name

needs_root = pytest.mark.usefixtures("as_root")


@pytest.fixture(scope="module")
def as_root() -> None:
    """What the system bus lets other users do can only be tried by someone who can become another user."""
    assert os.geteuid() == 0, "run these tests as root"


@contextmanager
def acting_as(user: pwd.struct_passwd) -> Iterator[None]:
    """Connections opened inside belong to *user*."""
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def connect(address: str) -> BlockingConnection:
    connection = BlockingConnection.connect(address, timeout_s=10)
    connection.hello()
    return connection


@pytest.fixture(scope="module")
def bus(as_root: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a bus of type system with our policy, and the daemon on it."""
    root = Path(tempfile.mkdtemp(prefix="policy-"))
    root.chmod(0o755)
    readers = READERS.read_text().replace('group="certmonger-readers"', f'group="{READERS_GROUP}"')
    (root / "readers.conf").write_text(readers)
    include = f"<include>{root}/readers.conf</include>\n</busconfig>"
    system_bus = Bus(root, SYSTEM_BUS_CONFIGURATION.replace("</busconfig>", include))
    daemon = DaemonUnderTest(
        tmp_path_factory.mktemp("daemon"),
        f"[access]\nreader_group = {READERS_GROUP}\n",
        system_bus_address=system_bus.address,
    )
    daemon.start()
    yield system_bus.address
    daemon.close()
    system_bus.stop()
    shutil.rmtree(root)


@needs_root
def test_root_may_call_the_daemon(bus: str) -> None:
    with connect(bus) as root:
        (paths,) = root.call(BUS_NAME, ROOT_PATH, ROOT_INTERFACE, "get_known_cas")
        assert paths
        (document,) = root.call(BUS_NAME, ROOT_PATH, INTROSPECTABLE_INTERFACE, "Introspect")
        assert "get_known_cas" in str(document)


@needs_root
@pytest.mark.parametrize(
    ("interface", "member"),
    [
        (ROOT_INTERFACE, "get_requests"),
        (INTROSPECTABLE_INTERFACE, "Introspect"),
        ("org.freedesktop.DBus.Peer", "Ping"),
        (None, "get_requests"),
    ],
)
def test_another_user_may_not_call_it(bus: str, interface: str | None, member: str) -> None:
    with acting_as(STRANGER):
        stranger = connect(bus)
    with stranger, pytest.raises(BusError) as refused:
        stranger.call(BUS_NAME, ROOT_PATH, interface, member, timeout_s=5)
    assert refused.value.name == ACCESS_DENIED


@needs_root
def test_another_user_may_not_take_the_name(bus: str) -> None:
    with acting_as(STRANGER):
        stranger = connect(bus)
    with stranger, pytest.raises(BusError) as refused:
        stranger.call(DBUS_NAME, DBUS_PATH, DBUS_NAME, "RequestName", "su", (BUS_NAME, 0))
    assert refused.value.name == ACCESS_DENIED


@needs_root
def test_changes_are_announced_to_root_only(bus: str) -> None:
    rule = f"type='signal',interface='{PROPERTIES_INTERFACE}'"
    with acting_as(STRANGER):
        stranger = connect(bus)
    with stranger, connect(bus) as root:
        stranger.add_match(rule)
        root.add_match(rule)
        (ca,) = root.call(BUS_NAME, ROOT_PATH, ROOT_INTERFACE, "find_ca_by_nickname", "s", ("local",))
        values = (CA_INTERFACE, "is-default", Variant("b", True))
        root.call(BUS_NAME, str(ca), PROPERTIES_INTERFACE, "Set", "ssv", values)
        seen_by_root = [signal.path for signal in iter(lambda: root.next_signal(1), None)]
        seen_by_stranger = [signal.path for signal in iter(lambda: stranger.next_signal(0.2), None)]
    assert ca in seen_by_root
    assert ca not in seen_by_stranger


@needs_root
def test_members_of_the_readers_group_may_list_and_change_nothing(bus: str) -> None:
    with acting_as(READER):
        reader = connect(bus)
    with reader, connect(bus) as root:
        assert reader.call(BUS_NAME, ROOT_PATH, ROOT_INTERFACE, "get_known_cas")
        (ca,) = reader.call(BUS_NAME, ROOT_PATH, ROOT_INTERFACE, "find_ca_by_nickname", "s", ("local",))
        for path, interface, member, signature, arguments in (
            (ROOT_PATH, ROOT_INTERFACE, "remove_known_ca", "o", (ca,)),
            (ca, CA_INTERFACE, "refresh", "", ()),
            (ca, PROPERTIES_INTERFACE, "Set", "ssv", (CA_INTERFACE, "is-default", Variant("b", True))),
        ):
            with pytest.raises(BusError) as refused:
                reader.call(BUS_NAME, str(path), interface, member, signature, arguments)
            assert refused.value.name == ACCESS_DENIED
        assert (ca,) == root.call(BUS_NAME, ROOT_PATH, ROOT_INTERFACE, "find_ca_by_nickname", "s", ("local",))


@needs_root
def test_a_member_of_the_readers_group_lists_with_getcert(bus: str) -> None:
    run = subprocess.run(
        (sys.executable, str(AS_ANOTHER), READER.pw_name, "getcert", "list-cas", "-S"),
        env={"PATH": os.environ["PATH"], "DBUS_SYSTEM_BUS_ADDRESS": bus},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (run.returncode, "CA 'local':" in run.stdout) == (0, True), run.stderr
