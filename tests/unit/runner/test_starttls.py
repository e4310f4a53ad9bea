"""Services whose TLS begins in the middle of another protocol are asked for their certificate, too."""

import ssl
from pathlib import Path

import pytest
from fakes.starttls_services import PROTOCOLS, saying, serving
from pki_material import server_identity

from certmongerd.pki.certs import parse_certificate, to_pem
from certmongerd.runner.probe import probe_service

IDENTITY = server_identity("127.0.0.1")
SERVED = to_pem(parse_certificate(IDENTITY))
OTHER = to_pem(parse_certificate(server_identity("127.0.0.1")))


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    both = tmp_path / "both.pem"
    both.write_bytes(IDENTITY)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(both)
    return made


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_certificate_is_seen_behind_each_protocol(protocol: str, context: ssl.SSLContext) -> None:
    async with serving(lambda: context) as ports:
        place = f"{protocol}://127.0.0.1:{ports[protocol]}"
        assert await probe_service(place, SERVED) == ""
        assert "another certificate" in await probe_service(place, OTHER, limit_s=0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_service_that_does_not_begin_tls_is_told_of(protocol: str, context: ssl.SSLContext) -> None:
    async with serving(lambda: context, refuses=True) as ports:
        failure = await probe_service(f"{protocol}://127.0.0.1:{ports[protocol]}", SERVED, limit_s=0)
    assert "TLS" in failure
    assert "certificate" in failure or protocol in ("smtp", "postgres")


NONSENSE = [b"", b"\n", b"\x30", b"\x30\x00", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x02\x05\x01", b"x" * 100_000]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("answer", NONSENSE, ids=range(len(NONSENSE)))
async def test_what_speaks_something_else_is_told_of(protocol: str, answer: bytes) -> None:
    async with saying(answer) as port:
        failure = await probe_service(f"{protocol}://127.0.0.1:{port}", SERVED, limit_s=0)
    assert failure.startswith(f"{protocol}://127.0.0.1:{port} ")


async def test_what_a_service_says_is_shown_without_its_control_characters() -> None:
    async with saying(b"554 \x1b[2Jgo away\r\n") as port:
        failure = await probe_service(f"smtp://127.0.0.1:{port}", SERVED, limit_s=0)
    assert "go away" in failure
    assert "\x1b" not in failure
