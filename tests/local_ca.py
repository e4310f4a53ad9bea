"""The local CA's directory, and the two programs that can work in it: this project's and certmonger's."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

ORIGINAL: Final = "/usr/lib/certmonger/local-submit"
OURS: Final = (sys.executable, "-I", "-m", "certmonger_helpers.local_submit")
KEY: Final = ec.generate_private_key(ec.SECP256R1())
CSR: Final = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web.example.org")]))
    .sign(KEY, hashes.SHA256())
    .public_bytes(Encoding.PEM)
    .decode()
)


@dataclass
class LocalCa:
    """A directory and the two programs that can work in it."""

    directory: Path
    config: Path

    def run(self, *argv: str, program: tuple[str, ...] = OURS, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a helper the way the daemon does."""
        env = {
            "PATH": "/usr/bin:/bin",
            "CERTMONGER_CONFIG_DIR": str(self.config),
            "CERTMONGER_LOCAL_CA_DIR": str(self.directory),
            **{f"CERTMONGER_{name}": value for name, value in variables.items()},
        }
        return subprocess.run(
            [*program, *argv],
            check=False,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def issue(self, program: tuple[str, ...] = OURS) -> x509.Certificate:
        """A certificate."""
        done = self.run(program=program, OPERATION="SUBMIT", CSR=CSR)
        assert done.returncode == 0, done.stdout
        return x509.load_pem_x509_certificate(done.stdout.encode())

    def roots(self, program: tuple[str, ...] = OURS) -> list[tuple[str, x509.Certificate]]:
        """Nicknames and certificates as fetched."""
        done = self.run(program=program, OPERATION="FETCH-ROOTS")
        assert done.returncode == 0, done.stdout
        blocks = done.stdout.split("-----END CERTIFICATE-----\n")
        assert blocks.pop() == ""
        pairs = [block.split("\n", 1) for block in blocks]
        return [
            (name, x509.load_pem_x509_certificate(f"{pem}-----END CERTIFICATE-----\n".encode())) for name, pem in pairs
        ]

    @property
    def serial(self) -> str:
        """The content of the file."""
        return (self.directory / "serial").read_text()

    @classmethod
    def below(cls, root: Path) -> "LocalCa":
        """An empty directory and a configuration without settings."""
        for name in ("ca", "config"):
            (root / name).mkdir()
        return cls(root / "ca", root / "config")
