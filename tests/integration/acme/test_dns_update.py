"""dns-01 by dynamic update: acme-submit writes into a zone of BIND, and pebble asks the same BIND."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query
import pytest
from acme_client import AcmeClient
from acme_server import AcmeServer, free_port, running_pebble, running_program

CONFIGURATION = """
options {{
    directory "{folder}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    session-keyfile "{folder}/session.key";
    recursion no;
    dnssec-validation no;
    allow-transfer {{ none; }};
}};
controls {{ }};
include "{folder}/update.key";
zone "example.org" {{
    type primary;
    file "{folder}/example.org.zone";
    update-policy {{ grant acme subdomain example.org. TXT; }};
}};
"""
ZONE = """$TTL 60
@ IN SOA ns.example.org. admin.example.org. 1 3600 600 86400 60
@ IN NS ns.example.org.
ns IN A 127.0.0.1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A running named."""

    port: int
    key_file: Path
    folder: Path

    @property
    def options(self) -> list[str]:
        return ["--dns-update", f"127.0.0.1:{self.port}", "--dns-key-file", str(self.key_file)]

    def txt(self, name: str) -> list[str]:
        """The TXT records of a name."""
        answer = dns.query.tcp(dns.message.make_query(name, "TXT"), "127.0.0.1", port=self.port, timeout=30)
        return [text.to_text() for text in answer.answer]


def new_key(path: Path) -> Path:
    made = subprocess.run(["tsig-keygen", "-a", "hmac-sha512", "acme"], check=True, capture_output=True)
    path.write_bytes(made.stdout)
    return path


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    folder = tmp_path_factory.mktemp("named")
    port = free_port()
    new_key(folder / "update.key")
    (folder / "example.org.zone").write_text(ZONE)
    (folder / "named.conf").write_text(CONFIGURATION.format(folder=folder, port=port))
    command = ["/usr/sbin/named", "-f", "-c", str(folder / "named.conf")]
    with running_program(command, port, folder / "named.log", {"PATH": "/usr/bin:/bin"}):
        yield Bind(port=port, key_file=folder / "update.key", folder=folder)


@pytest.fixture(scope="module")
def server(bind: Bind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeServer]:
    with running_pebble(tmp_path_factory.mktemp("pebble"), dns_port=bind.port) as running:
        yield running


@pytest.mark.parametrize("zone", [(), ("--dns-zone", "example.org")])
def test_a_wildcard_and_its_domain_are_proved_by_two_records_of_one_name(
    acme: AcmeClient, server: AcmeServer, bind: Bind, zone: tuple[str, ...]
) -> None:
    names = ("*.deep.example.org", "deep.example.org")
    done = acme.enrol(*server.options, *bind.options, *zone, names=names)
    assert len(done.chain) == 2
    assert bind.txt("_acme-challenge.deep.example.org") == []


def test_a_key_that_the_server_does_not_accept_is_told(
    acme: AcmeClient, server: AcmeServer, bind: Bind, tmp_path: Path
) -> None:
    other = new_key(tmp_path / "other.key")
    options = [*bind.options[:2], "--dns-key-file", str(other)]
    done = acme.enrol(*server.options, *options, names=("www.example.org",))
    assert done.status == 4
    assert "TSIG" in done.first_line
    without = acme.enrol(*server.options, *bind.options[:2], names=("www.example.org",))
    assert (without.status, "REFUSED" in without.first_line) == (4, True)


@pytest.mark.parametrize("text", ["", 'key "a" { algorithm hmac-sha256; };', 'key "a" { secret "%%%"; };'])
def test_a_file_without_a_key_is_named(
    acme: AcmeClient, server: AcmeServer, bind: Bind, tmp_path: Path, text: str
) -> None:
    (tmp_path / "bad.key").write_text(text)
    options = [*bind.options[:2], "--dns-key-file", str(tmp_path / "bad.key")]
    done = acme.enrol(*server.options, *options, names=("www.example.org",))
    assert (done.status, "bad.key" in done.first_line) == (4, True)


def test_a_name_outside_of_the_servers_zones_is_told(acme: AcmeClient, bind: Bind, tmp_path: Path) -> None:
    with running_pebble(tmp_path / "pebble") as elsewhere:
        done = acme.enrol(*elsewhere.options, *bind.options, names=("www.example.com",))
    assert (done.status, "no zone for" in done.first_line) == (4, True)
    assert "--dns-zone" in done.first_line


def test_a_dns_server_that_is_not_there_can_be_asked_later(acme: AcmeClient, server: AcmeServer, bind: Bind) -> None:
    options = ["--dns-update", f"127.0.0.1:{free_port()}", *bind.options[2:]]
    done = acme.enrol(*server.options, *options, names=("www.example.org",))
    assert (done.status, "does not answer" in done.first_line) == (3, True)
