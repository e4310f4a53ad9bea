"""Runs acme-submit in this process."""

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.acme_submit import HELPER
from certmonger_helpers.protocol import run

KEY: Final = ec.generate_private_key(ec.SECP256R1())
MOST_RUNS: Final = 30


def signing_request(*names: str) -> str:
    """A request for DNS names."""
    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.add_extension(alternative, critical=False).sign(KEY, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended."""

    status: int
    output: str
    errors: str

    @property
    def first_line(self) -> str:
        return self.output.partition("\n")[0]

    @property
    def cookie(self) -> str:
        """What follows the delay of status 5."""
        assert self.status == 5, self
        return self.output.partition("\n")[2].strip()

    @property
    def chain(self) -> list[x509.Certificate]:
        assert self.status == 0, self
        return x509.load_pem_x509_certificates(self.output.encode())


@dataclass(frozen=True, slots=True)
class AcmeClient:
    """Runs of acme-submit that share a directory for accounts."""

    root: Path

    def __call__(self, *arguments: str, **variables: str) -> Finished:
        environment = {f"CERTMONGER_{name}": value for name, value in variables.items()}
        output, errors = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        with redirect_stdout(output), redirect_stderr(errors):
            status = run(HELPER, arguments, {"CERTMONGER_LOCAL_CA_DIR": str(self.root / "local"), **environment})
        content = output.buffer
        assert isinstance(content, io.BytesIO)
        return Finished(status, content.getvalue().decode(), errors.getvalue())

    def enrol(self, *arguments: str, names: tuple[str, ...], cookie: str = "", **variables: str) -> Finished:
        """SUBMIT and POLL until there is another answer than "later"; *names* are asked for."""
        csr = signing_request(*names)
        for _ in range(MOST_RUNS):
            if cookie:
                done = self(*arguments, OPERATION="POLL", CA_COOKIE=cookie, CSR=csr, **variables)
            else:
                done = self(*arguments, OPERATION="SUBMIT", CSR=csr, **variables)
            if done.status != 5:
                return done
            cookie = done.cookie
        raise AssertionError("the order never came to an end")
