"""A SCEP server for tests: one HTTP server, whose first path segment names a scenario."""

import base64
import ssl
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.scep_authority import ENROLMENTS, Authority, ReceivedMessage, ReplyPlan, read_message, reply_to
from fakes.scep_cms import certificates_only

ALL_CAPABILITIES: Final = (
    b"AES\nDES3\nGetNextCACert\nPOSTPKIOperation\nRenewal\nSHA-1\nSHA-256\nSHA-512\nSCEPStandard\n"
)
CAPABILITIES_TYPE: Final = "text/plain"
SINGLE_TYPE: Final = "application/x-x509-ca-cert"
BAG_TYPE: Final = "application/x-x509-ca-ra-cert"
CHAIN_TYPE: Final = "application/x-x509-ca-ra-cert-chain"
MESSAGE_TYPE: Final = "application/x-pki-message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer."""

    status: int = 200
    content_type: str = ""
    body: bytes = b""
    location: str = ""
    behaviour: str = "normal"
    """normal, close (no answer), truncate (half of the body), stall (headers only), trickle (a byte at a time)."""


NOT_FOUND: Final = Answer(status=404, content_type="text/html", body=b"<html>not here</html>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    method: str
    operation: str
    raw_query: str
    message: str
    """Decoded `message` parameter."""
    content_type: str


def certificates_answer(*certificates: x509.Certificate) -> Answer:
    """GetCACert answer for one certificate, or for several."""
    if len(certificates) == 1:
        return Answer(content_type=SINGLE_TYPE, body=certificates[0].public_bytes(Encoding.DER))
    return Answer(content_type=BAG_TYPE, body=certificates_only(certificates))


@dataclass(slots=True, kw_only=True)
class Scenario:
    """How the server behaves, and what it saw."""

    authority: Authority
    capabilities: Answer = field(default_factory=lambda: Answer(content_type=CAPABILITIES_TYPE, body=ALL_CAPABILITIES))
    certificates: Answer | Mapping[str, Answer] | None = None
    """GetCACert, possibly by identifier; made of the authority when None."""
    chain: Answer = NOT_FOUND
    next_certificates: Answer = NOT_FOUND
    plans: Sequence[ReplyPlan] = ()
    """Answers to successive PKIOperations; the last one repeats."""
    refusals: Mapping[str, Answer] = field(default_factory=dict)
    """PKIOperation answers by HTTP method, instead of a pkiMessage."""
    message_answer: Answer = field(default_factory=lambda: Answer(content_type=MESSAGE_TYPE))
    """Status, type and behaviour of PKIOperation answers; the body is made."""
    seen: list[Seen] = field(default_factory=list)
    received: list[ReceivedMessage] = field(default_factory=list)
    concluded: set[str] = field(default_factory=set)
    """The transactions that are over; a client may not go on with them."""
    repeats_transactions: bool = False
    """Whether the test sends messages of finished transactions on purpose."""
    violations: list[str] = field(default_factory=list)
    """What was wrong with requests; has to be empty at the end."""

    def answer(self, seen: Seen, body: bytes) -> Answer:
        self.seen.append(seen)
        match seen.operation:
            case "GetCACaps":
                return self.capabilities
            case "GetCACert":
                return self._certificates(seen.message)
            case "GetCACertChain":
                return self.chain
            case "GetNextCACert":
                return self.next_certificates
            case "PKIOperation":
                return self._message(seen, body)
            case _:
                self.violations.append(f"unknown operation {seen.operation}")
                return NOT_FOUND

    @property
    def operations(self) -> list[str]:
        return [each.operation for each in self.seen]

    def _certificates(self, identifier: str) -> Answer:
        if self.certificates is None:
            return certificates_answer(*self.authority.certificates)
        if isinstance(self.certificates, Answer):
            return self.certificates
        return self.certificates.get(identifier, NOT_FOUND)

    def _message(self, seen: Seen, body: bytes) -> Answer:
        if seen.method in self.refusals:
            return self.refusals[seen.method]
        data = body if seen.method == "POST" else base64.b64decode(seen.message, validate=True)
        if seen.method == "POST" and seen.content_type != MESSAGE_TYPE:
            self.violations.append(f"POST with content type {seen.content_type}")
        try:
            request = read_message(data, self.authority.ra.rsa_key)
        except Exception as exc:  # every violation fails the test at its end
            self.violations.append(repr(exc))
            return Answer(status=500, content_type="text/plain", body=b"bad request")
        plan = self._record(request)
        made = self.message_answer
        return Answer(
            status=made.status,
            content_type=made.content_type,
            body=made.body or reply_to(request, self.authority, plan, self._csr_of(request)),
            behaviour=made.behaviour,
        )

    def _record(self, request: ReceivedMessage) -> ReplyPlan:
        """Note *request*; the plan of its answer."""
        if request.recipient != self.authority.recipient:
            self.violations.append("a request names another recipient than the RA")
        if request.transaction_id in self.concluded and not self.repeats_transactions:
            self.violations.append(f"messageType {request.message_type} in a finished transaction")
        self.received.append(request)
        plans = self.plans or [ReplyPlan()]
        plan = plans[min(len(self.received), len(plans)) - 1]
        if plan.is_conclusive and self.message_answer.behaviour == "normal":
            self.concluded.add(request.transaction_id)
        return plan

    @property
    def types(self) -> list[str]:
        return [each.message_type for each in self.received]

    def _csr_of(self, request: ReceivedMessage) -> x509.CertificateSigningRequest | None:
        """The signing request of the transaction; None when it was never sent."""
        enrolments = [each for each in self.received if each.message_type in ENROLMENTS]
        return next((each.csr for each in enrolments if each.transaction_id == request.transaction_id), None)

    def check(self) -> None:
        """Fail for anything that no client may do."""
        assert self.violations == []
        nonces = Counter(each.sender_nonce for each in self.received)
        assert all(uses == 1 for uses in nonces.values()), "a nonce was used twice"


class _Handler(BaseHTTPRequestHandler):
    """Serves scenarios."""

    server: "_Server"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        del format, args

    def _serve(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        scenario = self.server.scenarios.get(parts.path.strip("/").split("/")[0])
        seen = Seen(
            method=self.command,
            operation=query.get("operation", [""])[0],
            raw_query=parts.query,
            message=query.get("message", [""])[0],
            content_type=self.headers.get("Content-Type", ""),
        )
        self._write(NOT_FOUND if scenario is None else scenario.answer(seen, body))

    def _write(self, answer: Answer) -> None:
        if answer.behaviour == "close":
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        if answer.content_type:
            self.send_header("Content-Type", answer.content_type)
        if answer.location:
            self.send_header("Location", answer.location)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            self._write_body(answer)
        except (BrokenPipeError, ConnectionResetError):
            return  # the client gave up, as some tests want

    def _write_body(self, answer: Answer) -> None:
        if answer.behaviour == "stall":
            self.server.ended.wait(30)
        elif answer.behaviour == "trickle":
            for position in range(len(answer.body)):
                self.wfile.write(answer.body[position : position + 1])
                if self.server.ended.wait(0.02):
                    return
        else:
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.behaviour == "truncate" else answer.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.scenarios: dict[str, Scenario] = {}
        self.ended = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off is what some tests are about."""


class Responder:
    """The running server; a context manager."""

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._server = _Server(port)
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if error is None:
            for scenario in self._server.scenarios.values():
                scenario.check()

    @property
    def port(self) -> int:
        return self._server.server_port

    def add(self, name: str, scenario: Scenario, host: str = "127.0.0.1") -> str:
        """Serve *scenario*; returns its URL."""
        self._server.scenarios[name] = scenario
        return f"{self._scheme}://{host}:{self.port}/{name}/pkiclient.exe"
