"""Places where a file cannot be written, or must not be: clear states, old files whole, and a way out."""

import os
import pwd
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon_under_test import DaemonUnderTest, assert_pair, openssl

MakeDaemon = Callable[..., DaemonUnderTest]
NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.xfail(os.geteuid() != 0, reason="only root makes what root cannot overcome", strict=True)

_CAP_SYS_ADMIN = 21


def has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text()
    (capabilities,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(capabilities, 16) >> number & 1)


with_mounting = pytest.mark.xfail(
    not has_capability(_CAP_SYS_ADMIN), reason="needs a file system of its own", strict=True
)


@pytest.fixture
def foreign(daemon: DaemonUnderTest, request: pytest.FixtureRequest) -> Path:
    """A folder of another user, who lays traps in it."""
    folder = daemon.root / f"foreign-{abs(hash(request.node.name))}"
    folder.mkdir()
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    return folder


def trap(link: Path, target: Path, uid: int = NOBODY.pw_uid) -> None:
    link.symlink_to(target)
    os.chown(link, uid, -1, follow_symlinks=False)


def victim_in(daemon: DaemonUnderTest, name: str, uid: int = 0) -> Path:
    path = daemon.root / f"victim-{name}"
    path.write_text("precious\n")
    os.chown(path, uid, -1)
    return path


def ask(daemon: DaemonUnderTest, name: str, certificate: Path, key: Path, *more: str) -> int:
    options = ["-I", name, "-c", "SelfSign", "-G", "EC", "-g", "256", "-N", f"CN={name}"]
    return daemon.getcert("request", *options, "-f", certificate, "-k", key, "-w", *more).returncode


@as_root
def test_a_link_laid_by_another_user_does_not_get_a_certificate_into_a_file_of_root(
    daemon: DaemonUnderTest, foreign: Path
) -> None:
    victim = victim_in(daemon, "cert")
    trap(foreign / "it.crt", victim)
    assert ask(daemon, "trap-cert", foreign / "it.crt", foreign / "it.key", "-O", "nobody", "-M", "644") == 4
    assert victim.read_text() == "precious\n"
    assert victim.stat().st_uid == 0
    shown = daemon.listing("trap-cert")
    assert (shown["status"], shown["stuck"]) == ("NEED_CERTSAVE_PERMS", "yes")
    assert "symbolic link" in shown["ca-error"]
    (foreign / "it.crt").unlink()
    assert daemon.getcert("resubmit", "-i", "trap-cert", "-w").returncode == 0
    assert_pair(foreign / "it.crt", foreign / "it.key")


@as_root
@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_laid_by_another_user_does_not_make_a_file_of_root_the_key(
    daemon: DaemonUnderTest, foreign: Path, is_there: bool
) -> None:
    victim = victim_in(daemon, f"key-{is_there}")
    if not is_there:
        victim.unlink()
    trap(foreign / "it.key", victim)
    name = f"trap-key-{is_there}"
    assert ask(daemon, name, foreign / "it.crt", foreign / "it.key", "-o", "nobody") == 4
    assert victim.exists() is is_there
    assert "symbolic link" in daemon.listing(name)["ca-error"]
    assert not is_there or victim.stat().st_uid == 0


@as_root
def test_a_folder_that_another_user_replaced_by_a_link_is_not_entered(daemon: DaemonUnderTest, foreign: Path) -> None:
    sub = foreign / "sub"
    sub.mkdir()
    assert ask(daemon, "trap-folder", sub / "it.crt", sub / "it.key") == 0
    treasury = daemon.root / "treasury"
    treasury.mkdir()
    (treasury / "it.crt").write_text("precious\n")
    (treasury / "it.key").write_bytes((sub / "it.key").read_bytes())
    sub.rename(foreign / "away")
    trap(sub, treasury)
    assert daemon.getcert("rekey", "-i", "trap-folder", "-w").returncode == 4
    assert (treasury / "it.crt").read_text() == "precious\n"
    assert sorted(path.name for path in treasury.iterdir()) == ["it.crt", "it.key"]


