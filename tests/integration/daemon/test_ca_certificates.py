"""CA certificates where requests and CAs want them: roots and chain apart, and renewed with the CA's own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from daemon_under_test import DaemonUnderTest, openssl, wait_until
from helper_cases import certificates_in
from local_ca import CSR

from certmonger_helpers.authority import Authority
from certmongerd.config.durations import Duration
from certmongerd.core.model import KeyAlgorithm
from certmongerd.installation import helper_directory
from certmongerd.pki.issue import parse_request

MakeDaemon = Callable[..., DaemonUnderTest]
Identity = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def authority(name: str, issuer: Identity | None = None) -> Identity:
    """A CA certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    own_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(own_name)
        .issuer_name(issuer[0].subject if issuer else own_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=100))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def pem(*identities: Identity) -> str:
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate, _ in identities)


ROOT = authority("root")
CROSS = authority("cross")
MIDDLE = authority("middle", ROOT)
NEW_ROOT = authority("new root")


def roots(*lists: tuple[str, Identity] | str) -> str:
    """Output of FETCH-ROOTS: nickname and PEM of each, an empty line between the lists."""
    return "".join("\n" if isinstance(item, str) else f"{item[0]}\n{pem(item[1])}" for item in lists)


@pytest.fixture
def daemon(make_daemon: MakeDaemon) -> DaemonUnderTest:
    """With a CA "corp" that signs with the local CA and tells the certificates in the file `roots`."""
    daemon = make_daemon()
    (daemon.root / "roots").write_text(roots(("root", ROOT), "", ("cross", CROSS), "", ("middle", MIDDLE)))
    helper = daemon.root / "corp.sh"
    helper.write_text(
        "#!/bin/sh\ncase $CERTMONGER_OPERATION in\n"
        f"FETCH-ROOTS) cat {daemon.root}/roots ;;\nSUBMIT) exec {helper_directory()}/local-submit ;;\n"
        "*) exit 6 ;;\nesac\n"
    )
    helper.chmod(0o755)
    daemon.start()
    assert daemon.getcert("add-ca", "-c", "corp", "-e", str(helper)).returncode == 0
    state = daemon.state_file("cas", "corp")
    wait_until(lambda: "ca_other_certs=" in state.read_text(), daemon.log)
    return daemon


def places(daemon: DaemonUnderTest, name: str) -> tuple[Path, Path, Path]:
    return daemon.certs / f"{name}.roots", daemon.certs / f"{name}.others", daemon.certs / f"{name}.chain"


def options(files: tuple[Path, Path, Path]) -> list[str]:
    return [
        word for pair in zip(("-F", "--other-root-file", "--chain-file"), map(str, files), strict=True) for word in pair
    ]


def test_roots_and_chain_are_kept_apart(daemon: DaemonUnderTest) -> None:
    files = places(daemon, "it")
    assert daemon.request("it", *options(files), ca="corp").returncode == 0
    found = [path.read_text() for path in files]
    assert found[0].startswith(pem(ROOT))
    assert found[1] == pem(CROSS)
    assert found[2].startswith(pem(MIDDLE))


def test_one_file_can_have_all_of_them_and_serve_two_requests(daemon: DaemonUnderTest) -> None:
    both = daemon.certs / "both.pem"
    assert daemon.request("one", "-F", str(both), ca="corp").returncode == 0
    assert daemon.request("two", "--chain-file", str(both), ca="corp").returncode == 0
    content = both.read_text()
    assert pem(ROOT) in content
    assert pem(MIDDLE) in content
    assert content.count(pem(ROOT)) == 1


def test_files_follow_the_cas_certificates(daemon: DaemonUnderTest) -> None:
    files = places(daemon, "it")
    assert daemon.request("it", *options(files), ca="corp").returncode == 0
    certificate = (daemon.certs / "it.crt").read_bytes()
    (daemon.root / "roots").write_text(roots(("new", NEW_ROOT), ("root", ROOT), "", "", ("middle", MIDDLE)))
    assert daemon.getcert("refresh-ca", "-c", "corp").returncode == 0
    wait_until(lambda: pem(NEW_ROOT) in files[0].read_text(), daemon.log)
    assert pem(ROOT) in files[0].read_text()
    assert (daemon.certs / "it.crt").read_bytes() == certificate


