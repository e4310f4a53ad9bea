"""A Kerberos realm of its own: MIT's KDC on the loopback interface, and what its clients and services need."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

REALM: Final = "TEST.EXAMPLE"
CLIENT: Final = "host/client.test.example"
SERVICE: Final = "HTTP/localhost"
_START_LIMIT_S: Final = 60.0


def free_port() -> int:
    """A port that nobody uses at the moment, neither for TCP nor for UDP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        port = int(tcp.getsockname()[1])
        udp.bind(("127.0.0.1", port))
    return port


@dataclass
class KerberosRealm:
    """A realm below *root* with keytabs for a client and for a web server on localhost."""

    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.config = self.write_config("krb5.conf", self.port)
        (self.root / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{self.port}\n kdc_tcp_listen = 127.0.0.1:{self.port}\n"
            f"[realms]\n {REALM} = {{\n  database_name = {self.root}/principal\n  key_stash_file = {self.root}/stash\n"
            f"  acl_file = {self.root}/acl\n }}\n[logging]\n kdc = FILE:{self.root}/kdc.log\n"
        )

    def write_config(self, name: str, port: int) -> Path:
        """A krb5.conf for clients that look for the KDC at *port*."""
        path = self.root / name
        path.write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_realm = false\n dns_lookup_kdc = false\n"
            f" dns_canonicalize_hostname = false\n rdns = false\n"
            f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n[domain_realm]\n localhost = {REALM}\n"
        )
        return path

    @property
    def environment(self) -> dict[str, str]:
        """For every program of the realm."""
        return {"KRB5_CONFIG": str(self.config), "KRB5_KDC_PROFILE": str(self.root / "kdc.conf")}

    @property
    def keytab(self) -> Path:
        """The client's."""
        return self.root / "client.keytab"

    @property
    def service_keytab(self) -> Path:
        return self.root / "service.keytab"

    def _run(self, *command: str, given: str = "") -> str:
        done = subprocess.run(
            [*command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self.environment},
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def administer(self, *queries: str) -> None:
        """Run kadmin.local with *queries*."""
        self._run("kadmin.local", given="".join(f"{query}\n" for query in queries))

    def start(self) -> None:
        """Make the realm and start its KDC."""
        self._run("kdb5_util", "create", "-s", "-P", "master", "-r", REALM)
        self.administer(
            f"addprinc -randkey {CLIENT}",
            f"ktadd -k {self.keytab} {CLIENT}",
            f"addprinc -randkey {SERVICE}",
            f"ktadd -k {self.service_keytab} {SERVICE}",
        )
        with (self.root / "kdc.out").open("wb") as output:
            self.process = subprocess.Popen(
                ["/usr/sbin/krb5kdc", "-n", "-P", str(self.root / "pid")],
                env={"PATH": "/usr/sbin:/usr/bin", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, (self.root / "kdc.out").read_text()
                assert self.process.poll() is None, (self.root / "kdc.out").read_text()
                time.sleep(0.02)

    def ticket(self, cache: Path, *options: str) -> str:
        """A cache with tickets of the client; its name for KRB5CCNAME."""
        self._run("kinit", *options, "-c", str(cache), "-k", "-t", str(self.keytab), CLIENT)
        return f"FILE:{cache}"

    def close(self) -> None:
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.wait(30)
            self.process = None
