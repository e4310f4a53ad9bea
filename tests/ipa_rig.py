"""ipa-submit, or certmonger's own, with a realm and a server to work with."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from daemon_under_test import open_folders
from ipa_server import IpaServer, result, serving
from kerberos_realm import CLIENT, KerberosRealm
from local_ca import CSR
from scep_material import certificate, rsa_key
from scep_rig import tls_server

ORIGINAL: Final = "/usr/lib/certmonger/ipa-submit"
OURS: Final = (sys.executable, "-I", "-m", "certmonger_helpers.ipa_submit")
PRINCIPAL: Final = "HTTP/www.test.example@TEST.EXAMPLE"
ISSUED: Final = certificate("www.test.example", rsa_key("issued"))


def base64_of(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


@dataclass
class IpaRig:
    """Everything below *root* and in the realm."""

    realm: KerberosRealm
    root: Path
    server: IpaServer
    ca_file: Path

    @classmethod
    @contextmanager
    def running(cls, realm: KerberosRealm, root: Path) -> Iterator["IpaRig"]:
        for folder in (realm.root, root):
            open_folders(folder)  # Kerberos is configured there, and the helper becomes another user
        context, ca_file = tls_server(root, "localhost")
        ipa = IpaServer(realm.service_keytab, [result(certificate=base64_of(ISSUED))])
        with serving(ipa, context) as server:
            yield cls(realm, root, server, ca_file)

    @property
    def kerberos(self) -> tuple[str, ...]:
        """Options to log in with the keytab."""
        return ("-k", f"{CLIENT}@TEST.EXAMPLE", "-t", str(self.realm.keytab))

    def run(
        self, *argv: str, program: tuple[str, ...] = OURS, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run with *argv* and nothing else."""
        return subprocess.run(
            [*program, *argv],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root),
                "KRB5CCNAME": f"FILE:{self.root}/no-cache",
                "CERTMONGER_OPERATION": "SUBMIT",
                "CERTMONGER_CSR": CSR,
                **self.realm.environment,
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def submit(
        self, *argv: str, program: tuple[str, ...] = OURS, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run with the server's address and certificate, the keytab, and a principal."""
        own = () if program == (ORIGINAL,) else ("--config", str(self.root / "default.conf"))
        known = ("-J", self.server.url, "-c", str(self.ca_file), *self.kerberos, "-P", PRINCIPAL, *own)
        return self.run(*known, *argv, program=program, environment=environment)
