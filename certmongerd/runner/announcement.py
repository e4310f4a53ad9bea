"""What notifications say."""

from datetime import datetime

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
