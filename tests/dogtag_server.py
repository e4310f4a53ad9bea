"""A stand-in for a Dogtag server: end-entity services by HTTP, and those and the agent's by HTTPS.

Sources of its answers: ipaserver/plugins/dogtag.py of FreeIPA, which shows and parses what Dogtag answers to
profileSubmit, checkRequest, profileReview and displayCertFromRequest; and the elements that certmonger 0.79.17's own
helpers evaluate, which are run against it in the same tests.
"""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
DEFERRED = (
    f"{HEAD}<XMLResponse><Status>2</Status><Error>Request Deferred - {{0}}</Error>"
    "<RequestId>  12</RequestId></XMLResponse>"
)


def issued(base64: str) -> str:
    """profileSubmit, with a certificate."""
    return (
        f"{HEAD}<XMLResponse><Status>0</Status><Requests><Request><Id>12</Id><SubjectDN>CN=www</SubjectDN>"
        f"<serialno>d</serialno><b64>{base64}</b64></Request></Requests></XMLResponse>"
    )


def refused(reason: str) -> str:
    """profileSubmit, without success."""
    return f"{HEAD}<XMLResponse><Status>1</Status><Error>{escape(reason)}</Error></XMLResponse>"


def checked(status: str, error: str = "") -> str:
    """checkRequest."""
    fixed = f"<fixed><unexpectedError>{error}</unexpectedError></fixed>" if error else "<fixed/>"
    return f"{HEAD}<xml><header><status>{status}</status><requestId>12</requestId></header>{fixed}</xml>"


def review(*defaults: tuple[str, str | None, str, str], code: str = "0", reason: str = "") -> str:
    """profileReview: name, value, constraint and syntax of each default."""
    sets = "".join(
        f"<set><defId>{name}</defId>{'' if value is None else f'<defVal>{escape(value)}</defVal>'}"
        f"<defConstraint>{constraint}</defConstraint><defSyntax>{syntax}</defSyntax></set>"
        for name, value, constraint, syntax in defaults
    )
    record = f"<record><set><defList><list><defList>{sets}</defList></list></defList></set></record>"
    return (
        f"{HEAD}<xml><output><set><requestId>12</requestId><requestStatus>pending</requestStatus>"
        f"<errorCode>{code}</errorCode><errorReason>{reason}</errorReason>"
        f"<record><list>{record}</list></record></set></output></xml>"
    )


def processed(status: str, code: str = "0", reason: str = "") -> str:
    """profileProcess."""
    return (
        f"{HEAD}<xml><output><set><requestId>12</requestId><requestStatus>{status}</requestStatus>"
        f"<errorCode>{code}</errorCode><errorReason>{reason}</errorReason></set></output></xml>"
    )


def retrieved(pem: str, error: str = "") -> str:
    """displayCertFromRequest."""
    records = f"<records><record><base64Cert>\n{pem} </base64Cert></record></records>" if pem else ""
    fixed = f"<fixed><unexpectedError>{error}</unexpectedError></fixed>" if error else ""
    return f"{HEAD}<xml><header><requestId>12</requestId></header>{fixed}{records}</xml>"


def profile_list(*profiles: tuple[str, bool, bool]) -> str:
    """profileList: name, enabled, visible."""
    records = "".join(
        f"<record><set><profileId>{name}</profileId><profileIsEnable>{str(enabled).lower()}</profileIsEnable>"
        f"<profileIsVisible>{str(visible).lower()}</profileIsVisible></set></record>"
        for name, enabled, visible in profiles
    )
    return f"{HEAD}<xml><output><set><record><list>{records}</list></record></set></output></xml>"


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    path: str
    form: tuple[tuple[str, str], ...]
    has_client_certificate: bool


@dataclass
class DogtagServer:
    """What the server answers, by the last part of the path, and what it saw."""

    answers: dict[str, str | bytes] = field(default_factory=dict)
    status: int = 200
    stall: threading.Event | None = None
    """Until it is set, nothing is answered."""
    seen: list[Seen] = field(default_factory=list)
    ee_url: str = ""
    secure_ee_url: str = ""
    agent_url: str = ""


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def _serve(self) -> None:
        dogtag = self.server.dogtag
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        peer = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        form = tuple(parse_qsl(query or body, keep_blank_values=True, strict_parsing=True))
        dogtag.seen.append(Seen(self.command, path, form, bool(peer)))
        if dogtag.stall is not None:
            dogtag.stall.wait(60)
        answer = dogtag.answers.get(path.rpartition("/")[2], b"")
        encoded = answer.encode() if isinstance(answer, str) else answer
        is_allowed = bool(peer) or not path.startswith("/ca/agent")
        self.send_response(dogtag.status if is_allowed else 401)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    do_GET = do_POST = _serve

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


class _Server(ThreadingHTTPServer):
    dogtag: DogtagServer

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no failure of the server."""


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[DogtagServer]:
    """Servers on localhost; *context* verifies certificates of clients that present one."""
    dogtag = DogtagServer()
    servers = [_Server(("127.0.0.1", 0), _Handler) for _ in range(2)]
    for server in servers:
        server.dogtag = dogtag
    plain, secure = servers
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    dogtag.ee_url = f"http://localhost:{plain.server_port}/ca/ee/ca"
    dogtag.secure_ee_url = f"https://localhost:{secure.server_port}/ca/ee/ca"
    dogtag.agent_url = f"https://localhost:{secure.server_port}/ca/agent/ca"
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield dogtag
    finally:
        if dogtag.stall is not None:
            dogtag.stall.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