@as_root
def test_ca_certificates_do_not_go_through_such_a_link(daemon: DaemonUnderTest, foreign: Path) -> None:
    victim = victim_in(daemon, "ca")
    trap(foreign / "ca.pem", victim)
    done = daemon.request("trap-ca", "-F", str(foreign / "ca.pem"))
    assert done.returncode == 4
    assert daemon.listing("trap-ca")["status"] == "NEED_CA_CERT_SAVE_PERMS"
    assert victim.read_text() == "precious\n"


@as_root
@pytest.mark.parametrize("what", ["folder", "cert9.db"])
def test_a_database_is_not_opened_through_such_a_link(daemon: DaemonUnderTest, foreign: Path, what: str) -> None:
    database = foreign / "db"
    treasury = daemon.root / f"treasury-{what}"
    treasury.mkdir()
    if what == "folder":
        trap(database, treasury)
    else:
        database.mkdir()
        trap(database / what, treasury / what)
    name = f"database-{what}"
    request = ("request", "-I", name, "-c", "SelfSign", "-d", database, "-n", "it", "-w")
    assert daemon.getcert(*request).returncode == 4
    shown = daemon.listing(name)
    assert shown["stuck"] == "yes"
    assert "symbolic link" in shown["ca-error"]
    assert list(treasury.iterdir()) == []
    if what == "folder":
        database.unlink()
        database.mkdir()
    else:
        (database / what).unlink()
    assert daemon.getcert("resubmit", "-i", name, "-w").returncode == 0
    assert daemon.listing(name)["status"] == "MONITORING"


@as_root
@pytest.mark.parametrize("uid", [NOBODY.pw_uid, 0])
def test_a_pin_is_not_read_through_such_a_link(daemon: DaemonUnderTest, foreign: Path, uid: int) -> None:
    victim = victim_in(daemon, f"pin-{uid}")
    trap(foreign / "pin", victim, uid)
    name, key = f"trap-pin-{uid}", daemon.certs / f"trap-pin-{uid}.key"
    done = ask(daemon, name, daemon.certs / f"{name}.crt", key, "-p", str(foreign / "pin"))
    if uid == 0:  # the administrator's own
        assert done == 0
        openssl("pkey", "-in", key, "-passin", "pass:precious", "-noout")
        return
    assert done == 4
    shown = daemon.listing(name)
    assert shown["status"] == "NEED_KEY_GEN_PIN"
    assert f"a symbolic link of user id {uid} leads to what does not belong to that user" in shown["ca-error"]
    (foreign / "pin").unlink()
    (foreign / "pin").write_text("4711\n")
    assert daemon.getcert("resubmit", "-i", name, "-w").returncode == 0
    openssl("pkey", "-in", key, "-passin", "pass:4711", "-noout")


@as_root
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_challenge_password_is_read_from_a_file_that_is_meant_only(
    daemon: DaemonUnderTest, foreign: Path, kind: str
) -> None:
    victim, place = victim_in(daemon, f"challenge-{kind}"), foreign / "challenge"
    match kind:
        case "link":
            trap(place, victim)
        case "fifo":
            os.mkfifo(place)
        case _:
            place.mkdir()
    name = f"challenge-{kind}"
    assert ask(daemon, name, daemon.certs / f"{name}.crt", daemon.certs / f"{name}.key", "-l", str(place)) == 4
    told = "symbolic link" if kind == "link" else "not a regular file"
    shown = daemon.listing(name)
    assert shown["status"] == "NEED_GUIDANCE"
    assert f'challenge password file "{place}" cannot be read: ' in shown["ca-error"]
    assert told in shown["ca-error"]
    if kind == "folder":
        place.rmdir()
    else:
        place.unlink()
    place.write_text("secret\n")
    assert daemon.getcert("resubmit", "-i", name, "-w").returncode == 0


@as_root
def test_links_of_root_and_links_to_ones_own_files_are_followed(daemon: DaemonUnderTest, foreign: Path) -> None:
    own = victim_in(daemon, "own", NOBODY.pw_uid)
    of_root = daemon.root / "of-root.key"
    trap(foreign / "it.crt", own)
    trap(foreign / "it.key", of_root, uid=0)
    assert ask(daemon, "links", foreign / "it.crt", foreign / "it.key") == 0
    assert (foreign / "it.crt").is_symlink()
    assert_pair(own, of_root)


