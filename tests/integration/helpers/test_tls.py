"""TLS of the helpers' HTTP client: client certificates, directories of CAs, files that cannot be used."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from scep_material import certificate, pem, rsa_key
from scep_rig import tls_server

from certmonger_helpers.outcome import Unconfigured, Unreachable
from certmonger_helpers.tls import TlsSettings, tls_context
from certmonger_helpers.transport import HttpClient, HttpRequest, HttpResponse, Limits
from certmongerd.core.secret import Secret


class Handler(BaseHTTPRequestHandler):
    """Answers with the client's name, and sends everything below /moved to another port."""

    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        peer = self.connection.getpeercert()
        body = repr(peer.get("subject") if peer else None).encode()
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "https://localhost:1/elsewhere")
        else:
            self.send_response(200)
            self.send_header("Replay-Nonce", "abc")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, *_: object) -> None:
        """A client that is refused is no failure of the server."""


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[str]:
    server = QuietServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def client_files(tmp_path: Path) -> tuple[Path, Path]:
    """A client's certificate and key."""
    key = rsa_key("TLS client")
    (tmp_path / "client.crt").write_text(pem(certificate("The Client", key, ca=True)))
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"swordfish"))
    (tmp_path / "client.key").write_bytes(plain)
    (tmp_path / "locked.key").write_bytes(locked)
    return tmp_path / "client.crt", tmp_path / "client.key"


async def get(url: str, tls: TlsSettings, **headers: str) -> HttpResponse:
    async with HttpClient(tls=tls, limits=Limits(connect_s=20, exchange_s=20)) as client:
        return await client.send(HttpRequest(url=url, max_bytes=1000, headers=headers))


async def test_a_client_certificate_is_presented(tmp_path: Path, client_files: tuple[Path, Path]) -> None:
    context, ca_file = tls_server(tmp_path, "localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(client_files[0])
    certificate_file, key_file = map(str, client_files)
    locked = str(tmp_path / "locked.key")
    with serving(context) as url:
        for settings in (
            TlsSettings(ca_file=str(ca_file), certificate_file=certificate_file, key_file=key_file),
            TlsSettings(
                ca_file=str(ca_file),
                certificate_file=certificate_file,
                key_file=locked,
                key_password=Secret("swordfish"),
            ),
        ):
            answer = await get(f"{url}/", settings)
            assert b"The Client" in answer.body
            assert answer.headers["replay-nonce"] == "abc"
        with pytest.raises(Unreachable):
            await get(f"{url}/", TlsSettings(ca_file=str(ca_file)))


def publish(ca_file: Path, directory: Path) -> None:
    (directory / "ca.pem").write_bytes(ca_file.read_bytes())
    subprocess.run(["openssl", "rehash", directory], check=True, capture_output=True)


async def test_a_directory_of_ca_certificates_is_trusted(tmp_path: Path) -> None:
    context, ca_file = tls_server(tmp_path, "localhost")
    directory = tmp_path / "trusted"
    directory.mkdir()
    with serving(context) as url:
        with pytest.raises(Unreachable, match="certificate"):
            await get(f"{url}/", TlsSettings(ca_directory=str(directory)))
        publish(ca_file, directory)
        assert (await get(f"{url}/", TlsSettings(ca_directory=str(directory)))).status == 200


async def test_credentials_are_not_sent_to_another_port(tmp_path: Path) -> None:
    context, ca_file = tls_server(tmp_path, "localhost")
    with serving(context) as url, pytest.raises(Unreachable, match="not followed"):
        await get(f"{url}/moved", TlsSettings(ca_file=str(ca_file)), Authorization="Basic Og==")


def test_files_that_cannot_be_used_are_named(tmp_path: Path, client_files: tuple[Path, Path]) -> None:
    certificate_file, key_file = map(str, client_files)
    other_key = tmp_path / "other.key"
    other_key.write_bytes(rsa_key("other").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    missing = str(tmp_path / "missing")
    for settings, words in (
        (TlsSettings(ca_file=missing), "missing cannot be read: No such file"),
        (TlsSettings(ca_file=key_file), "no usable CA certificates"),
        (TlsSettings(ca_directory=missing), "not a directory"),
        (TlsSettings(key_file=key_file), "no certificate"),
        (TlsSettings(certificate_file=missing, key_file=key_file), "missing cannot be read"),
        (TlsSettings(certificate_file=certificate_file, key_file=missing), "missing cannot be read"),
        (TlsSettings(certificate_file=certificate_file, key_file=str(other_key)), "key values mismatch"),
        (TlsSettings(certificate_file=certificate_file, key_file=str(tmp_path / "locked.key")), "locked.key"),
        (TlsSettings(certificate_file=certificate_file), "client.crt"),
    ):
        with pytest.raises(Unconfigured, match=words):
            tls_context(settings)
