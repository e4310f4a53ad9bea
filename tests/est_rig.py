"""est-submit with a server: files for its options, and runs of the program as the daemon starts it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from est_server import PASSWORD, USER, EstStandIn, Scenario, serving
from local_ca import CSR
from scep_material import certificate, pem, rsa_key
from scep_rig import tls_server

KEY_PASSWORD: Final = "key's password"
FACTORY: Final = "factory certificate"


@dataclass
class EstRig:
    """A server, and files below *root*."""

    root: Path
    server: EstStandIn
    ca_file: Path

    @classmethod
    @contextmanager
    def running(cls, root: Path) -> Iterator["EstRig"]:
        context, ca_file = tls_server(root, "localhost")
        key = rsa_key(FACTORY)
        factory = certificate(FACTORY, key)
        (root / "factory.pem").write_text(pem(factory))
        for name, encryption in (
            ("factory.key", NoEncryption()),
            ("locked.key", BestAvailableEncryption(KEY_PASSWORD.encode())),
        ):
            (root / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        (root / "key-password").write_text(KEY_PASSWORD + "\n")
        (root / "password").write_text(PASSWORD + "\n")
        (root / "wrong").write_text("wrong\n")
        with serving(context, factory) as server:
            yield cls(root, server, ca_file)

    def known(self, label: str) -> tuple[str, ...]:
        """Options for a CA of the server."""
        return ("-u", self.server.url, "--label", label, "-R", str(self.ca_file))

    @property
    def login(self) -> tuple[str, ...]:
        """Options for logging in."""
        return ("--user", USER, "--password-file", str(self.root / "password"))

    @property
    def factory(self) -> tuple[str, ...]:
        """Options for a certificate that was there before."""
        return ("--certificate", str(self.root / "factory.pem"), "--key", str(self.root / "factory.key"))

    def add(self, label: str, **settings: object) -> Scenario:
        """A CA of the server."""
        return self.server.add(label, Scenario(**settings))  # type: ignore[arg-type]  # test shorthand

    def run(self, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run with *argv*; *variables* are the daemon's."""
        given = {"OPERATION": "SUBMIT", "CSR": CSR, **variables}
        return subprocess.run(
            [sys.executable, "-I", "-m", "certmonger_helpers.est_submit", *argv],
            env={"PATH": os.environ["PATH"], **{f"CERTMONGER_{name}": value for name, value in given.items()}},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
