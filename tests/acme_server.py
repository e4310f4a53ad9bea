"""A real ACME server: Let's Encrypt's pebble, with pebble-challtestsrv as the DNS that it asks."""

import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from scep_rig import tls_server

START_LIMIT_S: Final = 30.0
EAB_KID: Final = "kid-1"
EAB_KEY: Final = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeServer:
    """A running server."""

    url: str
    """Of its directory."""
    ca_file: Path
    """What its TLS certificate is checked with."""
    http_port: int
    """The port that it asks for http-01."""
    dns_management: str
    """The URL of pebble-challtestsrv; empty with another DNS server."""
    management: str
    log: Path

    @property
    def options(self) -> list[str]:
        """Options of acme-submit for this server, without any for challenges."""
        return ["-u", self.url, "-R", str(self.ca_file), "--agree-tos"]

    def set_dns(self, action: str, **values: object) -> None:
        """Tell pebble-challtestsrv something."""
        request = urllib.request.Request(f"{self.dns_management}/{action}", data=json.dumps(values).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def root(self, number: int = 0) -> bytes:
        """One of the roots, PEM."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with urllib.request.urlopen(f"{self.management}/roots/{number}", timeout=10, context=context) as answer:
            content: bytes = answer.read()
            return content


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.fail(f"{name} is not installed; install it with: apt-get install pebble")
    return program


@contextmanager
def running_program(command: list[str], port: int, log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a server until it listens, and end it afterwards."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=dict(environment)
        )
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not is_listening(port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running_pebble(
    folder: Path, *, dns_port: int = 0, with_accounts: bool = False, **environment: str
) -> Iterator[AcmeServer]:
    """pebble with PEBBLE_* variables; *dns_port* is another DNS server's, *with_accounts* asks for external ones."""
    folder.mkdir(parents=True, exist_ok=True)
    listen, management, http_port = free_port(), free_port(), free_port()
    _, ca_file = tls_server(folder, "localhost")
    settings = {
        "listenAddress": f"127.0.0.1:{listen}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "server.pem"),
        "privateKey": str(folder / "server.pem"),
        "httpPort": http_port,
        "tlsPort": free_port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": with_accounts,
        "externalAccountMACKeys": {EAB_KID: EAB_KEY},
    }
    config, log = folder / "pebble.json", folder / "pebble.log"
    config.write_text(json.dumps({"pebble": settings}))
    quick = {"PATH": "/usr/bin:/bin", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    with ExitStack() as stack:
        dns_management = ""
        if not dns_port:
            dns_port, port = free_port(), free_port()
            dns_management = f"http://127.0.0.1:{port}"
            command = [_program("pebble-challtestsrv"), "-management", f"127.0.0.1:{port}", "-defaultIPv6", ""]
            command += ["-dns01", f"127.0.0.1:{dns_port}", "-http01", "", "-https01", "", "-tlsalpn01", ""]
            stack.enter_context(running_program(command, port, folder / "dns.log", quick))
        command = [_program("pebble"), "-config", str(config), "-dnsserver", f"127.0.0.1:{dns_port}"]
        stack.enter_context(running_program(command, listen, log, quick | environment))
        yield AcmeServer(
            url=f"https://localhost:{listen}/dir",
            ca_file=ca_file,
            http_port=http_port,
            dns_management=dns_management,
            management=f"https://localhost:{management}",
            log=log,
        )
