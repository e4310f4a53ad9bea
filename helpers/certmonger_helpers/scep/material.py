"""Certificates and messages given to scep-submit in files, variables and on standard input."""

import base64
import binascii
import re
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.protocol import ExitStatus, HelperError, HelperInput, Unconfigured
from certmongerd.core.errors import RemoteProtocolError
from certmongerd.scep.bag import certificates_in

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9# ]+)-----(.*?)-----END \1-----", re.DOTALL)
_MESSAGE_LABELS: Final = frozenset({"PKCS7", "CMS", "PKCS #7 SIGNED DATA"})


class NeedMessages(HelperError):
    """There is no SCEP message that can be sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(ExitStatus.NEED_SCEP_MESSAGES, reason)


def certificates_of_file(path: str | None) -> tuple[x509.Certificate, ...]:
    """The certificates in file *path*; none without a path. Raises Unconfigured."""
    if not path:
        return ()
    try:
        return certificates_in(Path(path).read_bytes())
    except OSError as exc:
        raise Unconfigured(f"{path} cannot be read: {exc.strerror}") from exc
    except RemoteProtocolError as exc:
        raise Unconfigured(f"{path}: {exc}") from exc


def certificates_of_text(text: str, variable: str) -> tuple[x509.Certificate, ...]:
    """The certificates in the value of *variable*; none if it is empty. Raises Unconfigured."""
    if not text:
        return ()
    try:
        return certificates_in(text.encode("ascii", "replace"))
    except RemoteProtocolError as exc:
        raise Unconfigured(f"{variable}: {exc}") from exc


def pem_of(certificates: tuple[x509.Certificate, ...]) -> str:
    """PEM blocks in order."""
    return "".join(certificate.public_bytes(Encoding.PEM).decode("ascii") for certificate in certificates)


def armour(message: bytes) -> str:
    """PEM of CMS data, 64 columns, with the label that the daemon expects."""
    text = base64.b64encode(message).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(("-----BEGIN PKCS7-----", *lines, "-----END PKCS7-----", ""))


def message_of_file(path: str, kind: str) -> bytes:
    """DER of the message in file *path*, PEM or DER. Raises NeedMessages."""
    try:
        data = Path(path).read_bytes()
    except OSError as exc:
        raise NeedMessages(f"The {kind} message {path} cannot be read: {exc.strerror}") from exc
    return data if data[:1] == b"\x30" else message_of_text(data.decode("ascii", "replace"), kind)


def message_of_text(pem: str, kind: str) -> bytes:
    """DER of a PEM message. Raises NeedMessages."""
    match = _BLOCK.search(pem)
    if match is None or match[1] not in _MESSAGE_LABELS:
        raise NeedMessages(f"The {kind} message is not PEM with the label PKCS7")
    try:
        return base64.b64decode("".join(match[2].split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise NeedMessages(f"The {kind} message is not valid base64") from exc


def standard_input() -> str:
    """Text on standard input, if something is connected; an input without a request reads just that."""
    return HelperInput().read_csr()
