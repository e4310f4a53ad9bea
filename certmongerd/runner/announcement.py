"""What notifications say."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from certmongerd.core.effects import Notice
from certmongerd.core.model import CertStorage, Request, StorageType


def compose(request: Request, notice: Notice, now: datetime) -> str:
    """One line for people about *notice*; *now* decides whether a validity has ended already."""
    certificate = f"The certificate {describe_place(request.cert_storage)}"
    match notice:
        case Notice.VALIDITY:
            return _validity(certificate, request, now)
        case Notice.REJECTION:
            because = f": {request.ca_error}" if request.ca_error else "."
            return f'{certificate} was not issued, the CA "{request.ca_name}" rejected the request{because}'
        case Notice.ISSUED_SAVE_FAILED:
            return f"{certificate} was issued, but it could not be saved."
        case Notice.ISSUED_CA_SAVE_FAILED:
            return f"{certificate} was issued and saved, but the CA's certificates could not be saved."
        case Notice.ISSUED_SAVED:
            return f"{certificate} was issued and saved."
        case Notice.ONLY_CA_SAVE_FAILED:
            return (
                f'The certificates of the CA "{request.ca_name}", which belong to the certificate '
                f"{describe_place(request.cert_storage)}, could not be saved."
            )


MESSAGE_IDS: Final[Mapping[Notice, str]] = {
    Notice.VALIDITY: "108309b032bd4db1b78281bbe113f401",
    Notice.REJECTION: "58aa9052b4cd4d61a2e604f557c9a3d6",
    Notice.ISSUED_SAVE_FAILED: "7c4e5aa861234d3ebf2c433aaf6404a5",
    Notice.ISSUED_CA_SAVE_FAILED: "486309443c9f4708bb61c105d215dfb0",
    Notice.ISSUED_SAVED: "e6a68c0f34b64f8d938021f88d89f5ff",
    Notice.ONLY_CA_SAVE_FAILED: "d6af3199adf5471f96a8a8bc8033ddf4",
}
"""MESSAGE_ID of each kind in the journal; they never change."""


def details(request: Request) -> str:
    """Lines for those who want to know more than the message says."""
    facts = request.cert_facts
    lines = (
        ("Request", request.id),
        ("CA", request.ca_name),
        ("State", request.state.value),
        ("Subject", facts.subject),
        ("Issuer", facts.issuer),
        ("Serial number", facts.serial),
        ("CA's answer", request.ca_error),
    )
    return "".join(f"{label}: {text}\n" for label, text in lines if text)


def journal_fields(request: Request, notice: Notice) -> dict[str, str]:
    """Fields of the journal that entries about *notice* have."""
    facts = request.cert_facts
    return {
        "MESSAGE_ID": MESSAGE_IDS[notice],
        "CERTMONGER_EVENT": notice.value,
        "CERTMONGER_REQUEST": request.id,
        "CERTMONGER_CA": request.ca_name,
        "CERTMONGER_STATE": request.state.value,
        "CERTMONGER_CERT_LOCATION": request.cert_storage.location,
        "CERTMONGER_CERT_NICKNAME": request.cert_storage.nickname,
        "CERTMONGER_SUBJECT": facts.subject,
        "CERTMONGER_NOT_AFTER": facts.not_after.isoformat() if facts.not_after is not None else "",
        "CERTMONGER_ERROR": request.ca_error,
    }


def describe_place(storage: CertStorage) -> str:
    """Where a certificate is kept."""
    if storage.type is StorageType.NSSDB:
        token = f' in token "{storage.token}"' if storage.token else ""
        return f'named "{storage.nickname}"{token} in database "{storage.location}"'
    return f'in file "{storage.location}"'


def _validity(certificate: str, request: Request, now: datetime) -> str:
    """Ending soon, or ended."""
    not_after = request.cert_facts.not_after
    if not_after is None:
        return f"{certificate} has an unknown end of validity."
    when = not_after.strftime("%Y-%m-%d %H:%M:%S UTC")
    if not_after <= now:
        return f"{certificate} is no longer valid since {when}."
    return f"{certificate} will be valid until {when} only."
