"""A daemon and a SCEP server for tests: requests made with getcert, certificates read back from their files."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from daemon_under_test import DaemonUnderTest, assert_pair
from fakes.scep_authority import Authority, Identity
from fakes.scep_cms import certificates_only
from fakes.scep_responder import CHAIN_TYPE, Answer, Responder, Scenario
from scep_material import NOW, certificate, name_of, pem, rsa_key

WAIT_LIMIT_S: Final = 20.0
NOT_ASKED_YET: Final = "NEED_SCEP_ENCRYPTION_CERT"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScepRig:
    """One daemon, one server; each test has a CA of its own, called as its request and its scenario."""

    daemon: DaemonUnderTest
    responder: Responder

    def add_ca(self, name: str, scenario: Scenario, *options: str) -> str:
        """`getcert add-scep-ca`; the URL of the server."""
        url = self.responder.add(name, scenario)
        added = self.daemon.getcert("add-scep-ca", "-c", name, "-u", url, *options)
        assert added.returncode == 0, added.stdout + added.stderr
        return url

    def request(self, name: str, *options: str, ca: str = "") -> dict[str, str]:
        """`getcert request -w` with a key that exists; what `getcert list` shows then."""
        key = rsa_key("daemon's client").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.daemon.certs / f"{name}.key").write_bytes(key)
        self.daemon.request(name, *options, ca=ca or name)
        return self.daemon.listing(name)

    def enrol(self, name: str, scenario: Scenario, *options: str) -> dict[str, str]:
        """A CA for *scenario* and a request to it; what `getcert list` shows when that came to rest."""
        self.add_ca(name, scenario)
        return self.request(name, *options)

    def again(self, command: str, name: str, *options: str) -> dict[str, str]:
        """`getcert resubmit` or `rekey` with `-w`; what `getcert list` shows then."""
        done = self.daemon.getcert(command, "-i", name, "-w", *options)
        assert "Resubmitting" in done.stdout, done.stdout + done.stderr
        return self.daemon.listing(name)

    def poll(self, name: str, scenario: Scenario) -> dict[str, str]:
        """`getcert refresh`, until the server was asked and the request rests again."""
        before = len(scenario.seen)
        done = self.daemon.getcert("refresh", "-i", name)
        assert done.returncode == 0, done.stdout + done.stderr
        until(lambda: "PKIOperation" in scenario.operations[before:])
        return self.resting(name)

    def resting(self, name: str) -> dict[str, str]:
        """What `getcert list` shows once nothing is being done for the request."""
        shown: dict[str, str] = {}

        def rests() -> bool:
            shown.update(self.daemon.listing(name))
            status = shown["status"]
            return not status.startswith(("SUBMITTING", "SAV", "START_", "READING", "GENERATING", "NOTIFYING")) and (
                not status.startswith("NEED_TO") and status not in ("HAVE_SCEP_DATA", "NEED_SCEP_DATA", "HAVE_CSR")
            )

        until(rests)
        return shown

    def certificate(self, name: str) -> x509.Certificate:
        """The certificate saved for a request."""
        return x509.load_pem_x509_certificate((self.daemon.certs / f"{name}.crt").read_bytes())

    def assert_issued(self, name: str) -> None:
        """The request is monitored, and its certificate is for its key."""
        shown = self.daemon.listing(name)
        assert shown["status"] == "MONITORING", shown
        assert_pair(self.daemon.certs / f"{name}.crt", self.daemon.certs / f"{name}.key")


def until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def running_rig(root: Path, **environment: str) -> Iterator[ScepRig]:
    """A daemon with *environment* below *root*, and a server whose findings fail the test at the end."""
    daemon = DaemonUnderTest(root)
    with Responder() as responder:
        daemon.start(environment)
        try:
            yield ScepRig(daemon=daemon, responder=responder)
        finally:
            daemon.close()


def tls_server(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """A server certificate for *host* under a private CA, and the CA's file."""
    ca_key, key = rsa_key("TLS CA"), rsa_key("TLS server")
    ca = certificate("TLS CA", ca_key, ca=True)
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(name_of(host))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(NOW.replace(year=NOW.year + 1))
        .add_extension(names, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_text(pem(ca))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(private + pem(leaf).encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context, folder / "ca.pem"


def below(issuer: Identity, subject: str, **options: object) -> Identity:
    """A certificate that *issuer* issued, with its key."""
    key = rsa_key(subject)
    made = certificate(subject, key, issuer=issuer.certificate, issuer_key=issuer.key, **options)  # type: ignore[arg-type]  # test shorthand
    return Identity(key=key, certificate=made)


def root_and_intermediate() -> tuple[Identity, Identity]:
    """A root, and a CA below it."""
    key = rsa_key("responder root")
    root = Identity(key=key, certificate=certificate("Test Root", key, ca=True))
    return root, below(root, "Test Intermediate", ca=True)


def intermediate_with_ra() -> tuple[Identity, Authority]:
    """A root; a CA below it, which issues, and a registration authority below that."""
    root, middle = root_and_intermediate()
    return root, Authority(ca=middle, ra=below(middle, "Deep RA", ca=False))


def chain_of(root: x509.Certificate) -> Answer:
    """An answer to GetCACertChain."""
    return Answer(content_type=CHAIN_TYPE, body=certificates_only([root]))
