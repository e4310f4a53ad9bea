"""ACME renewal information (RFC 9773)."""

import base64
from datetime import datetime
from urllib.parse import urljoin

from cryptography import x509

from certmonger_helpers.acme.problems import retry_after
from certmonger_helpers.acme.session import Json, Session, json_object, text_of
from certmonger_helpers.outcome import Rejected, Unconfigured, Unreachable


def read_certificate(pem: str) -> x509.Certificate:
    """A certificate given by the daemon. Raises Unconfigured."""
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as exc:
        raise Unconfigured(f"CERTMONGER_CERTIFICATE cannot be read: {exc}") from exc


def certificate_identifier(certificate: x509.Certificate) -> str:
    """How the server is told which certificate is meant (section 4.1). Raises Rejected when that is not possible."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except (x509.ExtensionNotFound, ValueError):
        found = None
    if found is None:
        raise Rejected("The certificate does not name its issuer's key, so that the CA cannot be asked about it")
    serial = certificate.serial_number
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")  # the content of the DER INTEGER
    return f"{_base64url(found)}.{_base64url(octets)}"


async def offers_renewal_info(session: Session) -> bool:
    """Whether the server tells when certificates are to be renewed."""
    return isinstance((await session.directory()).get("renewalInfo"), str)


async def fetch_renewal_info(session: Session, certificate: x509.Certificate) -> str:
    """What the server tells about *certificate*, as the daemon reads it. Raises Unreachable and AcmeProblem."""
    base = urljoin(session.directory_url, str((await session.directory())["renewalInfo"]))
    url = f"{base.rstrip('/')}/{certificate_identifier(certificate)}"
    response = await session.get(url)
    document = json_object(response, url)
    window = document.get("suggestedWindow")
    if not isinstance(window, dict):
        raise Unreachable(f"{url} told no window")
    lines = [f"start={_time(window, 'start', url)}", f"end={_time(window, 'end', url)}"]
    seconds = retry_after(response)
    if seconds is not None:
        lines.append(f"retry-after={seconds}")
    explanation = text_of(document, "explanationURL")
    if explanation and not any(map(str.isspace, explanation)):
        lines.append(f"explanation-url={explanation}")
    return "".join(f"{line}\n" for line in lines)


def _time(window: Json, name: str, url: str) -> str:
    """A time of the window, as it was sent. Raises Unreachable when it is none."""
    text = text_of(window, name)
    try:
        datetime.fromisoformat(text)
    except ValueError as exc:
        raise Unreachable(f"{url} told a window without a usable {name}") from exc
    return text


def _base64url(octets: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
