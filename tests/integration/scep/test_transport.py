"""The HTTP client of the helpers: limits, redirects, trust."""

from pathlib import Path

import pytest
from fakes.scep_authority import single_ca
from fakes.scep_responder import Answer, Responder, Scenario
from scep_material import certificate, pem, rsa_key
from scep_rig import tls_server
from scep_run import RunHelper

from certmonger_helpers.protocol import HelperError, Unreachable
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import HttpClient, HttpRequest, HttpResponse, Limits

SHORT = Limits(connect_s=0.3, exchange_s=0.3)


async def fetch(url: str, *, limits: Limits = SHORT) -> HttpResponse:
    async with HttpClient(tls=TlsSettings(), limits=limits) as client:
        return await client.send(HttpRequest(url=f"{url}?operation=GetCACaps", max_bytes=1000))


def scenario(answer: Answer) -> Scenario:
    return Scenario(authority=single_ca(), capabilities=answer)


@pytest.mark.parametrize("behaviour", ["stall", "trickle"])
async def test_a_server_that_never_ends_is_given_up(responder: Responder, behaviour: str) -> None:
    url = responder.add("slow", scenario(Answer(body=b"x" * 500, behaviour=behaviour)))
    with pytest.raises(Unreachable, match="time limit"):
        await fetch(url)


async def test_a_body_over_the_limit_is_refused(responder: Responder) -> None:
    url = responder.add("big", scenario(Answer(body=b"x" * 1001)))
    with pytest.raises(Unreachable, match="more than 1000 bytes"):
        await fetch(url)


async def test_a_body_at_the_limit_is_read(responder: Responder) -> None:
    url = responder.add("full", scenario(Answer(body=b"x" * 1000, content_type="Text/Plain; charset=utf-8")))
    response = await fetch(url)
    assert (response.status, response.content_type, response.body) == (200, "text/plain", b"x" * 1000)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_one_redirect_on_the_same_host_is_followed(responder: Responder, status: int) -> None:
    target = responder.add("target", scenario(Answer(body=b"AES")))
    location = f"{target}?operation=GetCACaps"
    url = responder.add("moved", scenario(Answer(status=status, location=location)))
    assert (await fetch(url)).body == b"AES"


async def test_redirects_elsewhere_or_in_a_row_are_refused(responder: Responder) -> None:
    again = responder.add("again", scenario(Answer(status=302, location="/again/x?operation=GetCACaps")))
    with pytest.raises(Unreachable, match="more than once"):
        await fetch(again)
    for elsewhere in ("http://127.0.0.2:1/x", "https://127.0.0.1:1/x", "file:///etc/passwd"):
        url = responder.add("elsewhere", scenario(Answer(status=302, location=elsewhere)))
        with pytest.raises(Unreachable, match="not followed"):
            await fetch(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/scep", "http://name.invalid/scep"])
async def test_a_server_that_is_not_there_is_named(url: str) -> None:
    with pytest.raises(Unreachable, match=url):
        await fetch(url, limits=Limits(connect_s=5, exchange_s=5))


async def test_an_impossible_url_is_refused() -> None:
    with pytest.raises(HelperError):
        await fetch("http://[::1")


# --- TLS


def test_every_request_trusts_the_given_ca_file(helper: RunHelper, tmp_path: Path) -> None:
    context, ca_file = tls_server(tmp_path, "localhost")
    with Responder(context) as responder:
        behaviour = scenario(Answer(body=b"AES"))
        url = responder.add("tls", behaviour, host="localhost")
        for operation in ("FETCH-SCEP-CA-CAPS", "FETCH-SCEP-CA-CERTS"):
            assert helper("-u", url, "-R", str(ca_file), OPERATION=operation).status == 0
        assert behaviour.operations == ["GetCACaps", "GetCACaps", "GetCACert"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_ca_file_that_cannot_be_used_is_named(helper: RunHelper, tmp_path: Path, scheme: str) -> None:
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.touch()
    for file in (missing, empty):
        finished = helper("-u", f"{scheme}://127.0.0.1:1/scep", "-R", str(file), OPERATION="FETCH-SCEP-CA-CAPS")
        assert finished.status == 4
        assert str(file) in finished.first_line


def test_without_a_file_the_hosts_store_is_trusted(
    helper: RunHelper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, ca_file = tls_server(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))  # OpenSSL's way to name the host's store
    with Responder(context) as responder:
        url = responder.add("tls", scenario(Answer(body=b"AES")), host="localhost")
        assert helper("-u", url, OPERATION="FETCH-SCEP-CA-CAPS").status == 0


def test_a_server_that_is_not_trusted_gets_no_request(helper: RunHelper, tmp_path: Path) -> None:
    context, ca_file = tls_server(tmp_path, "other.example.org")
    (tmp_path / "foreign.pem").write_text(pem(certificate("Foreign", rsa_key("foreign"), ca=True)))
    with Responder(context) as responder:
        behaviour = scenario(Answer(body=b"AES"))
        url = responder.add("tls", behaviour, host="localhost")
        for arguments in (("-R", str(ca_file)), ("-R", str(tmp_path / "foreign.pem")), ()):
            finished = helper("-u", url, *arguments, OPERATION="FETCH-SCEP-CA-CAPS")
            assert finished.status == 3
            assert "certificate" in finished.first_line.lower()
        assert behaviour.seen == []


# --- proxies


async def test_the_environments_proxy_is_used_unless_the_host_is_excepted(
    responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = responder.add("proxied", scenario(Answer(body=b"AES")))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(Unreachable):
        await fetch(url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert (await fetch(url)).body == b"AES"