@as_root
def test_a_file_with_several_names_is_not_given_away(daemon: DaemonUnderTest, foreign: Path) -> None:
    assert ask(daemon, "names", foreign / "it.crt", foreign / "it.key") == 0
    second = daemon.root / "second-name.key"
    os.link(foreign / "it.key", second)
    done = daemon.getcert("resubmit", "-i", "names", "-w")
    assert done.returncode == 0, "nothing has to change"
    assert daemon.getcert("start-tracking", "-i", "names", "-o", "nobody").returncode == 0
    assert daemon.getcert("resubmit", "-i", "names", "-w").returncode == 4
    assert second.stat().st_uid == 0
    assert "several names" in daemon.listing("names")["ca-error"]


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


@as_root
def test_an_immutable_file_is_left_and_told_of_and_saving_goes_on_when_it_is_not_any_more(
    daemon: DaemonUnderTest,
) -> None:
    certificate, key = daemon.certs / "fixed.crt", daemon.certs / "fixed.key"
    assert ask(daemon, "fixed", certificate, key) == 0
    old = certificate.read_bytes(), key.read_bytes()
    for path, command in ((certificate, "resubmit"), (key, "rekey"), (daemon.certs, "resubmit")):
        with immutable(path):
            assert daemon.getcert(command, "-i", "fixed", "-w").returncode == 4
            shown = daemon.listing("fixed")
            assert shown["status"] == "NEED_CERTSAVE_PERMS"
            assert "Operation not permitted" in shown["ca-error"]
            assert_pair(certificate, key)
            assert key.read_bytes() == old[1]
        assert daemon.getcert("resubmit", "-i", "fixed", "-w").returncode == 0
        assert_pair(certificate, key)
        old = certificate.read_bytes(), key.read_bytes()
    assert sorted(p.name for p in daemon.certs.iterdir() if p.name.startswith((".", "fixed"))) == [
        "fixed.crt",
        "fixed.key",
    ]


@with_mounting
def test_on_a_full_disk_the_old_files_stay_whole_and_saving_goes_on_when_there_is_room(
    make_daemon: MakeDaemon,
) -> None:
    daemon = make_daemon()
    daemon.start()
    small = daemon.root / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
    try:
        certificate, key = small / "it.crt", small / "it.key"
        assert ask(daemon, "it", certificate, key) == 0
        old = certificate.read_bytes(), key.read_bytes()
        with (small / "ballast").open("wb") as ballast:
            filled = subprocess.run(["cat", "/dev/zero"], stdout=ballast, stderr=subprocess.PIPE, check=False)
        assert b"No space" in filled.stderr
        assert daemon.getcert("resubmit", "-i", "it", "--wait-timeout", "10", "-w").returncode != 0
        assert "No space left on device" in daemon.listing("it")["ca-error"]
        assert (certificate.read_bytes(), key.read_bytes()) == old
        (small / "ballast").unlink()
        assert daemon.getcert("resubmit", "-i", "it", "-w").returncode == 0
        assert certificate.read_bytes() != old[0]
        assert sorted(path.name for path in small.iterdir()) == ["it.crt", "it.key"]
    finally:
        daemon.close()
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize("what", ["certificate", "key", "pin", "ca-file"])
def test_a_folder_in_the_place_of_a_file_is_named(daemon: DaemonUnderTest, what: str) -> None:
    name = f"folder-{what}"
    certificate, key = daemon.certs / f"{name}.crt", daemon.certs / f"{name}.key"
    place = {"certificate": certificate, "key": key}.get(what, daemon.certs / f"{name}.place")
    place.mkdir()
    more = {"pin": ["-p", str(place)], "ca-file": ["-F", str(place)]}.get(what, [])
    options = ["-I", name, "-c", "SelfSign", "-f", str(certificate), "-k", str(key)]
    done = daemon.getcert("request", *options, *more, "-w")
    told = done.stdout + daemon.listing(name).get("ca-error", "")
    assert done.returncode != 0
    assert str(place) in told
    assert place.is_dir()
