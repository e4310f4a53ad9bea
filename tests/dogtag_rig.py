"""The Dogtag helpers, ours and certmonger's, with a server and an agent's credentials."""

import base64
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from dogtag_server import DogtagServer, serving
from local_ca import CSR
from scep_material import certificate, der, pem, rsa_key
from scep_rig import tls_server

PIN: Final = "agent's PIN"
ISSUED: Final = certificate("www.example.org", rsa_key("issued"))
BASE64: Final = base64.encodebytes(der(ISSUED)).decode()


def ours(name: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-m", f"certmonger_helpers.{name.replace('-', '_')}")


def originals(name: str) -> tuple[str, ...]:
    return (f"/usr/lib/certmonger/{name}",)


@dataclass
class DogtagRig:
    """A server, and files below *root*."""

    root: Path
    server: DogtagServer
    ca_file: Path

    @classmethod
    @contextmanager
    def running(cls, root: Path) -> Iterator["DogtagRig"]:
        context, ca_file = tls_server(root, "localhost")
        key = rsa_key("agent")
        (root / "agent.pem").write_text(pem(certificate("IPA RA", key)))
        for name, encryption in (("agent.key", NoEncryption()), ("pin.key", BestAvailableEncryption(PIN.encode()))):
            (root / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        (root / "pin").write_text(PIN + "\n")
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(root / "agent.pem")
        with serving(context) as server:
            yield cls(root, server, ca_file)

    @property
    def ee(self) -> tuple[str, ...]:
        """Options for what anybody may do."""
        return ("-E", self.server.ee_url)

    @property
    def agent(self) -> tuple[str, ...]:
        """Options for what an agent may do, too."""
        credentials = ("-c", str(self.root / "agent.pem"), "-k", str(self.root / "agent.key"))
        return ("-E", self.server.ee_url, "-A", self.server.agent_url, "-i", str(self.ca_file), *credentials)

    def run(
        self, *argv: str, program: tuple[str, ...] = ours("dogtag-submit"), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run with *argv*; *variables* are the daemon's."""
        given = {"OPERATION": "SUBMIT", "CSR": CSR, **variables}
        return subprocess.run(
            [*program, *argv],
            env={"PATH": os.environ["PATH"], **{f"CERTMONGER_{name}": value for name, value in given.items()}},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