def test_refreshing_a_ca_puts_back_what_was_lost(daemon: DaemonUnderTest) -> None:
    files = places(daemon, "it")
    assert daemon.request("it", *options(files), ca="corp").returncode == 0
    before = [path.read_text() for path in files]
    files[0].unlink()
    files[1].write_text("damaged")
    assert daemon.getcert("refresh-ca", "-c", "corp").returncode == 0
    wait_until(lambda: files[0].exists() and files[1].read_text() != "damaged", daemon.log)
    assert files[0].read_text().startswith(pem(ROOT))
    assert files[1].read_text() == before[1]


def test_a_request_that_is_watched_gets_a_new_file_at_once(daemon: DaemonUnderTest) -> None:
    assert daemon.request("it", ca="corp").returncode == 0
    certificate = (daemon.certs / "it.crt").read_bytes()
    files = places(daemon, "it")
    assert daemon.getcert("start-tracking", "-i", "it", *options(files)).returncode == 0
    wait_until(lambda: all(path.exists() for path in files), daemon.log)
    daemon.wait_for("it")
    assert files[1].read_text() == pem(CROSS)
    assert (daemon.certs / "it.crt").read_bytes() == certificate


def test_a_certificate_that_is_adopted_gets_its_cas_certificates(daemon: DaemonUnderTest) -> None:
    assert daemon.request("it", ca="corp").returncode == 0
    assert daemon.getcert("stop-tracking", "-i", "it").returncode == 0
    files = places(daemon, "it")
    where = ["-f", str(daemon.certs / "it.crt"), "-k", str(daemon.certs / "it.key"), "-c", "corp", "-I", "it"]
    assert daemon.getcert("start-tracking", *where, *options(files)).returncode == 0
    wait_until(lambda: all(path.exists() for path in files), daemon.log)


def test_a_ca_has_files_of_its_own(daemon: DaemonUnderTest) -> None:
    files = places(daemon, "corp")
    declared = daemon.root / "corp.yaml"
    names = ("ca-file", "other-root-file", "chain-file")
    lines = "".join(f"  {name}: {path}\n" for name, path in zip(names, files, strict=True))
    declared.write_text(f"cas:\n- name: corp\n{lines}")
    done = daemon.getcert("apply", "-f", str(declared))
    assert done.stdout == 'CA "corp" changed.\n'
    wait_until(lambda: all(path.exists() for path in files), daemon.log)
    assert [path.read_text() for path in files] == [pem(ROOT), pem(CROSS), pem(MIDDLE)]
    (daemon.root / "roots").write_text(roots(("new", NEW_ROOT)))
    assert daemon.getcert("refresh-ca", "-c", "corp").returncode == 0
    wait_until(lambda: files[0].read_text() == pem(NEW_ROOT), daemon.log)


def aged_local_ca(daemon: DaemonUnderTest, *, due: timedelta) -> tuple[Authority, x509.Certificate]:
    """The local CA as if made long ago, so that it makes its next key after *due*; and what it issued then."""
    authority = Authority(
        directory=daemon.root / "local",
        validity=Duration(seconds=600 * 86400),
        ca_validity=Duration(seconds=1000 * 86400),
        key_type=KeyAlgorithm.EC,
        key_bits=256,
    )
    made = datetime.now(UTC).replace(microsecond=0) - timedelta(days=500) + due
    return authority, authority.issue(parse_request(CSR), made)


