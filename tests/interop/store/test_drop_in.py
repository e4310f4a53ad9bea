"""One directory, two programs: each continues what the other left, and shows the same."""

import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Final

import pytest
from certmonger_under_test import LIMIT_S, Certmonger
from daemon_under_test import DaemonUnderTest, assert_pair
from fakes.scep_authority import ca_with_ra
from fakes.scep_responder import Responder, Scenario

from certmongerd.store.format import parse

SAMPLES: Final = Path(__file__).parents[2] / "data" / "store"
RECORDED_PLACE: Final = "/etc/pki/example"
RECORDED_HELPERS: Final = ("/usr/local/libexec/example-helper", "http://127.0.0.1:24117/scep")

SETTLED: Final = {"wait": "CA_WORKING", "reject": "CA_REJECTED", "unreachable": "CA_UNREACHABLE"}
"""Where the requests called so come to rest; all others are monitored."""

Getcert = Callable[..., subprocess.CompletedProcess[str]]

HELPER: Final = """#!/bin/sh
case "$CERTMONGER_OPERATION" in
SUBMIT|POLL) ;;
*) exit 6 ;;
esac
case "$1" in
wait) printf '86400\\norder-17\\nsecond line\\n'; exit 5 ;;
reject) echo denied by policy; exit 2 ;;
unreachable) echo no route; exit 3 ;;
esac
exit 4
"""


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[DaemonUnderTest]:
    under_test = DaemonUnderTest(tmp_path)
    helper = tmp_path / "helper"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    (tmp_path / "pin").write_text("file, pin\n")
    yield under_test
    under_test.close()


@pytest.fixture
def theirs(ours: DaemonUnderTest) -> Iterator[Certmonger]:
    certmonger = Certmonger(ours.root)
    yield certmonger
    certmonger.stop()


@pytest.fixture
def scep_url() -> Iterator[str]:
    scenario = Scenario(authority=ca_with_ra())
    with Responder() as responder:
        yield responder.add("scep", scenario)
        scenario.violations.clear()  # certmonger's client is not what is tested


