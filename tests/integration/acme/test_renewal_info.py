"""Renewal information (RFC 9773). Debian's pebble does not serve it, so a stand-in does, as section 4 has it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from acme_client import KEY, AcmeClient
from acme_server import AcmeServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from web_server import web_server

NOT_BEFORE = datetime(2025, 1, 1, tzinfo=UTC)
EXAMPLE_IDENTIFIER = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
"""RFC 9773, section 4.1: of the key identifier and the serial number below."""
WINDOW = {
    "suggestedWindow": {"start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z"},
    "explanationURL": "https://acme.example.com/docs/ari",
}
"""RFC 9773, section 4.2."""


def example_certificate(*, names_issuer: bool = True) -> str:
    """A certificate with the key identifier and the serial number of the RFC's example (appendix A)."""
    issuer = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(0x87654321)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_BEFORE + timedelta(days=7))
    )
    if names_issuer:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(issuer, None, None), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def directory(url: str) -> bytes:
    return json.dumps({"newNonce": f"{url}/nonce", "renewalInfo": f"{url}/renewal-info"}).encode()


def test_the_window_of_a_certificate_is_told(acme: AcmeClient) -> None:
    with web_server(headers={"Retry-After": "21600"}) as server:
        server.bodies = {
            "/dir": directory(server.url),
            f"/renewal-info/{EXAMPLE_IDENTIFIER}": json.dumps(WINDOW).encode(),
        }
        certificate = example_certificate()
        done = acme("-u", f"{server.url}/dir", OPERATION="GET-RENEWAL-INFO", CERTIFICATE=certificate)
        assert (done.status, done.output) == (
            0,
            "start=2025-01-02T04:00:00Z\nend=2025-01-03T04:00:00Z\nretry-after=21600\n"
            "explanation-url=https://acme.example.com/docs/ari\n",
        )
        offered = acme("-u", f"{server.url}/dir", OPERATION="GET-RENEWAL-INFO")
        assert (offered.status, offered.output) == (0, "")


def test_a_server_without_renewal_information_is_not_asked(acme: AcmeClient, pebble: AcmeServer) -> None:
    assert acme(*pebble.options, OPERATION="GET-RENEWAL-INFO").status == 6


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"suggestedWindow": {"start": "now"}}', b'{"suggestedWindow": {"start": 1, "end": 2}}'],
)
def test_answers_that_are_none_are_told(acme: AcmeClient, body: bytes) -> None:
    with web_server() as server:
        server.bodies = {"/dir": directory(server.url), f"/renewal-info/{EXAMPLE_IDENTIFIER}": body}
        done = acme("-u", f"{server.url}/dir", OPERATION="GET-RENEWAL-INFO", CERTIFICATE=example_certificate())
        assert done.status == 3
        assert server.url in done.first_line


def test_a_certificate_that_the_server_cannot_be_asked_about(acme: AcmeClient) -> None:
    with web_server() as server:
        server.bodies = {"/dir": directory(server.url)}
        anonymous = example_certificate(names_issuer=False)
        done = acme("-u", f"{server.url}/dir", OPERATION="GET-RENEWAL-INFO", CERTIFICATE=anonymous)
        assert (done.status, "issuer's key" in done.first_line) == (2, True)
        unknown = acme("-u", f"{server.url}/dir", OPERATION="GET-RENEWAL-INFO", CERTIFICATE=example_certificate())
        assert (unknown.status, "404" in unknown.first_line) == (2, True)
