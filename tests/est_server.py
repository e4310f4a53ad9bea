"""A stand-in for an EST server, which really issues.

Sources: RFC 7030 (paths of section 3.2.2, /cacerts of 4.1, enrolment of 4.2 with 202 and Retry-After of 4.2.3,
/csrattrs of 4.5), the corrections of RFC 8951 (base64 without regard to Content-Transfer-Encoding), Basic (RFC 7617)
and Digest (RFC 7616) authentication. Every label (section 3.2.2) is a CA of its own, with a scenario of its own.
"""

import base64
import binascii
import hashlib
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from scep_material import certificate, pem, rsa_key

USER: Final = "device"
PASSWORD: Final = 'pass:word, "quoted" and ümlaut'
REALM: Final = "est, realm"
NONCE: Final = "dcd98b7102dd2f0e8b11d0f600bfb0c0"
CERTS_ONLY: Final = "application/pkcs7-mime; smime-type=certs-only"
ROOT_KEY: Final = rsa_key("EST root")
ROOT: Final = certificate("EST Root", ROOT_KEY, ca=True)
CA_KEY: Final = rsa_key("EST CA")
CA: Final = certificate("EST CA", CA_KEY, issuer=ROOT, issuer_key=ROOT_KEY, ca=True)


@dataclass(frozen=True)
class Answer:
    """A fixed answer."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()


def certs_only(*certificates: x509.Certificate) -> Answer:
    """Certificates as section 4.1.3 wants them: PKCS#7 in base64, with line ends."""
    body = base64.encodebytes(pkcs7.serialize_certificates(list(certificates), Encoding.DER))
    return Answer(200, body, CERTS_ONLY, (("Content-Transfer-Encoding", "base64"),))


@dataclass(frozen=True)
class Seen:
    """One request that came as far as an operation."""

    operation: str
    user: str
    """Who logged in; empty without."""
    client: str
    """Common name in the client's certificate; empty without."""
    csr: x509.CertificateSigningRequest | None


