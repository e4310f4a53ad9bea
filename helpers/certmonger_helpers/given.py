"""What a helper is given: the operation and the variables of the daemon, and the signing request."""

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from certmonger_helpers.outcome import Unconfigured

MAX_CSR_BYTES: Final = 1024 * 1024


class Operation(StrEnum):
    """What a helper can be asked for: the values of `CERTMONGER_OPERATION`."""

    IDENTIFY = "IDENTIFY"
    FETCH_ROOTS = "FETCH-ROOTS"
    GET_SUPPORTED_TEMPLATES = "GET-SUPPORTED-TEMPLATES"
    GET_DEFAULT_TEMPLATE = "GET-DEFAULT-TEMPLATE"
    GET_NEW_REQUEST_REQUIREMENTS = "GET-NEW-REQUEST-REQUIREMENTS"
    GET_RENEW_REQUEST_REQUIREMENTS = "GET-RENEW-REQUEST-REQUIREMENTS"
    FETCH_SCEP_CA_CAPS = "FETCH-SCEP-CA-CAPS"
    FETCH_SCEP_CA_CERTS = "FETCH-SCEP-CA-CERTS"
    SUBMIT = "SUBMIT"
    POLL = "POLL"
    GET_RENEWAL_INFO = "GET-RENEWAL-INFO"
    """When the CA wants the certificate given renewed; without one: whether it tells that at all. Not certmonger's."""
    SCEP_QUERY = "SCEP-QUERY"
    """Send a SCEP question that changes nothing; not part of certmonger's protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperInput:
    """The daemon's variables. Texts are empty and tuples have no members when a variable is not set."""

    operation_name: str = ""
    """As given; see `operation`."""
    ca_nickname: str = ""
    ca_profile: str = ""
    ca_issuer: str = ""
    ca_cookie: str = ""
    csr: str = ""
    """PEM of the PKCS#10 request; `read_csr` also looks at the operand and standard input."""
    spkac: str = ""
    spki: str = ""
    """Base64 of the SubjectPublicKeyInfo; `spki_der` decodes it."""
    key_type: str = ""
    certificate: str = ""
    """PEM of the certificate held so far."""
    req_subject: str = ""
    req_hostname: tuple[str, ...] = ()
    req_email: tuple[str, ...] = ()
    req_principal: tuple[str, ...] = ()
    req_ip_address: tuple[str, ...] = ()
    config_dir: str = ""
    local_ca_dir: str = ""
    scep_ca_identifier: str | None = None
    """None when not set; an empty identifier is one, too."""
    scep_ra_certificate: str = ""
    scep_ca_certificate: str = ""
    scep_certificates: str = ""
    """PEM of any number of certificates."""
    pkcsreq: str = ""
    getcertinitial: str = ""
    pkcsreq_rekey: str = ""
    getcertinitial_rekey: str = ""
    scep_query: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "HelperInput":
        """Read the `CERTMONGER_*` variables of *environ*."""

        def text(name: str) -> str:
            return environ.get(f"CERTMONGER_{name}", "")

        def lines(name: str) -> tuple[str, ...]:
            return tuple(line.strip() for line in text(name).splitlines() if line.strip())

        return cls(
            operation_name=text("OPERATION"),
            ca_nickname=text("CA_NICKNAME"),
            ca_profile=text("CA_PROFILE"),
            ca_issuer=text("CA_ISSUER"),
            ca_cookie=text("CA_COOKIE"),
            csr=text("CSR"),
            spkac=text("SPKAC"),
            spki=text("SPKI"),
            key_type=text("KEY_TYPE"),
            certificate=text("CERTIFICATE"),
            req_subject=text("REQ_SUBJECT"),
            req_hostname=lines("REQ_HOSTNAME"),
            req_email=lines("REQ_EMAIL"),
            req_principal=lines("REQ_PRINCIPAL"),
            req_ip_address=lines("REQ_IP_ADDRESS"),
            config_dir=text("CONFIG_DIR"),
            local_ca_dir=text("LOCAL_CA_DIR"),
            scep_ca_identifier=environ.get("CERTMONGER_SCEP_CA_IDENTIFIER"),
            scep_ra_certificate=text("SCEP_RA_CERTIFICATE"),
            scep_ca_certificate=text("SCEP_CA_CERTIFICATE"),
            scep_certificates=text("SCEP_CERTIFICATES"),
            pkcsreq=text("PKCSREQ"),
            getcertinitial=text("GETCERTINITIAL"),
            pkcsreq_rekey=text("PKCSREQ_REKEY"),
            getcertinitial_rekey=text("GETCERTINITIAL_REKEY"),
            scep_query=text("SCEP_QUERY"),
        )

    @property
    def operation(self) -> Operation | None:
        """The operation asked for: SUBMIT when none was named, None for a name nobody knows."""
        name = self.operation_name.strip().upper()
        try:
            return Operation(name) if name else Operation.SUBMIT
        except ValueError:
            return None

    @property
    def spki_der(self) -> bytes:
        """DER SubjectPublicKeyInfo; empty when not set. Raises Unconfigured when it is not base64."""
        try:
            return base64.b64decode(self.spki, validate=True)
        except binascii.Error as exc:
            raise Unconfigured("CERTMONGER_SPKI is not base64") from exc

    def read_csr(self, operand: str | None = None) -> str:
        """The signing request: file *operand*, else the variable, else standard input if something was connected.

        Empty when there is none. Raises Unconfigured when the file cannot be read.
        """
        if operand:
            try:
                return Path(operand).read_bytes().decode("ascii", "replace")
            except OSError as exc:
                raise Unconfigured(f"Signing request {operand} cannot be read: {exc.strerror}") from exc
        return self.csr or _standard_input()


def _standard_input() -> str:
    """Text from standard input, unless it is closed, a terminal or the null device."""
    try:
        status = os.fstat(0)
        if stat.S_ISCHR(status.st_mode):
            return ""
        with os.fdopen(os.dup(0), "rb") as stream:
            return stream.read(MAX_CSR_BYTES).decode("ascii", "replace")
    except OSError:
        return ""  # closed, or a directory: the same as nothing given
