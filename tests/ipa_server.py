"""A stand-in for a FreeIPA server's /ipa/json and /ipa/session.

Sources: ipaserver/rpcserver.py of FreeIPA (Referer check, form of answers, session paths and cookie), ipalib/errors.py
(codes and names), ipaserver/plugins/cert.py and ca.py (results of cert_request and ca_show), and the calls of
certmonger 0.79.17's own helper, which is run against it. Negotiate is verified by MIT's library with the service's key,
as mod_auth_gssapi does it.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from gss_acceptor import Refused, accept

USER, PASSWORD = "admin", "Secret 123&"


def error(code: int, message: str, name: str = "Error") -> bytes:
    """An answer with an error, as FreeIPA has it."""
    return json.dumps({"result": None, "error": {"code": code, "message": message, "name": name}, "id": None}).encode()


def result(**fields: object) -> bytes:
    """An answer with a result."""
    return json.dumps({"result": {"result": fields, "value": "", "summary": None}, "error": None, "id": None}).encode()


@dataclass
class IpaServer:
    """What the server is to do, and what it saw."""

    keytab: Path
    answers: list[bytes] = field(default_factory=list)
    """One for each call that is let in; the last one is repeated."""
    by_method: dict[str, bytes] = field(default_factory=dict)
    """Answers to calls of certain methods; they come before `answers`."""
    status: int = 200
    """Of answers to calls that are let in."""
    takes_basic: bool = False
    takes_sessions: bool = False
    forgets_its_token: bool = False
    """Whether it does not prove itself."""
    spoils_its_token: bool = False
    stall: threading.Event | None = None
    """Until it is set, nothing is answered."""
    url: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Body, headers and user of each call that was let in."""
    refused: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        ipa = self.server.ipa
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if ipa.stall is not None:
            ipa.stall.wait(60)
        if self.path == "/ipa/session/login_password":
            self._log_in(body)
            return
        token = b""
        user = ""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if self.path == "/ipa/session/json" and ipa.takes_sessions:
            user = USER if self.headers.get("Cookie") == "ipa_session=MagBearerToken=abc" else ""
        elif self.path == "/ipa/json" and scheme == "Negotiate":
            try:
                user, token = accept(base64.b64decode(value), ipa.keytab)
            except Refused:
                user = ""
        elif self.path == "/ipa/json" and scheme == "Basic" and ipa.takes_basic:
            user = USER if base64.b64decode(value).decode() == f"{USER}:{PASSWORD}" else ""
        if not user:
            ipa.refused += 1
            self._answer(401, b"<html>Unauthorized</html>", {"WWW-Authenticate": "Negotiate"})
            return
        host = f"https://{self.headers['Host']}/ipa"
        if not self.headers.get("Referer", "").startswith(host):
            self._answer(400, b"<html>Bad Request</html>")
            return
        ipa.calls.append({"body": json.loads(body), "headers": dict(self.headers), "user": user, "path": self.path})
        answer = ipa.by_method.get(ipa.calls[-1]["body"]["method"], b"")
        if not answer:
            answer = ipa.answers.pop(0) if len(ipa.answers) > 1 else ipa.answers[0]
        if ipa.spoils_its_token:
            token = token[:-4] + b"\0\0\0\0"
        proof = {"WWW-Authenticate": "Negotiate " + base64.b64encode(token).decode()}
        self._answer(ipa.status, answer, proof if token and not ipa.forgets_its_token else {})

    def _log_in(self, body: bytes) -> None:
        given = parse_qs(body.decode())
        if self.server.ipa.takes_sessions and given == {"user": [USER], "password": [PASSWORD]}:
            self._answer(200, b"", {"Set-Cookie": "ipa_session=MagBearerToken=abc;path=/ipa;httponly;secure;"})
        else:
            self._answer(401, b"", {"X-IPA-Rejection-Reason": "invalid-password"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


class _Server(ThreadingHTTPServer):
    ipa: IpaServer

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no failure of the server."""


@contextmanager
def serving(ipa: IpaServer, context: ssl.SSLContext) -> Iterator[IpaServer]:
    """*ipa* at work on https://localhost."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.ipa = ipa
    server.socket = context.wrap_socket(server.socket, server_side=True)
    ipa.url = f"https://localhost:{server.server_port}/ipa/json"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield ipa
    finally:
        if ipa.stall is not None:
            ipa.stall.set()
        server.shutdown()
        thread.join()
        server.server_close()
