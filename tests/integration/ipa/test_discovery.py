"""The order in which IPA servers are asked, with SRV records of a DNS server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.rrset
import pytest

from certmonger_helpers.ipa.discovery import first_answer, servers_of
from certmonger_helpers.ipa.settings import IpaSettings
from certmonger_helpers.outcome import Rejected, Unconfigured, Unreachable

RECORDS = ("20 100 389 last.test.example.", "10 0 389 unlikely.test.example.", "10 100 389 first.test.example.")


class DnsServer(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        if query.question[0].name.to_text() == "_ldap._tcp.test.example.":
            answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "SRV", *RECORDS))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def dns_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(DnsServer, local_addr=("127.0.0.1", 0))
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", resolver)
    try:
        yield
    finally:
        transport.close()


async def test_dns_names_the_servers_by_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    async with dns_server(monkeypatch):
        found = await servers_of("test.example")
        assert set(found) == {"first.test.example", "unlikely.test.example", "last.test.example"}
        assert found[-1] == "last.test.example"
        assert await servers_of("absent.example") == ()


async def test_every_server_is_asked_once_and_the_first_ones_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def ask(url: str) -> None:
        asked.append(url)
        raise Unreachable(f"{url} is away")

    settings = IpaSettings(
        url="https://one.test.example/ipa/json",
        other_hosts=("two.test.example", "one.test.example"),
        domain="test.example",
    )
    async with dns_server(monkeypatch):
        with pytest.raises(Unreachable, match=r"one\.test\.example/ipa/json is away"):
            await first_answer(settings, ask)
    assert asked[:2] == ["https://one.test.example/ipa/json", "https://two.test.example/ipa/json"]
    assert sorted(asked[2:4]) == [f"https://{name}.test.example/ipa/json" for name in ("first", "unlikely")]
    assert asked[4:] == ["https://last.test.example/ipa/json"]


async def test_the_first_answer_ends_the_search() -> None:
    async def ask(url: str) -> str:
        if "one" in url:
            raise Unreachable("away")
        return url

    settings = IpaSettings(url="https://one/ipa/json", other_hosts=("two", "three"), domain="")
    assert await first_answer(settings, ask) == "https://two/ipa/json"


async def test_a_refusal_is_an_answer() -> None:
    asked: list[str] = []

    async def ask(url: str) -> None:
        asked.append(url)
        raise Rejected("no")

    settings = IpaSettings(url="https://one/ipa/json", other_hosts=("two",), domain="")
    with pytest.raises(Rejected):
        await first_answer(settings, ask)
    assert asked == ["https://one/ipa/json"]


async def test_no_server_is_a_missing_setting() -> None:
    async def ask(url: str) -> None:
        raise AssertionError(url)

    with pytest.raises(Unconfigured, match="Unable to determine location"):
        await first_answer(IpaSettings(url="", other_hosts=(), domain=""), ask)