def shown_by_ours(ours: DaemonUnderTest, command: str) -> str:
    """What Debian's getcert shows of our daemon."""
    done = subprocess.run(
        ["/usr/bin/getcert", command],
        env=ours.environment() | {"CERTMONGER_PVT_ADDRESS": f"unix:path={ours.socket}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def comparable(listing: str) -> str:
    """Without what is meant to differ.

    Here PINs are not told over D-Bus, `ca-profile` can be read, errors have their own wording, SCEP certificates are
    shown as soon as they are there, and the built-in CA says whose it is.
    """
    listing = listing.replace(",pin set", "")
    listing = re.sub(r"\t(ca-error|certificate template/profile|SCEP .*): .*\n", "", listing)
    return re.sub(r"self-identifies as: SelfSign .*", "self-identifies as: SelfSign", listing)


def assert_same_soon(ours: DaemonUnderTest, theirs: Certmonger, shown: str) -> None:
    """Whichever of the two runs comes to show *shown* as its requests."""

    def current() -> str:
        if theirs.process is not None:
            return comparable(theirs.getcert("list").stdout)
        return comparable(shown_by_ours(ours, "list"))

    deadline = time.monotonic() + LIMIT_S
    while (now := current()) != comparable(shown) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(unified_diff(comparable(shown).splitlines(), now.splitlines(), lineterm=""))


def entries(directory: Path) -> list[Path]:
    """The state files; histories, which our daemon adds under hidden names, are none."""
    return sorted(path for path in directory.iterdir() if not path.name.startswith("."))


def files_and_modes(directory: Path) -> dict[str, str]:
    return {path.name: stat.filemode(path.stat().st_mode) for path in entries(directory)}


def add_requests(root: Path, getcert: Getcert, scep_url: str, settled: Callable[[str], bool]) -> None:
    """One request of each kind that is stored differently, each settled before the next one."""
    certs = root / "certs"

    def run(*arguments: str | Path) -> None:
        done = getcert(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    for name in ("wait", "reject", "unreachable"):
        run("add-ca", "-c", name, "-e", f"{root}/helper {name}")
    run("add-scep-ca", "-c", "scep", "-u", scep_url)
    (certs / "nss").mkdir()
    shutil.copy(SAMPLES / "files" / "tracked.crt", certs / "tracked.crt")
    run("start-tracking", "-f", certs / "tracked.crt", "-I", "tracked")
    kinds: Mapping[str, Sequence[str | Path]] = {
        "self": ("-c", "SelfSign", "-N", 'CN=self,O="A, B"', "-D", "a.example.org", "-u", "digitalSignature"),
        "ec": ("-c", "local", "-G", "EC", "-g", "384", "-F", certs / "ca.pem", "-C", "/bin/true 'a b'"),
        "pin-file": ("-c", "local", "-p", root / "pin"),
        "pin": ("-c", "SelfSign", "-P", "in,line \\pin", "-U", "id-kp-serverAuth", "-r"),
        "wait": ("-c", "wait", "-T", "profile", "-G", "EC"),
        "reject": ("-c", "reject", "-G", "EC", "-R"),
        "unreachable": ("-c", "unreachable", "-G", "EC", "-A", "192.0.2.1", "-E", "a@example.org"),
        "scep": ("-c", "scep", "-L", "challenge"),
    }
    for name, options in kinds.items():
        run("request", "-I", name, "-f", certs / f"{name}.crt", "-k", certs / f"{name}.key", *options)
        deadline = time.monotonic() + LIMIT_S
        while not settled(name) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert settled(name), getcert("list", "-i", name).stdout


def test_what_certmonger_left_is_continued_and_given_back(
    ours: DaemonUnderTest, theirs: Certmonger, scep_url: str
) -> None:
    theirs.start()

    def settled(name: str) -> bool:
        # "Monitoring" is announced by certmonger five seconds after the certificate is there.
        state = theirs.listed()[name]
        return state in (SETTLED.get(name, "MONITORING"), "NOTIFYING_ISSUED_SAVED")

    add_requests(ours.root, theirs.getcert, scep_url, settled)
    nss = ours.certs / "nss"
    assert theirs.getcert("request", "-I", "nss", "-c", "SelfSign", "-d", nss, "-n", "nick").returncode == 0
    theirs.wait(lambda: set(theirs.listed().values()) == {*SETTLED.values(), "MONITORING"})
    shown, cas = theirs.getcert("list").stdout, theirs.getcert("list-cas").stdout
    theirs.stop()
    names = files_and_modes(ours.root / "requests"), files_and_modes(ours.root / "cas")

    ours.start()
    assert_same_soon(ours, theirs, shown)
    assert comparable(shown_by_ours(ours, "list-cas")) == comparable(cas)
    done = ours.getcert("rekey", "-i", "pin-file", "-w")
    assert done.returncode == 0, done.stdout
    done = ours.getcert("resubmit", "-i", "self", "-w")
    assert done.returncode == 0, done.stdout
    assert_pair(ours.certs / "self.crt", ours.certs / "self.key")
    shown = shown_by_ours(ours, "list")
    assert ours.stop() == 0
    assert (files_and_modes(ours.root / "requests"), files_and_modes(ours.root / "cas")) == names

    theirs.start()
    assert_same_soon(ours, theirs, shown)
    # The key that we made is one that certmonger can use, with the same PIN.
    assert theirs.getcert("resubmit", "-i", "pin-file").returncode == 0
    theirs.wait(lambda: theirs.listed()["pin-file"] == "MONITORING")
    assert (files_and_modes(ours.root / "requests"), files_and_modes(ours.root / "cas")) == names


def test_what_we_left_is_continued_by_certmonger(ours: DaemonUnderTest, theirs: Certmonger, scep_url: str) -> None:
    ours.start()
    add_requests(
        ours.root, ours.getcert, scep_url, lambda name: ours.listing(name)["status"] == SETTLED.get(name, "MONITORING")
    )
    shown, cas = shown_by_ours(ours, "list"), shown_by_ours(ours, "list-cas")
    assert ours.stop() == 0
    names = files_and_modes(ours.root / "requests"), files_and_modes(ours.root / "cas")
    assert all(re.fullmatch(r"\d{14}(-\d+)?", name) for kind in names for name in kind)
    assert {mode for kind in names for mode in kind.values()} == {"-rw-------"}
    assert stat.filemode(os.stat(ours.root / "local" / "creds").st_mode) == "-rw-------"

    theirs.start()
    assert_same_soon(ours, theirs, shown)
    assert comparable(theirs.getcert("list-cas").stdout) == comparable(cas)
    assert theirs.getcert("resubmit", "-i", "ec").returncode == 0  # with the local CA that we made
    theirs.wait(lambda: theirs.listed()["ec"] == "MONITORING")
    assert theirs.getcert("list", "-i", "ec").stdout.count("CA: local") == 1
    theirs.stop()
    assert (files_and_modes(ours.root / "requests"), files_and_modes(ours.root / "cas")) == names


@pytest.fixture
def recording(ours: DaemonUnderTest) -> None:
    """The recorded directories, with the recorded place and the recorded helpers exchanged for our own."""
    place = ours.root / "place"
    shutil.copytree(SAMPLES / "files", place)
    (place / "nss").mkdir()
    for kind in ("requests", "cas"):
        for sample in sorted((SAMPLES / kind).iterdir()):
            text = sample.read_text().replace(RECORDED_PLACE, str(place))
            text = text.replace(RECORDED_HELPERS[0], str(ours.root / "helper")).replace(
                RECORDED_HELPERS[1], "http://127.0.0.1:1/scep"
            )
            target = ours.root / kind / sample.name
            target.write_text(text)
            target.chmod(0o600)


def test_a_recorded_directory_is_shown_alike_by_both(
    ours: DaemonUnderTest, theirs: Certmonger, recording: Path
) -> None:
    before = {kind: [path.name for path in entries(ours.root / kind)] for kind in ("requests", "cas")}
    copy = Certmonger(ours.root / "copy")
    for kind in ("requests", "cas"):
        shutil.copytree(ours.root / kind, copy.root / kind)
    copy.start()
    try:
        waiting = {"ec-pending", "rekey-pending", "nss-rekey-pending", "all options"}
        copy.wait(lambda: all(copy.listed().get(name) in ("CA_WORKING", "NEED_CSR_GEN_TOKEN") for name in waiting))
        shown = copy.getcert("list").stdout
    finally:
        copy.stop()
    assert copy.root.is_dir()
    ours.start()
    assert_same_soon(ours, theirs, shown)
    assert ours.stop() == 0
    assert {kind: [path.name for path in entries(ours.root / kind)] for kind in before} == before


def test_what_nobody_knows_yet_survives_a_renewal(ours: DaemonUnderTest) -> None:
    ours.start()
    assert ours.request("web").returncode == 0
    assert ours.stop() == 0
    (request,) = entries(ours.root / "requests")
    ca = next(path for path in entries(ours.root / "cas") if "id=local\n" in path.read_text())
    for path in (request, ca):
        path.write_text(path.read_text() + "future_key=one\n two\n  three\nFuture.Other=\n")
    ours.start()
    done = ours.getcert("rekey", "-i", "web", "-w")
    assert done.returncode == 0, done.stdout
    assert ours.getcert("modify-ca", "-c", "local", "-e", "/bin/false").returncode == 0
    assert ours.stop() == 0
    for path in (request, ca):
        assert parse(path.read_bytes())[-2:] == [("future_key", "one\ntwo\n three"), ("Future.Other", "")]
    assert "ca_external_helper=/bin/false\n" in ca.read_text()