def verify(daemon: DaemonUnderTest, bundle: Path, *certificates: x509.Certificate) -> None:
    """All of *certificates* lead to a root in *bundle*, in three days."""
    when = str(int(datetime.now(UTC).timestamp()) + 3 * 86400)
    for number, certificate in enumerate(certificates):
        leaf = daemon.root / f"leaf{number}.pem"
        leaf.write_bytes(certificate.public_bytes(Encoding.PEM))
        openssl("verify", "-attime", when, "-CAfile", bundle, leaf)


def test_a_file_has_both_roots_once_the_local_ca_renewed_itself(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    authority, early = aged_local_ca(daemon, due=timedelta(days=1))
    (old,) = authority.certificates(datetime.now(UTC))
    daemon.start()
    bundle = daemon.certs / "roots.pem"
    assert daemon.request("it", "-F", str(bundle)).returncode == 0
    assert bundle.read_text() == old.public_bytes(Encoding.PEM).decode()
    new, kept = authority.certificates(datetime.now(UTC) + timedelta(days=2))
    assert kept == old
    assert daemon.getcert("resubmit", "-i", "it", "-w").returncode == 0
    expected = {each.public_bytes(Encoding.DER) for each in (old, new)}
    wait_until(lambda: certificates_in(bundle) == expected, daemon.log)
    late = x509.load_pem_x509_certificate((daemon.certs / "it.crt").read_bytes())
    late.verify_directly_issued_by(new)
    verify(daemon, bundle, early, late)


def test_a_local_ca_that_is_due_publishes_both_roots_from_the_start(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    _, early = aged_local_ca(daemon, due=-timedelta(days=1))
    daemon.start()
    bundle = daemon.certs / "roots.pem"
    assert daemon.request("it", "-F", str(bundle)).returncode == 0
    wait_until(lambda: len(certificates_in(bundle)) == 2, daemon.log)
    late = x509.load_pem_x509_certificate((daemon.certs / "it.crt").read_bytes())
    verify(daemon, bundle, early, late)


def test_ca_certificates_alone_that_cannot_be_stored_are_told_of_and_tried_again(daemon: DaemonUnderTest) -> None:
    place = daemon.certs / "gone"
    place.mkdir()
    assert daemon.request("it", "-F", str(place / "ca.pem"), ca="corp").returncode == 0
    assert daemon.stop() == 0
    (place / "ca.pem").unlink()
    place.rmdir()
    state = next(path for path in (daemon.root / "requests").glob("[0-9]*"))
    # As for a certificate that was there before it was tracked.
    state.write_text(state.read_text().replace("state=MONITORING", "state=NEED_TO_SAVE_ONLY_CA_CERTS"))
    daemon.start()
    wait_until(lambda: daemon.listing("it")["stuck"] == "yes", daemon.log)
    shown = daemon.listing("it")
    assert shown["status"] == "MONITORING"
    assert str(place) in shown["ca-error"]
    assert (
        "CA's certificates could not be stored 1 times in a row; again at" in daemon.getcert("why", "-i", "it").stdout
    )
    assert daemon.getcert("status", "-i", "it").returncode == 4
    place.mkdir()
    assert "being refreshed" in daemon.getcert("refresh", "-i", "it").stdout
    wait_until(lambda: daemon.listing("it")["stuck"] == "no", daemon.log)
    assert (place / "ca.pem").read_text().startswith(pem(ROOT))
    assert "ca-error" not in daemon.listing("it")


def test_a_place_that_cannot_be_written_is_told_of_by_the_ca_and_waited_for_by_the_request(
    daemon: DaemonUnderTest,
) -> None:
    place = daemon.certs / "gone"
    place.mkdir()
    assert daemon.request("it", "-F", str(place / "ca.pem"), ca="corp").returncode == 0
    (place / "ca.pem").unlink()
    place.rmdir()
    assert daemon.getcert("resubmit", "-i", "it").returncode == 0
    wait_until(lambda: str(place) in daemon.listing("it").get("ca-error", ""), daemon.log)
    place.mkdir()
    assert daemon.getcert("resubmit", "-i", "it", "-w").returncode == 0
    assert (place / "ca.pem").read_text().startswith(pem(ROOT))
