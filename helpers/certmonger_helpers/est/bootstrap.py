"""Trust in a server whose CA is known by a fingerprint only (RFC 7030, section 4.1.1)."""

import re
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.address import origin
from certmonger_helpers.est.server import EstServer
from certmonger_helpers.outcome import Unconfigured
from certmonger_helpers.tls import TlsSettings
from certmonger_helpers.transport import Limits, run_with_client

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def read_fingerprint(text: str) -> str:
    """SHA-256, hexadecimal, lower case; colons and blanks between the digits do not count. Raises Unconfigured."""
    digits = re.sub(r"[:\s]", "", text).lower()
    if not _SHA256.fullmatch(digits):
        raise Unconfigured(f'"{text}" is no SHA-256 fingerprint of a root certificate (64 hexadecimal digits)')
    return digits


def _give_up_nothing() -> None:
    """Stay who the helper is."""


def root_with_fingerprint(url: str, fingerprint: str) -> str:
    """PEM of the certificate with this fingerprint, from the server's own /cacerts.

    The server is not checked and learns nothing: what it sends is taken for nothing but bytes that have the
    fingerprint. Raises Unconfigured when none has it, Unreachable.
    """
    tls = TlsSettings(is_server_checked=False)
    found = run_with_client(
        lambda client: EstServer(client=client, url=url, login=None).ca_certificates(),
        url=url,
        tls=tls,
        limits=Limits(),
        prepare=_give_up_nothing,  # the files for the enrolment itself are still to be read
    )
    for certificate in found:
        if certificate.fingerprint(SHA256()).hex() == fingerprint:
            return certificate.public_bytes(Encoding.PEM).decode("ascii")
    raise Unconfigured(
        f"No certificate of {origin(url)}/cacerts has the fingerprint {fingerprint}: ask the CA's people"
    )