@dataclass
class Scenario:
    """What one label does."""

    login: str = ""
    """Empty, or the challenge to logins: Basic, or one of Digest."""
    wants_certificate: bool = False
    """403 without a certificate of the client."""
    pending: int = 0
    """So many requests are answered with 202 first."""
    retry_after: str = "1"
    attributes: bytes | None = None
    """CsrAttrs; None: 404."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """Instead of what an operation does."""
    has_reenrolment: bool = True
    ca_certificates: tuple[x509.Certificate, ...] = (CA, ROOT)
    stall: threading.Event | None = None
    """Until it is set, nothing is answered."""
    seen: list[Seen] = field(default_factory=list)
    issued: list[x509.Certificate] = field(default_factory=list)

    @property
    def operations(self) -> list[str]:
        """The enrolments that were asked for."""
        return [each.operation for each in self.seen if each.csr is not None]


def challenge(kind: str) -> str:
    """The WWW-Authenticate header for a kind of login."""
    if kind == "Basic":
        return 'Basic realm="est", charset="UTF-8"'
    return f'Digest realm="{REALM}", nonce="{NONCE}", opaque="5ccc", qop="auth,auth-int", algorithm={kind}'


def _issue(csr: x509.CertificateSigningRequest) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(csr.subject)
        .issuer_name(CA.subject)
        .public_key(csr.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=20))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(CA_KEY.public_key()), critical=False)
    )
    for extension in csr.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, critical=False)
    return builder.sign(CA_KEY, hashes.SHA256())


def _names(of: x509.Certificate | x509.CertificateSigningRequest) -> tuple[x509.Name, tuple[x509.GeneralName, ...]]:
    """What section 4.2.2 wants to be the same in a renewal."""
    found = [each.value for each in of.extensions if isinstance(each.value, x509.SubjectAlternativeName)]
    return of.subject, tuple(found[0]) if found else ()


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        found = re.fullmatch(r"/\.well-known/est/([^/]+)/([a-z]+)", self.path)
        scenario = self.server.scenarios.get(found[1]) if found else None
        if found is None or scenario is None:
            self._send(Answer(404, b"no such CA\n"))
            return
        if scenario.stall is not None:
            scenario.stall.wait(60)
        self._send(self._answer(scenario, found[2], body))

    do_GET = do_POST = _serve

    def _answer(self, scenario: Scenario, operation: str, body: bytes) -> Answer:
        peer = self.connection.getpeercert(binary_form=True) if isinstance(self.connection, ssl.SSLSocket) else None
        client = x509.load_der_x509_certificate(peer) if peer else None
        is_enrolment = operation in ("simpleenroll", "simplereenroll")
        user = self._user(scenario.login) if scenario.login else ""
        if user is None and operation != "cacerts":
            wanted = (("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", challenge(scenario.login)))
            return Answer(401, b"who are you?", "text/plain", wanted)
        if scenario.wants_certificate and client is None and is_enrolment:
            return Answer(403, b"a client certificate is needed\n")
        if (self.command == "POST") != is_enrolment:
            return Answer(405, b"wrong method\n")
        csr = None
        if is_enrolment:
            try:
                assert self.headers["Content-Type"] == "application/pkcs10"
                csr = x509.load_der_x509_csr(base64.b64decode(b"".join(body.split()), validate=True))
            except (AssertionError, binascii.Error, ValueError):
                return Answer(400, b"no PKCS#10 request in base64\n")
        name = client.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value if client else ""
        scenario.seen.append(Seen(operation, user or "", str(name), csr))
        if operation in scenario.answers:
            return scenario.answers[operation]
        if operation == "cacerts":
            return certs_only(*scenario.ca_certificates)
        if operation == "csrattrs" and scenario.attributes is not None:
            return Answer(200, base64.encodebytes(scenario.attributes), "application/csrattrs")
        if csr is None or (operation == "simplereenroll" and not scenario.has_reenrolment):
            return Answer(404, b"not here\n")
        if operation == "simplereenroll" and client is not None and _names(client) != _names(csr):
            return Answer(400, b"subject and subjectAltName are not those of the certificate\n")
        if scenario.pending > 0:
            scenario.pending -= 1
            headers = (("Retry-After", scenario.retry_after),) if scenario.retry_after else ()
            return Answer(202, b"an operator looks at it\n", "text/plain", headers)
        scenario.issued.append(_issue(csr))
        return certs_only(scenario.issued[-1])

    def _user(self, login: str) -> str | None:
        """Who has logged in with the right password; None for nobody."""
        scheme, _, rest = self.headers.get("Authorization", "").partition(" ")
        if login == "Basic":
            expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            return USER if (scheme, rest) == ("Basic", expected) else None
        pairs = re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))', rest)
        given = {name: quoted or plain for name, quoted, plain in pairs}
        kind = {"MD5": "md5", "SHA-256": "sha256"}[login]

        def hashed(text: str) -> str:
            return hashlib.new(kind, text.encode()).hexdigest()

        who, what = hashed(f"{USER}:{REALM}:{PASSWORD}"), hashed(f"{self.command}:{self.path}")
        counted = ":".join(given.get(name, "") for name in ("nc", "cnonce", "qop"))
        wanted = {
            "username": USER,
            "realm": REALM,
            "nonce": NONCE,
            "uri": self.path,
            "qop": "auth",
            "nc": "00000001",
            "opaque": "5ccc",
            "algorithm": login,
            "response": hashed(f"{who}:{NONCE}:{counted}:{what}"),
        }
        return USER if scheme == "Digest" and wanted.items() <= given.items() else None

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


class _Server(ThreadingHTTPServer):
    scenarios: dict[str, Scenario]

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no failure of the server."""


@dataclass
class EstStandIn:
    """A running server."""

    url: str
    scenarios: dict[str, Scenario] = field(default_factory=dict)

    def until_idle(self) -> None:
        """Wait until no request is being answered."""
        while any("process_request_thread" in thread.name for thread in threading.enumerate()):
            time.sleep(0.02)

    def add(self, label: str, scenario: Scenario | None = None) -> Scenario:
        """A CA called *label*."""
        self.scenarios[label] = scenario or Scenario()
        return self.scenarios[label]


@contextmanager
def serving(context: ssl.SSLContext, *clients: x509.Certificate) -> Iterator[EstStandIn]:
    """A server on localhost, which verifies certificates of clients by its own CA and by *clients*."""
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=pem(ROOT, CA, *clients))
    server = _Server(("127.0.0.1", 0), _Handler)
    stand_in = EstStandIn(f"https://localhost:{server.server_port}")
    server.scenarios = stand_in.scenarios
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stand_in
    finally:
        for scenario in stand_in.scenarios.values():
            if scenario.stall is not None:
                scenario.stall.set()
        server.shutdown()
        thread.join()
        server.server_close()
