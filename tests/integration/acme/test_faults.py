"""acme-submit and pebble in its fault modes, and servers that are none."""

import sys
from pathlib import Path

import pytest
from acme_client import AcmeClient, signing_request
from acme_server import AcmeServer, running_pebble
from web_server import web_server


def listen(server: AcmeServer) -> list[str]:
    return [*server.options, "--http-listen", f"127.0.0.1:{server.http_port}"]


def test_rejected_nonces_and_slow_validation_and_reused_authorizations(acme: AcmeClient, tmp_path: Path) -> None:
    """PEBBLE_WFE_NONCEREJECT, PEBBLE_AUTHZREUSE, and validation that really takes time."""
    with running_pebble(
        tmp_path / "pebble",
        PEBBLE_WFE_NONCEREJECT="50",
        PEBBLE_AUTHZREUSE="100",
        PEBBLE_VA_NOSLEEP="0",
        PEBBLE_VA_SLEEPTIME="1",
    ) as server:
        for _ in range(2):  # the second order finds its authorization valid
            assert acme.enrol(*listen(server), names=("often.example.org",)).chain


def test_a_name_that_the_dns_does_not_know_is_worth_another_attempt_with_a_new_order(
    acme: AcmeClient, pebble: AcmeServer
) -> None:
    name = "servfail.example.org"
    pebble.set_dns("set-servfail", host=name)
    first = acme(*listen(pebble), "--wait", "0", OPERATION="SUBMIT", CSR=signing_request(name))
    failed = acme.enrol(*listen(pebble), names=(name,), cookie=first.cookie)
    assert failed.status == 3
    assert failed.first_line.startswith(f"{name}: ")
    pebble.set_dns("clear-servfail", host=name)
    again = acme.enrol(*listen(pebble), names=(name,), cookie=first.cookie)  # the daemon has the old cookie
    assert again.chain


def test_control_that_is_not_proved_is_a_refusal_in_the_servers_words(acme: AcmeClient, pebble: AcmeServer) -> None:
    with web_server(port=pebble.http_port, body=b"hello"):
        csr = signing_request("foreign.example.org")
        order = acme(*pebble.options, "--wait", "0", OPERATION="SUBMIT", CSR=csr)
        webroot = ["--webroot", str(acme.root)]
        done = acme(*pebble.options, *webroot, OPERATION="POLL", CSR=csr, CA_COOKIE=order.cookie)
        assert done.status == 2
        assert done.first_line.startswith("foreign.example.org: ")
        assert "(unauthorized)" in done.first_line
        # Asked again, the same order says the same.
        again = acme(*pebble.options, *webroot, OPERATION="POLL", CSR=csr, CA_COOKIE=order.cookie)
        assert (again.status, again.output) == (2, done.output)


def test_a_request_that_the_server_does_not_like_is_refused_with_its_problem(
    acme: AcmeClient, pebble: AcmeServer
) -> None:
    done = acme.enrol(*listen(pebble), names=("not_a_name!.example.org",))
    assert done.status == 2
    assert "(malformed)" in done.first_line


def test_a_server_that_is_not_there_or_not_trusted_can_be_asked_later(acme: AcmeClient, pebble: AcmeServer) -> None:
    csr = signing_request("a.example.org")
    for options in (["-u", pebble.url], ["-u", "https://127.0.0.1:1/dir"]):
        assert acme(*options, OPERATION="SUBMIT", CSR=csr).status == 3


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b'{"newNonce": 1}', b"\xff\xfe", b'{"newNonce":"file:///etc"}']
)
def test_what_is_no_acme_server_is_named(acme: AcmeClient, body: bytes) -> None:
    with web_server(body=body) as server:
        done = acme("-u", server.url, OPERATION="SUBMIT", CSR=signing_request("a.example.org"))
    assert done.status in (3, 4), done
    assert "127.0.0.1" in done.first_line or "file:///etc" in done.first_line
    assert "Internal" not in done.output


def test_a_rate_limit_is_obeyed(acme: AcmeClient) -> None:
    """RFC 8555, section 6.6: Retry-After says when."""
    body = b'{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many new orders"}'
    csr = signing_request("a.example.org")
    with web_server(status=429, body=body, headers={"Retry-After": "7200"}) as server:
        done = acme("-u", server.url, OPERATION="SUBMIT", CSR=csr)
    assert (done.status, done.output) == (5, "7200\n")
    assert "too many new orders" in done.errors
    with web_server(status=429, body=body) as server:
        done = acme("-u", server.url, OPERATION="SUBMIT", CSR=csr)
    assert (done.status, done.output) == (3, "too many new orders (rateLimited)\n")


def test_subproblems_are_told(acme: AcmeClient) -> None:
    """RFC 8555, section 6.7.1."""
    body = b"""{"type": "urn:ietf:params:acme:error:malformed", "detail": "Some identifiers were rejected",
      "subproblems": [{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "forbidden by policy",
                       "identifier": {"type": "dns", "value": "example.net"}}]}"""
    with web_server(status=403, body=body) as server:
        done = acme("-u", server.url, OPERATION="SUBMIT", CSR=signing_request("a.example.org"))
    text = "Some identifiers were rejected (malformed); example.net: forbidden by policy (rejectedIdentifier)\n"
    assert (done.status, done.output) == (2, text)


def test_without_the_libraries_the_helper_says_what_to_install(
    acme: AcmeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "certmonger_helpers.acme.answers")
    monkeypatch.delattr("certmonger_helpers.acme.answers")
    monkeypatch.delitem(sys.modules, "certmonger_helpers.acme.session")
    monkeypatch.delitem(sys.modules, "certmonger_helpers.acme.account")
    monkeypatch.setitem(sys.modules, "acme.jws", None)
    done = acme("-u", "https://a.example.org/", OPERATION="SUBMIT", CSR=signing_request("a.example.org"))
    assert (done.status, "certmongerd[acme]" in done.first_line) == (4, True)
    assert acme(OPERATION="IDENTIFY").status == 0
