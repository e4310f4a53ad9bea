"""A web server that says what a test wants."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fixed(BaseHTTPRequestHandler):
    """Answers with what the server was given."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, FixedServer)
        body = server.body if server.bodies is None else server.bodies.get(self.path)
        self.send_response(404 if body is None else server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body or b"")

    do_HEAD = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


class FixedServer(ThreadingHTTPServer):
    """Says the same to everybody, or, with *bodies*, something for each path."""

    daemon_threads = False

    def __init__(self, port: int, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.status, self.body, self.headers = status, body, headers
        self.bodies: dict[str, bytes] | None = None
        super().__init__(("127.0.0.1", port), Fixed)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def web_server(
    *, port: int = 0, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Iterator[FixedServer]:
    server = FixedServer(port, status, body, headers or {})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
